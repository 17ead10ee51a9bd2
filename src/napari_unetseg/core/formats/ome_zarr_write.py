"""Writing OME-Zarr 0.5, with coarser levels for viewers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from yaozarrs import v05

from napari_unetseg.core.formats import label_metadata
from napari_unetseg.core.formats.legend import KEY, Legend
from napari_unetseg.core.volume import Grid, Labels, Volume

UNIT_NAMES = {"nm": "nanometer", "µm": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}
CHUNK = (32, 256, 256)
COARSEST = 512  # voxels along the longest axis: small enough to be shown at once


def write_labels(path: Path, labels: Labels) -> None:
    """Write a label image (z, y, x) with its colours and names; coarser levels take every other voxel."""
    ome = {"image-label": label_metadata.describe(labels)}
    _write(path, labels.array, labels.grid, Legend.of(labels), labels.name, ome)


def write_volume(path: Path, volume: Volume) -> None:
    """Write an image (c, z, y, x); its channels' names go into our own attribute."""
    _write(path, volume.array, volume.grid, Legend.of(volume), volume.name, {})


def _write(path: Path, array: npt.NDArray[Any], grid: Grid, legend: Legend, name: str, ome: dict[str, Any]) -> None:
    steps = _steps(array.shape[-3:], grid.spacing)
    multiscale = v05.Multiscale(
        name=name,
        axes=[*_axes(grid, array.ndim)],
        datasets=[_dataset(str(i), grid, step, array.ndim) for i, step in enumerate(steps)],
        type="nearest",
    )
    metadata = {"version": "0.5", "multiscales": [multiscale.model_dump(mode="json", exclude_none=True)], **ome}
    group = zarr.open_group(str(path), mode="w", zarr_format=3, attributes={"ome": metadata, KEY: legend.dump()})
    lead = array.ndim - 3
    for i, step in enumerate(steps):
        level = array[..., :: step[0], :: step[1], :: step[2]]
        chunks = (*(1,) * lead, *(min(c, n) for c, n in zip(CHUNK, level.shape[lead:], strict=True)))
        # empty chunks are written too, so that a missing one can be told from background
        target = group.create_array(
            str(i),
            shape=level.shape,
            dtype=level.dtype,
            chunks=chunks,
            dimension_names=["c", "z", "y", "x"][-array.ndim :],
            config={"write_empty_chunks": True},
        )
        target[...] = level


def _steps(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> list[tuple[int, int, int]]:
    """How many voxels of the finest level make one step of each level, finer axes being halved first."""
    steps = [(1, 1, 1)]
    while max(-(-n // s) for n, s in zip(shape, steps[-1], strict=True)) > COARSEST:
        sizes = np.array(spacing) * steps[-1]
        left = np.array(shape) > steps[-1]
        halved = left & (sizes < 2 * sizes[left].min())
        z, y, x = (int(s * (1 + h)) for s, h in zip(steps[-1], halved, strict=True))
        steps.append((z, y, x))
    return steps


def _axes(grid: Grid, ndim: int) -> list[Any]:
    unit = UNIT_NAMES.get(grid.unit)
    space: list[Any] = [v05.SpaceAxis(name=name, type="space", unit=unit) for name in "zyx"]
    return [v05.ChannelAxis(name="c", type="channel"), *space] if ndim == 4 else space


def _dataset(path: str, grid: Grid, step: tuple[int, int, int], ndim: int) -> v05.Dataset:
    lead = [1.0] * (ndim - 3)
    scale = [s * n for s, n in zip(grid.spacing, step, strict=True)]
    return v05.Dataset(
        path=path,
        coordinateTransformations=[
            v05.ScaleTransformation(scale=[*lead, *scale]),
            v05.TranslationTransformation(translation=[0.0 * n for n in lead] + list(grid.origin)),
        ],
    )
