"""Morphology of structures: growing, smoothing and shrinking among competitors, and changes of one mask alone."""

from __future__ import annotations

import edt
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unetseg.core.geometry.label_arrays import Box, LabelArray, connected_parts, grown_box

Regions = list[tuple[int, Box]]
Spacing = tuple[float, ...]
ROUNDING = 1 + 1e-6
"""A distance that equals the one asked for may come out this much larger, in float32."""
TRUNCATE = 3.0
"""Where a Gaussian ends, in standard deviations."""


def dilate(array: LabelArray, regions: Regions, distance: float, spacing: Spacing) -> LabelArray:
    """Give background voxels to the nearest of `regions` that is at most `distance` away.

    Distances are those between voxel centres; `distance` and `spacing` have one unit.
    """
    grown, nearest = array.copy(), np.full(array.shape, np.inf, np.float32)
    margin = tuple(int(np.ceil(distance / step)) for step in spacing)
    for label, box in regions:
        near = grown_box(box, margin, array.shape)
        away = edt.edt(array[near] != label, anisotropy=spacing)
        won = (array[near] == 0) & (away <= distance * ROUNDING) & (away < nearest[near])
        grown[near][won] = label
        nearest[near][won] = away[won]
    return grown


def erode(array: LabelArray, regions: Regions, distance: float, spacing: Spacing) -> LabelArray:
    """Clear the voxels of `regions` from which another label or background is at most `distance` away.

    What lies beyond the end of the array is taken for the same structure.
    """
    shrunk = array.copy()
    for label, box in regions:
        near = grown_box(box, (1,) * array.ndim, array.shape)
        mask = array[near] == label
        shrunk[near][mask & (edt.edt(mask, anisotropy=spacing) <= distance * ROUNDING)] = 0
    return shrunk


def smooth(array: LabelArray, regions: Regions, radius: float, spacing: Spacing) -> LabelArray:
    """Give each voxel to the one of `regions`, or to the rest, that has most of a Gaussian around it.

    `radius` is its standard deviation, in the unit of `spacing`. Voxels of labels that are not in `regions` stay.
    """
    sigma = [min(radius / step, float(max(array.shape))) for step in spacing]  # wider ones are flat just the same
    margin = tuple(int(np.ceil(TRUNCATE * s)) + 1 for s in sigma)
    rest, best = np.ones(array.shape, np.float32), np.zeros(array.shape, np.float32)
    winner, free = np.zeros_like(array), array == 0
    for label, box in regions:
        near = grown_box(box, margin, array.shape)
        mask = array[near] == label
        share = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest", truncate=TRUNCATE)
        rest[near] -= share
        won = share > best[near]
        best[near][won] = share[won]
        winner[near][won] = label
        free[near] |= mask
    winner[rest >= best] = 0
    return np.where(free, winner, array)


Mask = npt.NDArray[np.bool_]


def keep_largest(mask: Mask, parts: int) -> Mask:
    """The `parts` largest connected parts; voxels are connected at faces, edges and corners."""
    numbered, _ = connected_parts(mask)
    sizes = np.bincount(numbered.ravel())
    kept: Mask = np.isin(numbered, np.argsort(-sizes[1:], kind="stable")[:parts] + 1)
    return kept


def remove_small(mask: Mask, voxels: float) -> Mask:
    """The connected parts of `voxels` or more."""
    numbered, _ = connected_parts(mask)
    large = np.bincount(numbered.ravel()) >= voxels
    large[0] = False
    kept: Mask = large[numbered]
    return kept


def fill_holes(mask: Mask, per_slice: bool = False) -> Mask:
    """The mask with the background that it encloses; background is connected at faces alone.

    Background that reaches the end of the array is not enclosed. With `per_slice` each slice of a 3D mask counts alone.
    """
    if per_slice and mask.ndim == 3:
        return np.stack([fill_holes(piece) for piece in mask])
    outside, _ = connected_parts(~np.pad(mask, 1), faces=True)
    filled: Mask = (outside != outside[(0,) * mask.ndim])[(slice(1, -1),) * mask.ndim]
    return filled
