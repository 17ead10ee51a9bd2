"""Volumes that no bundled model was trained on, for the benchmark of learning from a few slices.

What is held out of each set stands in `training/splits.toml`; of sets that are one stack it is a slab along y or x,
so that all slices remain.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

sys.path.insert(0, str(Path(__file__).parents[1]))  # the recipes know the held-out images

from training.data import is_held_out, stack_part
from training.held_out import SPLITS

from napari_unetseg.api import load_labels, load_volume
from napari_unetseg.core.grid import Grid, Triple
from napari_unetseg.core.volume import Volume

Labelled = tuple[Volume, np.ndarray]
"""An image, and its output labels (Z, Y, X), uint8: 0 background, 1… structures."""

STRIPS = 8  # that a single picture is cut into, as its "slices"


def _slab(data: Path, place: str, labels: np.ndarray, spacing: Triple) -> Labelled:
    """The held-out part of a stack; `place` is its set and its name in the split."""
    folder, _, name = place.partition("/")
    rule = SPLITS[folder][name] if name else SPLITS[folder]
    image = tifffile.imread(data / folder / (f"{name}_image.tif" if name else "image.tif"))
    image, labels = (np.ascontiguousarray(stack_part(array, rule, "held_out")) for array in (image, labels))
    return Volume(image[None], Grid(spacing)), labels.astype(np.uint8)


def _nuclei(name: str, spacing: Triple) -> Callable[[Path], Labelled]:
    def load(data: Path) -> Labelled:
        return _slab(data, f"nuclei3d/{name}", tifffile.imread(data / f"nuclei3d/{name}_label.tif") > 0, spacing)

    return load


def _cell_walls(data: Path) -> Labelled:
    return _slab(data, "cells3d/ovule", tifffile.imread(data / "cells3d/ovule_boundary.tif") > 0, (0.235, 0.15, 0.15))


def _membranes(data: Path) -> Labelled:
    return _slab(data, "em3d/gala", tifffile.imread(data / "em3d/gala_label.tif") == 0, (1, 1, 1))


def _chloroplasts(data: Path) -> Labelled:
    whole = _slab(data, "chloroplast2d", tifffile.imread(data / "chloroplast2d/label.tif") > 0, (4, 1, 1))
    return _coarser(whole, 3)


def _sandstone(data: Path) -> Labelled:
    labels = tifffile.imread(data / "sandstone2d/label.tif").astype(int)
    return _coarser(_slab(data, "sandstone2d", labels - labels.min(), (50, 1, 1)), 2)


def _coarser(whole: Labelled, every: int) -> Labelled:
    """Every so many pixels along y and x, so that the benchmark ends in time."""
    volume, labels = whole
    thin = np.ascontiguousarray(volume.array[..., ::every, ::every])
    z, y, x = volume.grid.spacing
    return Volume(thin, Grid((z, y * every, x * every))), np.ascontiguousarray(labels[:, ::every, ::every])


def _axons(data: Path) -> Labelled:
    """A picture of an animal that training never saw, in strips."""
    path = next(
        p for p in sorted((data / "axon2d").glob("*_image.tif")) if p.name.startswith(SPLITS["axon2d"]["held_out"][-1])
    )
    image = tifffile.imread(path)
    labels = tifffile.imread(path.with_name(path.name.replace("_image", "_label")))
    height = len(image) // STRIPS
    image, labels = (a[: STRIPS * height].reshape(STRIPS, height, -1) for a in (image, labels))
    return Volume(image[None], Grid((height, 1, 1))), labels.astype(np.uint8)


def _hippocampus(data: Path) -> Labelled:
    paths = sorted((data / "hippocampus3d/images").glob("*.nii.gz"))
    path = next(p for i, p in enumerate(paths) if is_held_out(i, SPLITS["hippocampus3d"]["every"]))
    return load_volume(path), load_labels(data / "hippocampus3d/labels" / path.name).array.astype(np.uint8)


def _sarcoma(patient: int, kind: str) -> Callable[[Path], Labelled]:
    def load(data: Path) -> Labelled:
        path = data / f"sarcoma3d/{SPLITS['sarcoma3d']['held_out'][patient]}_{kind}_image.nii.gz"
        labels = load_labels(path.with_name(path.name.replace("_image", "_mask"))).array
        return load_volume(path), (labels > 0).astype(np.uint8)

    return load


VOLUMES: dict[str, Callable[[Path], Labelled]] = {
    "nuclei, plant": _nuclei("plant_1135", (0.28, 0.127, 0.127)),
    "nuclei, embryo": _nuclei("embryo_16cell", (1.75, 0.8, 0.8)),
    "membranes, light": _cell_walls,
    "membranes, EM": _membranes,
    "hippocampus": _hippocampus,
    "sarcoma, CT": _sarcoma(0, "CT"),
    "sarcoma, MR": _sarcoma(1, "MR_T1"),
    "sandstone": _sandstone,
    "chloroplasts": _chloroplasts,
    "axons": _axons,
}


def labelled(data: Path, name: str) -> Labelled:
    """A held-out volume, by its name in `VOLUMES`."""
    return VOLUMES[name](data)
