"""Changes of one structure's mask, alone in a crop around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.label_arrays import connected_parts

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
