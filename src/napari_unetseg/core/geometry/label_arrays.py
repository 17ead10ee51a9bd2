"""Label arrays: which labels there are, where they are, and smaller numbers for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cc3d
import fastremap
import numpy as np
import numpy.typing as npt
from scipy import ndimage

LabelArray = npt.NDArray[Any]
Numbers = npt.NDArray[np.uint64]
Box = tuple[slice, ...]
LARGEST_DIRECT_LABEL = 4095
"""Labels up to here are looked up in a table; larger ones by hashing."""


def plain(array: LabelArray) -> LabelArray:
    """The same labels as integers in this machine's byte order, without a copy where possible."""
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def present_labels(array: LabelArray) -> Numbers:
    """The labels above 0 that occur, in ascending order."""
    found: Numbers = fastremap.unique(plain(array)).astype(np.uint64)
    return found[found > 0]


def renumbering(labels: Numbers) -> Callable[[LabelArray], LabelArray]:
    """What turns labels into 1 … n, in the order of `labels`; 0 stays."""
    if len(labels) and labels[-1] == len(labels) <= LARGEST_DIRECT_LABEL:
        return lambda array: array
    if not len(labels) or labels[-1] > LARGEST_DIRECT_LABEL:
        table = {0: 0} | {label: number for number, label in enumerate(labels.tolist(), start=1)}
        wide = np.uint32 if not len(labels) or labels[-1] < 2**32 else np.uint64  # remap keeps the array's dtype
        return lambda array: fastremap.remap(array.astype(wide, copy=False), table)
    lookup = np.zeros(int(labels[-1]) + 1, dtype=np.min_scalar_type(len(labels)))
    lookup[labels.astype(np.intp)] = np.arange(1, len(labels) + 1)
    return lambda array: lookup[array]


def bounding_boxes(array: LabelArray, labels: Numbers) -> list[Box | None]:
    """The smallest box around each label's voxels, or None for a label that does not occur."""
    if not len(labels):
        return []
    direct = labels[-1] <= LARGEST_DIRECT_LABEL
    boxes = ndimage.find_objects(array if direct else renumbering(labels)(array))
    numbers = labels.tolist() if direct else range(1, len(labels) + 1)
    return [boxes[number - 1] if number <= len(boxes) else None for number in numbers]


def regions(array: LabelArray) -> list[tuple[int, Box]]:
    """Every label above 0 that occurs, in ascending order, with the smallest box around its voxels."""
    labels = present_labels(array)
    boxes = bounding_boxes(plain(array), labels)
    return [(label, box) for label, box in zip(labels.tolist(), boxes, strict=True) if box is not None]


def connected_parts(array: LabelArray, faces: bool = False) -> tuple[npt.NDArray[np.uint32], int]:
    """Number the connected parts of each label above 0, or of a mask, as 1 … n; and tell n.

    Parameters
    ----------
    array : ndarray of integers or bool, shape (Y, X) or (Z, Y, X)
    faces : bool
        Voxels are connected at faces alone; otherwise at faces, edges and corners.
    """
    around = (6 if faces else 26) if array.ndim == 3 else (4 if faces else 8)
    # as integers: for 2D arrays of bool, cc3d 4.1.1 finds parts that are not there
    parts, count = cc3d.connected_components(plain(array), connectivity=around, out_dtype=np.uint32, return_N=True)
    return parts, int(count)


def grown_box(box: Box, margin: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """A box with `margin` voxels more at both ends of each axis, as far as the array goes."""
    return tuple(
        slice(max(0, side.start - more), min(length, side.stop + more))
        for side, more, length in zip(box, margin, shape, strict=True)
    )
