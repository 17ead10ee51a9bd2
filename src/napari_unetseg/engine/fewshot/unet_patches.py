"""Annotated images as a U-Net sees them: cut out around their labels, normalised, on the network's grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.annotations.sparse_labels import IGNORE, UNPAINTED, painted_planes, to_classes
from napari_unetseg.core.geometry.resample import AxisGrid
from napari_unetseg.core.geometry.tiles import Box
from napari_unetseg.core.grid import Triple
from napari_unetseg.core.models.normalisation import Normaliser
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot.fit_head import painted_slices
from napari_unetseg.engine.inference.predict import along
from napari_unetseg.engine.networks.unets.unet import UNet
from napari_unetseg.engine.training.patches import Case

MOST_VOXELS = 2**27  # of one image held for training: 0.5 GB in float32

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class NetworkFrame:
    """How a network sees an image.

    Parameters
    ----------
    dimensions : 2 or 3
    reach : (z, y, x)
        How far beyond the paint the image is kept, in its own voxels.
    ratio : (z, y, x)
        Network voxels for one of the image's.
    """

    dimensions: int
    reach: tuple[int, int, int]
    ratio: Triple


def annotated_cases(
    volumes: Sequence[Volume], painted: Sequence[Array], reads: Sequence[Normaliser], frame: NetworkFrame
) -> list[Case]:
    """The painted parts of images; each has the same chance to be drawn from."""
    if frame.dimensions == 2:
        places = [(s.image, ((s.z, s.z + 1), *_around(painted[s.image], frame)[1:])) for s in painted_slices(painted)]
    else:
        places = [(image, box) for image, paint in enumerate(painted) for box in _boxes(paint, frame)]
    return [_case(volumes[image], painted[image], reads[image], box, frame) for image, box in places]


def _boxes(paint: Array, frame: NetworkFrame) -> Iterator[Box]:
    """The box around all paint where it is small enough, else one around each painted plane, the fullest first."""
    if not paint.any():
        return
    box = _around(paint, frame)
    if _voxels(box) <= MOST_VOXELS:
        yield box
        return
    room = MOST_VOXELS
    for plane in painted_planes(paint):
        around = list(box)
        around[plane.axis] = (
            max(0, plane.index - frame.reach[plane.axis]),
            min(paint.shape[plane.axis], plane.index + frame.reach[plane.axis] + 1),
        )
        room -= _voxels((around[0], around[1], around[2]))
        yield around[0], around[1], around[2]
        if room <= 0:
            return


def _around(paint: Array, frame: NetworkFrame) -> Box:
    z, y, x = (
        (max(0, int(along.min()) - reach), min(length, int(along.max()) + reach + 1))
        for along, reach, length in zip(np.nonzero(paint), frame.reach, paint.shape, strict=True)
    )
    return z, y, x


def _voxels(box: Box) -> int:
    return math.prod(stop - start for start, stop in box)


def _case(volume: Volume, paint: Array, read: Normaliser, box: Box, frame: NetworkFrame) -> Case:
    inside = tuple(slice(*span) for span in box)
    image = torch.from_numpy(read(np.asarray(volume.array[:, *inside])))
    known = np.asarray(paint[inside])
    for axis, ratio in enumerate(frame.ratio):
        if ratio != 1.0:
            grid = AxisGrid(known.shape[axis], ratio)
            image = along(image, axis + 1, grid.seen((0, grid.network_length)))
            known = _paint_along(known, axis, grid)
    classes = torch.from_numpy(to_classes(known).astype(np.int8))
    return Case(image[:, 0], classes[0]) if frame.dimensions == 2 else Case(image, classes)


def _paint_along(paint: Array, axis: int, grid: AxisGrid) -> Array:
    """Paint on the network's grid; where that is coarser, no painted voxel is lost, and structures come first."""
    if grid.ratio > 1:
        places = ((np.arange(grid.network_length) + 0.5) / grid.ratio).astype(int).clip(max=grid.length - 1)
        return np.take(paint, places, axis)
    places = ((np.arange(grid.length) + 0.5) * grid.ratio).astype(int).clip(max=grid.network_length - 1)
    shape = list(paint.shape)
    shape[axis] = grid.network_length
    coarse = np.full(shape, UNPAINTED, paint.dtype)
    np.maximum.at(np.moveaxis(coarse, axis, 0), places, np.moveaxis(paint, axis, 0))
    return coarse


@torch.inference_mode()
def scored_windows(
    network: UNet, cases: Sequence[Case], window: tuple[int, ...], margin: tuple[int, ...]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Class scores (outputs, [Z,] Y, X) and labels ([Z,] Y, X), window by window, where there are labels.

    Parameters
    ----------
    network : UNet
        In evaluation mode.
    window, margin : one number per spatial axis
        What a pass gives a result for, and how much more it sees on each side.
    """
    for case in cases:
        size = case.labels.shape
        for start in itertools.product(*(range(0, n, w) for n, w in zip(size, window, strict=True))):
            fills = [(s, min(n, s + w)) for s, w, n in zip(start, window, size, strict=True)]
            labels = case.labels[tuple(slice(*span) for span in fills)]
            if not (labels != IGNORE).any():
                continue
            seen = [(max(0, a - m), min(n, b + m)) for (a, b), m, n in zip(fills, margin, size, strict=True)]
            scores = network(case.image[(slice(None), *(slice(*span) for span in seen))][None])[0]
            inside = (slice(a - first, b - first) for (a, b), (first, _) in zip(fills, seen, strict=True))
            yield scores[:, *inside], labels
