"""Numbered objects from a mask and the cores of its objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cc3d
import edt
import fastremap
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

from napari_unetseg.core.grid import Triple

FACES = 6  # voxels that share a face are connected: thin bridges over edges do not join objects
CORE_SHARE = 1.0  # of a core's own depth, added to that of the mask
SMOOTHING = 1.0  # standard deviation, in voxels along the finest axis
PROMINENCE = 2.0  # in such voxels: how much a waist must be thinner than what it joins

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]
Depth = npt.NDArray[np.floating[Any]]


def separate_objects(
    structure_mask: Mask, cores: Mask | None, spacing: Triple = (1.0, 1.0, 1.0), minimum: int = 0
) -> npt.NDArray[np.uint32]:
    """Split a mask into objects, where it has a waist.

    Every voxel has a depth: its distance to the outside, and within a core `CORE_SHARE` of its distance to the outside
    of that. A watershed on the depth gives a part for each of its peaks; two of these are one object where the way from
    the lower peak to the other descends by less than `PROMINENCE`: the dynamics of a peak, Grimaud 1992, DOI
    10.1117/12.60650. Voxels are connected where they share a face. Without cores, each connected part is an object.

    Parameters
    ----------
    structure_mask : ndarray of bool, shape (Z, Y, X)
        The structure. 2D has Z = 1.
    cores : ndarray of bool, shape (Z, Y, X), or None
        The cores of its objects; what lies outside the mask does not count.
    spacing : (z, y, x)
        Voxel size, in any unit: distances follow it.
    minimum : int
        Objects of fewer voxels are dropped; 0 or 1 keeps all.

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)
        0 outside, 1 … n in the order of their first voxels. All 0 for an empty mask.
    """
    if cores is None or not structure_mask.any():
        objects = cc3d.connected_components(structure_mask, connectivity=FACES, out_dtype=np.uint32)
    else:
        depth = _depth(structure_mask, cores & structure_mask, spacing)
        parts = watershed(-depth, mask=structure_mask, connectivity=1)
        if not parts.any():  # one depth everywhere has no peak
            parts = structure_mask.astype(np.int32)
        objects = _joined(parts, depth).astype(np.uint32)
    if minimum > 1:
        objects = cc3d.dust(objects, threshold=minimum, connectivity=FACES, in_place=True)
    renumbered, _ = fastremap.renumber(objects, preserve_zero=True, in_place=True)
    return np.asarray(renumbered, dtype=np.uint32)


def _depth(mask: Mask, cores: Mask, spacing: Triple) -> Depth:
    """Smoothed depth (Z, Y, X), in voxels along the finest axis."""
    finest = tuple(length / min(spacing) for length in spacing)
    widest = max(length * count for length, count in zip(finest, mask.shape, strict=True))
    of_mask, of_cores = (
        np.minimum(edt.edt(m, anisotropy=finest, black_border=False, parallel=0), widest)  # infinite without an outside
        for m in (mask, cores)
    )
    sigma = [SMOOTHING / length for length in finest]
    smooth: Depth = ndimage.gaussian_filter(of_mask + CORE_SHARE * of_cores, sigma)
    return smooth


def _joined(parts: Numbers, depth: Depth) -> Numbers:
    """The parts, those that no waist divides under one number."""
    peaks = ndimage.maximum(depth, parts, np.arange(parts.max() + 1))
    peaks, root = peaks.tolist(), list(range(len(peaks)))

    def root_of(number: int) -> int:
        while root[number] != number:
            root[number] = number = root[root[number]]
        return number

    for one, other, waist in _waists(parts, depth):
        low, high = sorted((root_of(one), root_of(other)), key=lambda number: (peaks[number], -number))
        if peaks[low] - waist < PROMINENCE:
            root[low] = high
    return np.array([root_of(number) for number in root])[parts]


def _waists(parts: Numbers, depth: Depth) -> Iterator[tuple[int, int, float]]:
    """Pairs of parts that touch, and the largest depth on the way from one to the other; the deepest first."""
    pairs, depths = [np.empty((0, 2), parts.dtype)], [np.empty(0, depth.dtype)]
    for axis in range(parts.ndim):
        here, there = (slice(None),) * axis + (slice(-1),), (slice(None),) * axis + (slice(1, None),)
        touching = (parts[here] != parts[there]) & (parts[here] > 0) & (parts[there] > 0)
        pairs.append(np.sort(np.stack([parts[here][touching], parts[there][touching]], axis=1)))
        depths.append(np.minimum(depth[here][touching], depth[there][touching]))
    all_pairs, all_depths = np.concatenate(pairs), np.concatenate(depths)
    order = np.argsort(-all_depths, kind="stable")
    _, first = np.unique(all_pairs[order], axis=0, return_index=True)
    deepest = order[np.sort(first)]
    yield from zip(*all_pairs[deepest].T.tolist(), all_depths[deepest].tolist(), strict=True)
