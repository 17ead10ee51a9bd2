"""Valid small inputs: an image, labels and a model, from which those of every kind are made."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_unetseg.core.grid import Grid, ScannerFrame
from napari_unetseg.core.volume import Labels, Structure, Volume

SHAPE = (4, 12, 16)
GRID = Grid((2.0, 0.5, 0.5), "µm")
FRAME = ScannerFrame(
    ((0.0, 0.0, -0.5, 10.0), (0.0, 0.5, 0.0, -3.0), (2.0, 0.0, 0.0, 7.0), (0.0, 0.0, 0.0, 1.0)), ("L", "A", "S")
)
STRUCTURES = (
    Structure(label=1, name="nucleus", colour="#e69f00", channels=(1,)),
    Structure(label=2, name="=vessel", colour="#56b4e9", channels=(2,)),
)


def image(channels: int = 1, grid: Grid = GRID) -> Volume:
    """Two bright blocks in noise, uint8."""
    array = np.random.default_rng(0).integers(0, 60, (channels, *SHAPE), dtype=np.uint8)
    array[:, 1:3, 2:6, 3:8] += 150
    array[:, :, 8:11, 10:14] += 100
    return Volume(array, grid)


def labels(grid: Grid = GRID) -> Labels:
    """The two blocks, as two structures."""
    array = np.zeros(SHAPE, np.uint8)
    array[1:3, 2:6, 3:8], array[:, 8:11, 10:14] = 1, 2
    return Labels(array, grid, STRUCTURES)


def paint() -> Labels:
    """Strokes of background and of two structures."""
    array = np.zeros(SHAPE, np.uint8)
    array[:, 0:2, :], array[1:3, 3:5, 4:7], array[:, 9, 11:13] = 1, 2, 3
    return Labels(array)


def write_model(path: Path, dimensions: int = 3, kind: str = "unet") -> None:
    """Write a tiny model of random weights."""
    import torch

    from napari_unetseg.core.models.card import DataSource, ModelCard, Score, VoxelSize
    from napari_unetseg.engine.networks.model_file import Model, save_model
    from napari_unetseg.engine.networks.registry import find_architecture

    torch.manual_seed(0)
    fields: dict[str, object] = {"kind": kind, "dimensions": dimensions, "inputs": 1, "outputs": 3, "widths": [2, 4]}
    network = find_architecture(kind).from_json(fields).build().eval()
    card = ModelCard(
        name="tiny",
        title="Tiny",
        description="A network that has learned nothing.",
        version="1",
        dimensions=3 if dimensions == 3 else 2,
        architecture=network.settings.to_json(),
        voxel_size=VoxelSize(spacing=(2.0, 0.5, 0.5), unit="µm"),
        structures=STRUCTURES,
        patch=(4, 8, 8) if dimensions == 3 else (1, 8, 8),
        halo=(2, 4, 4) if dimensions == 3 else (0, 4, 4),
        training_data=(DataSource(name="none", source="https://example.org", licence="CC0-1.0"),),
        scores=(Score(held_out="none", structure="nucleus", metric="Dice", value=0.5, images=1),),
    )
    save_model(path, Model(network, card))
