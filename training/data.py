"""The labelled sets of `shared/data` (described in its README) as training cases and held-out examples."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import edt
import numpy as np
import tifffile
import torch

from napari_unetseg.core.card import Normalisation
from napari_unetseg.core.formats import load_labels, load_volume
from napari_unetseg.core.intensity import LUMINANCE, normaliser
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.batches import Case
from training.recipe import Array, Example, Split
from training.synthetic_nuclei import cached_stacks

SPLITS = tomllib.loads((Path(__file__).parent / "splits.toml").read_text())
SYNTHETIC = Path(__file__).parent / "runs/synthetic"
CORE_PART = 0.35  # the rim takes this part of an object's largest depth,
RIM_VOXELS = (1.0, 4.0)  # but at least and at most so many voxels


def normalised(image: Array) -> torch.Tensor:
    """Shape (1, …), float32: intensities as prediction normalises them, for the default of a card."""
    volume = Volume(image.reshape(1, -1, *image.shape[-2:]))
    return torch.from_numpy(normaliser(volume, Normalisation())(volume.array)).reshape(1, *image.shape)


def grey(image: Array) -> Array:
    """Luminance of a colour picture (…, 3); other images as they are."""
    return image @ np.array(LUMINANCE, np.float32) if image.shape[-1] == 3 else image


def cores_and_rims(objects: Array, spacing: tuple[float, ...]) -> torch.Tensor:
    """0 background, 1 core, 2 rim, of numbered objects; the rim is in proportion to the object's size."""
    depth = edt.edt(objects.astype(np.uint32), anisotropy=spacing, black_border=False) / min(spacing)
    numbers, inverse = np.unique(objects, return_inverse=True)
    inverse = inverse.reshape(objects.shape)
    deepest = np.zeros(len(numbers), np.float32)
    np.maximum.at(deepest, inverse.ravel(), depth.ravel().astype(np.float32))
    rim = np.clip(CORE_PART * deepest, *RIM_VOXELS)[inverse]
    classes = np.where(depth > rim, 1, 2)
    return torch.from_numpy(np.where(objects > 0, classes, 0).astype(np.int8))


def is_held_out(index: int, every: int) -> bool:
    """Whether the file with this place in the sorted list belongs to the held-out ones."""
    return index % every == every - 1


def hippocampus(root: Path) -> Split:
    """Whole T1 crops, in the orientation that the program gives every patient."""
    split = Split([], [])
    every = SPLITS["hippocampus3d"]["every"]
    for index, path in enumerate(sorted((root / "hippocampus3d/images").glob("*.nii.gz"))):
        image = load_volume(path).array[0]
        label = load_labels(root / "hippocampus3d/labels" / path.name).array
        if is_held_out(index, every):
            split.held_out.append(Example(path.name, "hippocampus", image, label, unit="mm"))
        else:
            split.train.append(Case(normalised(image), torch.from_numpy(label.astype(np.int8))))
    return split


def nuclei_2d(root: Path) -> Split:
    """Luminance pictures; the three kinds are drawn equally often or nearly so."""
    split = Split([], [])
    every, share = SPLITS["nuclei2d"]["every"], {"fluo": 0.5, "colour": 0.35, "grey": 0.15}
    for kind, weight in share.items():
        paths = sorted((root / "nuclei2d").glob(f"{kind}_*_image.tif"))
        for index, path in enumerate(paths):
            image, objects = grey(tifffile.imread(path)), _label_of(path)
            if is_held_out(index, every):
                split.held_out.append(Example(path.name, kind, image[None], objects[None]))
            else:
                rims = cores_and_rims(objects, (1.0, 1.0))
                split.train.append(Case(normalised(image), rims, weight / len(paths)))
    return split


def _label_of(path: Path, kind: str = "label") -> Array:
    labels: Array = tifffile.imread(path.with_name(path.name.replace("_image", f"_{kind}")))
    return labels


def stack_part(array: Array, rule: dict[str, Any], part: str) -> Array:
    """The training or held-out slab of a (Z, Y, X) stack, as `splits.toml` says."""
    start, stop = rule[part]
    cut = [slice(None)] * 3
    cut["zyx".index(rule["axis"])] = slice(start, stop)
    return array[tuple(cut)]


NUCLEI_3D_SPACING = {
    "plant_1135": ((0.28, 0.127, 0.127), "µm"),
    "ovule": ((1.0, 1.0, 1.0), "pixel"),
    "embryo_16cell": ((1.75, 0.8, 0.8), "µm"),
}


