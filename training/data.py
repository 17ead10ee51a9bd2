"""The labelled sets of `shared/data` (described in its README) as training cases and held-out examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edt
import numpy as np
import tifffile
import torch

from napari_unetseg.core.io.loadsave import load_labels, load_volume
from napari_unetseg.core.models.card import Normalisation, VerificationSet
from napari_unetseg.core.models.normalisation import LUMINANCE, normaliser
from napari_unetseg.core.models.verification import Example, verification_paths
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.training.patches import Case
from training.held_out import NUCLEI_3D, RULES, SPLITS, held_out
from training.recipe import Array, Split
from training.synthetic_nuclei import cached_stacks

SYNTHETIC = Path(__file__).parent / "runs/synthetic"
RIM_PART = 0.5  # of an object's largest depth,
RIM_VOXELS = (1.0, 6.0)  # but at least and at most so many voxels: small cores are what separates touching objects
KINDS = (0.45, 0.4, 0.15)  # of the patches of 2D nuclei: fluorescence, stained tissue, bright field


def normalised(image: Array) -> torch.Tensor:
    """Shape (1, …), float32: intensities as prediction normalises them, for the default of a card."""
    volume = Volume(image.reshape(1, -1, *image.shape[-2:]))
    return torch.from_numpy(normaliser(volume, Normalisation())(volume.array)).reshape(1, *image.shape)


def seen(example: Example) -> Array:
    """The image (Z, Y, X) of a held-out example, as a network of one channel gets it."""
    volume = example.volume
    return grey(np.moveaxis(volume.array, 0, -1)) if volume.is_colour else volume.array[0]


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
    rim = np.clip(RIM_PART * deepest, *RIM_VOXELS)[inverse]
    classes = np.where(depth > rim, 1, 2)
    return torch.from_numpy(np.where(objects > 0, classes, 0).astype(np.int8))


def is_held_out(index: int, every: int) -> bool:
    """Whether the file with this place in the sorted list belongs to the held-out ones."""
    return index % every == every - 1


def hippocampus(root: Path) -> Split:
    """Whole T1 crops, in the orientation that the program gives every patient."""
    (rule,) = RULES["hippocampus-3d"]
    train = []
    for path in _training_paths(rule, root):
        image = load_volume(path).array[0]
        label = load_labels(root / "hippocampus3d/labels" / path.name).array
        train.append(Case(normalised(image), torch.from_numpy(label.astype(np.int8))))
    return Split(train, held_out("hippocampus-3d", root))


def nuclei_2d(root: Path) -> Split:
    """Luminance pictures; the three kinds are drawn equally often or nearly so."""
    train = []
    for rule, weight in zip(RULES["nuclei-2d"], KINDS, strict=True):
        paths = _training_paths(rule, root)
        for path in paths:
            image, objects = grey(tifffile.imread(path)), _label_of(path)
            train.append(Case(normalised(image), cores_and_rims(objects, (1.0, 1.0)), weight / len(paths)))
    return Split(train, held_out("nuclei-2d", root))


def _training_paths(rule: VerificationSet, root: Path) -> list[Path]:
    """All images of a set but those that the rule holds out."""
    return sorted(set(root.glob(rule.images)) - set(verification_paths(rule, root)))


def _label_of(path: Path, kind: str = "label") -> Array:
    labels: Array = tifffile.imread(path.with_name(path.name.replace("_image", f"_{kind}")))
    return labels


def stack_part(array: Array, rule: dict[str, Any], part: str) -> Array:
    """The training or held-out slab of a (Z, Y, X) stack, as `splits.toml` says."""
    start, stop = rule[part]
    cut = [slice(None)] * 3
    cut["zyx".index(rule["axis"])] = slice(start, stop)
    return array[tuple(cut)]


SYNTHETIC_STACKS = 64
REAL_SHARE = 0.4  # of the patches, over the real stacks alike; the rest is generated


def nuclei_3d(root: Path) -> Split:
    """Parts of the three real stacks, and generated ones."""
    train = []
    for name, (_, grid) in NUCLEI_3D.items():
        rule, path = SPLITS["nuclei3d"][name], root / f"nuclei3d/{name}_image.tif"
        image, objects = (stack_part(array, rule, "train") for array in (tifffile.imread(path), _label_of(path)))
        rims = cores_and_rims(objects, grid.get("spacing", (1.0, 1.0, 1.0)))
        train.append(Case(normalised(image), rims, REAL_SHARE / len(NUCLEI_3D)))
    for stack in cached_stacks(SYNTHETIC_STACKS, SYNTHETIC):
        rims = cores_and_rims(stack.objects, stack.spacing)
        train.append(Case(normalised(stack.image), rims, (1 - REAL_SHARE) / SYNTHETIC_STACKS))
    return Split(train, held_out("nuclei-3d", root))


def axons(root: Path) -> Split:
    """Scanning electron micrographs, split by animal; drawn by their area."""
    (rule,) = RULES["axon-myelin-2d"]
    train = []
    for path in _training_paths(rule, root):
        image, labels = tifffile.imread(path), _label_of(path)
        train.append(Case(normalised(image), torch.from_numpy(labels.astype(np.int8)), labels.size**0.5))
    return Split(train, held_out("axon-myelin-2d", root))


def membranes(root: Path) -> Split:
    """FIB-SEM of the fly's medulla, boundaries between neurons."""
    slab = _boundary_slab(root / "em3d/fib25_image.tif", SPLITS["em3d"]["fib25"])
    return Split([slab], held_out("em-membrane-3d", root))


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
        held_out("em-membrane-2d", root),
    )


def cell_boundaries(root: Path) -> Split:
    """Walls between the cells of a plant's ovule, with a membrane stain."""
    slab = _boundary_slab(root / "cells3d/ovule_image.tif", SPLITS["cells3d"]["ovule"])
    return Split([slab], held_out("cell-boundary-3d", root))


def _boundary_slab(path: Path, rule: dict[str, Any]) -> Case:
    image, boundary = (stack_part(a, rule, "train") for a in (tifffile.imread(path), _label_of(path, "boundary")))
    return Case(normalised(image), torch.from_numpy(boundary.astype(np.int8)))


def chloroplasts(root: Path) -> Split:
    """Electron micrographs of a leaf, ten slices of one stack."""
    rule, path = SPLITS["chloroplast2d"], root / "chloroplast2d/image.tif"
    image, objects = tifffile.imread(path), tifffile.imread(path.with_name("label.tif"))
    planes = zip(*(stack_part(array, rule, "train") for array in (image, objects > 0)), strict=True)
    train = [Case(normalised(plane), torch.from_numpy(labels.astype(np.int8))) for plane, labels in planes]
    return Split(train, held_out("chloroplast-2d", root))
