"""From a mask and the cores of its objects to numbered objects."""

from __future__ import annotations

from typing import Any

import cc3d
import edt
import fastremap
import numpy as np
import numpy.typing as npt
from skimage.segmentation import watershed

from napari_unetseg.core.volume import Triple

Mask = npt.NDArray[np.bool_]
FACES = 6  # voxels that share a face are connected: thin bridges over edges do not join objects
SEED_PART = 10  # a seed smaller than this part of the smallest object is noise, and would cut an object in two


def separate_objects(
    structure_mask: Mask, seeds: Mask, spacing: Triple = (1.0, 1.0, 1.0), minimum: int = 0
) -> npt.NDArray[np.uint32]:
    """Split a mask into objects, one for each connected part of the seeds.

    Voxels are connected where they share a face. In a part of the mask that holds several seeds, a watershed on the
    distance to the mask's outside draws the borders. A part without a seed is an object of its own.

    Parameters
    ----------
    structure_mask, seeds : ndarray of bool, shape (Z, Y, X)
        The structure, and the cores of its objects; seeds outside the mask do not count. 2D has Z = 1.
    spacing : (z, y, x)
        Voxel size, in any unit: distances follow it.
    minimum : int
        Objects of fewer voxels are dropped; 0 or 1 keeps all.

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)
        0 outside, 1 … n in the order of their first voxels. All 0 for an empty mask.
    """
    seed_parts = _seed_parts(structure_mask & seeds, minimum // SEED_PART)
    parts = cc3d.connected_components(structure_mask, connectivity=FACES, out_dtype=np.uint32)
    seeds_in_part = _count_seeds(parts, seed_parts)
    crowded = (seeds_in_part > 1)[parts]
    objects = parts.astype(np.uint32)
    if crowded.any():
        objects[crowded] = _watershed(crowded, seed_parts, spacing)[crowded] + parts.max()
    if minimum > 1:
        objects = cc3d.dust(objects, threshold=minimum, connectivity=FACES, in_place=True)
    renumbered, _ = fastremap.renumber(objects, preserve_zero=True, in_place=True)
    return np.asarray(renumbered, dtype=np.uint32)


def _seed_parts(seeds: Mask, smallest: int) -> npt.NDArray[Any]:
    """Number the seeds' parts, those below `smallest` voxels left out."""
    if smallest > 1:
        seeds = cc3d.dust(seeds, threshold=smallest, connectivity=FACES)
    return cc3d.connected_components(seeds, connectivity=FACES, out_dtype=np.uint32)  # type: ignore[no-any-return]


def _count_seeds(parts: npt.NDArray[Any], seed_parts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """How many seeds each part of the mask holds, by its number."""
    at_seeds = seed_parts > 0
    _, first = np.unique(seed_parts[at_seeds], return_index=True)
    return np.bincount(parts[at_seeds][first], minlength=int(parts.max()) + 1)


def _watershed(mask: Mask, seed_parts: npt.NDArray[Any], spacing: Triple) -> npt.NDArray[Any]:
    distance = edt.edt(mask, anisotropy=spacing, black_border=False, parallel=0)
    markers = np.where(mask, seed_parts, 0).astype(np.int32)
    flooded: npt.NDArray[Any] = watershed(-distance, markers, connectivity=1, mask=mask)
    return flooded