SYNTHETIC_STACKS = 64
REAL_SHARE = 0.4  # of the patches, over the real stacks alike; the rest is generated


def nuclei_3d(root: Path) -> Split:
    """Parts of the three real stacks, and generated ones."""
    split = Split([], [])
    for name, (spacing, unit) in NUCLEI_3D_SPACING.items():
        rule, path = SPLITS["nuclei3d"][name], root / f"nuclei3d/{name}_image.tif"
        image, objects = tifffile.imread(path), _label_of(path)
        rims = cores_and_rims(stack_part(objects, rule, "train"), spacing)
        share = REAL_SHARE / len(NUCLEI_3D_SPACING)
        split.train.append(Case(normalised(stack_part(image, rule, "train")), rims, share))
        held = (stack_part(array, rule, "held_out") for array in (image, objects))
        split.held_out.append(Example(name, name, *held, spacing=spacing, unit=unit))
    for stack in cached_stacks(SYNTHETIC_STACKS, SYNTHETIC):
        rims = cores_and_rims(stack.objects, stack.spacing)
        split.train.append(Case(normalised(stack.image), rims, (1 - REAL_SHARE) / SYNTHETIC_STACKS))
    return split


def axons(root: Path) -> Split:
    """Scanning electron micrographs, split by animal; drawn by their area."""
    split = Split([], [])
    for path in sorted((root / "axon2d").glob("*_image.tif")):
        image, labels = tifffile.imread(path), _label_of(path)
        if path.name.startswith(tuple(SPLITS["axon2d"]["held_out"])):
            split.held_out.append(Example(path.name, "rat nerve", image[None], labels[None]))
        else:
            split.train.append(Case(normalised(image), torch.from_numpy(labels.astype(np.int8)), labels.size**0.5))
    return split


def membranes(root: Path) -> Split:
    """FIB-SEM of the fly's medulla, boundaries between neurons."""
    path, grid = root / "em3d/fib25_image.tif", {"spacing": (10.0, 10.0, 10.0), "unit": "nm"}
    return _boundary_slab(path, SPLITS["em3d"]["fib25"], "fly medulla", **grid)


def membranes_2d(root: Path) -> Split:
    """Single slices of the same, across all axes: with cubic voxels they are of one kind."""
    split = membranes(root)
    return Split(
        [
            Case(case.image.select(axis + 1, index), case.labels.select(axis, index))
            for case in split.train
            for axis in range(3)
            for index in range(0, case.labels.shape[axis], 2)
        ],
        [
            replace(held, name=f"{held.name} {z}", image=held.image[z : z + 1], truth=held.truth[z : z + 1])
            for held in split.held_out
            for z in range(0, len(held.image), 4)
        ],
    )


def cell_boundaries(root: Path) -> Split:
    """Walls between the cells of a plant's ovule, with a membrane stain."""
    path, grid = root / "cells3d/ovule_image.tif", {"spacing": (0.235, 0.15, 0.15), "unit": "µm"}
    return _boundary_slab(path, SPLITS["cells3d"]["ovule"], "plant ovule", **grid)


def _boundary_slab(path: Path, rule: dict[str, Any], group: str, **grid: Any) -> Split:
    image, boundary = tifffile.imread(path), _label_of(path, "boundary")
    labels = torch.from_numpy(stack_part(boundary, rule, "train").astype(np.int8))
    train = Case(normalised(stack_part(image, rule, "train")), labels)
    held = (stack_part(array, rule, "held_out") for array in (image, boundary))
    return Split([train], [Example(path.name, group, *held, **grid)])


def chloroplasts(root: Path) -> Split:
    """Electron micrographs of a leaf, ten slices of one stack."""
    rule, path = SPLITS["chloroplast2d"], root / "chloroplast2d/image.tif"
    image, objects = tifffile.imread(path), tifffile.imread(path.with_name("label.tif"))
    seen = zip(*(stack_part(array, rule, "train") for array in (image, objects > 0)), strict=True)
    held = zip(*(stack_part(array, rule, "held_out") for array in (image, objects > 0)), strict=True)
    return Split(
        [Case(normalised(plane), torch.from_numpy(labels.astype(np.int8))) for plane, labels in seen],
        [
            Example(f"slice {z}", "plant leaf", plane[None], labels[None].astype(np.uint8))
            for z, (plane, labels) in enumerate(held)
        ],
    )
