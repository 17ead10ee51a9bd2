"""Distances between the surfaces of two masks, and how well their boundaries agree.

A mask's surface is the set of its voxels that have a voxel outside it at a face; beyond the array is outside. MONAI
and, for two dimensions, the boundary pixels of the field's older tools are defined the same way. Each surface voxel
counts once. DeepMind's surface-distance instead puts surface elements on voxel corners and weighs them by area: its
Hausdorff distance differs from this one by at most a voxel's diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import edt
import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from napari_unetseg.core.geometry.label_arrays import connected_parts

Mask = npt.NDArray[np.bool_]
Distances = npt.NDArray[np.floating[Any]]
FEWEST_PARTS = 4
"""From so few parts on, small and large ones can be told apart."""
TREE_BELOW = 1 / 12
"""Below this share of surface voxels in a box a k-d tree is faster than a distance transform of the box; measured."""
MOST_SHIFTS = 200
"""From more neighbours than this on, a distance transform finds the voxels near the outside faster than shifting."""
ROUNDING = 1 + 1e-6
"""A distance within the tolerance may come out this much larger, in float32."""


@dataclass(frozen=True)
class SurfaceScore:
    """The part of a `StructureScore` that needs surfaces and parts; see there."""

    hausdorff: float
    hausdorff95: float
    assd: float
    nsd: float
    boundary_dice: float
    parts: int
    reference_parts: int
    small_recall: float | None
    large_recall: float | None


def score_surfaces(predicted: Mask, reference: Mask, spacing: tuple[float, ...], tolerance: float) -> SurfaceScore:
    """Score the surfaces of one structure; at least one mask has a voxel.

    Parameters
    ----------
    predicted, reference : ndarray of bool, shape (Y, X) or (Z, Y, X)
        A crop that holds all voxels of the structure in both.
    spacing : (y, x) or (z, y, x)
        Physical size of a voxel.
    tolerance : float
        In the unit of `spacing`.
    """
    parts = count_parts(predicted)
    reference_parts, small, large = recall_by_size(predicted, reference)
    if not (parts and reference_parts):
        return SurfaceScore(np.inf, np.inf, np.inf, 0.0, 0.0, parts, reference_parts, small, large)
    surface, reference_surface = surface_voxels(predicted), surface_voxels(reference)
    there, back = surface_distances(surface, reference_surface, spacing)
    close = np.count_nonzero(there <= tolerance * ROUNDING) + np.count_nonzero(back <= tolerance * ROUNDING)
    band = surface | inner_band(predicted, spacing, tolerance)
    reference_band = reference_surface | inner_band(reference, spacing, tolerance)
    return SurfaceScore(
        hausdorff=float(max(there.max(), back.max())),
        hausdorff95=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        assd=float((there.sum(dtype=float) + back.sum(dtype=float)) / (there.size + back.size)),
        nsd=float(close / (there.size + back.size)),
        boundary_dice=float(
            2 * np.count_nonzero(band & reference_band) / (np.count_nonzero(band) + np.count_nonzero(reference_band))
        ),
        parts=parts,
        reference_parts=reference_parts,
        small_recall=small,
        large_recall=large,
    )


def surface_voxels(mask: Mask) -> Mask:
    """The voxels of a mask that have a voxel outside it, or the end of the array, at a face."""
    inside = mask.copy()
    for axis in range(mask.ndim):
        here, source = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        here[1:] &= source[:-1]
        here[:-1] &= source[1:]
        here[[0, -1]] = False
    return mask & ~inside


def surface_distances(one: Mask, other: Mask, spacing: tuple[float, ...]) -> tuple[Distances, Distances]:
    """From every voxel of each surface to the nearest of the other, exactly; neither may be empty.

    Returns
    -------
    tuple of two ndarrays of float
        Distances from `one` to `other` and from `other` to `one`, in the unit of `spacing`.
    """
    if np.count_nonzero(one) + np.count_nonzero(other) < one.size * TREE_BELOW:
        trees = [KDTree(_points(mask, spacing), leafsize=32, balanced_tree=False) for mask in (one, other)]
        return trees[1].query(trees[0].data)[0], trees[0].query(trees[1].data)[0]
    return edt.edt(~other, anisotropy=spacing)[one], edt.edt(~one, anisotropy=spacing)[other]


def _points(mask: Mask, spacing: tuple[float, ...]) -> Distances:
    """Positions of a mask's voxels, shape (n, axes)."""
    indices = np.unravel_index(np.flatnonzero(mask), mask.shape)
    return np.stack([index * step for index, step in zip(indices, spacing, strict=True)], axis=1)


def inner_band(mask: Mask, spacing: tuple[float, ...], width: float) -> Mask:
    """The voxels of a mask from which a voxel outside, or the end of the array, is at most `width` away."""
    offsets = _ball(spacing, width * ROUNDING)
    if len(offsets) > MOST_SHIFTS:
        band: Mask = mask & (edt.edt(mask, anisotropy=spacing, black_border=True) <= width * ROUNDING)
        return band
    reach = np.abs(offsets).max(axis=0, initial=0)
    padded, inside = np.pad(mask, [(r, r) for r in reach]), mask.copy()
    for offset in offsets + reach:
        inside &= padded[tuple(slice(o, o + length) for o, length in zip(offset, mask.shape, strict=True))]
    return mask & ~inside


def _ball(spacing: tuple[float, ...], radius: float) -> npt.NDArray[np.int64]:
    """The offsets in voxels, shape (n, axes), to all neighbours at most `radius` away."""
    reach = [int(radius / step) for step in spacing]
    offsets = np.indices([2 * r + 1 for r in reach]).reshape(len(reach), -1).T - reach
    squared = np.sum((offsets * np.asarray(spacing)) ** 2, axis=1)
    near: npt.NDArray[np.int64] = offsets[(squared > 0) & (squared <= radius**2)]
    return near


def recall_by_size(predicted: Mask, reference: Mask) -> tuple[int, float | None, float | None]:
    """How many parts the reference has, and which share of its small and of its large ones was found.

    A part is found where more than half of its voxels are. Parts are ranked by size, and halved; of fewer than
    `FEWEST_PARTS` both shares are None.
    """
    parts, count = connected_parts(reference)
    if count < FEWEST_PARTS:
        return count, None, None
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    hits = np.bincount(parts[predicted], minlength=count + 1)[1:] > sizes / 2
    small, large = np.array_split(hits[np.argsort(sizes, kind="stable")], 2)
    return count, float(small.mean()), float(large.mean())


def count_parts(mask: Mask) -> int:
    """Connected parts of a mask; voxels are connected at faces, edges and corners."""
    return connected_parts(mask)[1]
