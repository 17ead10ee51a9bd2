"""Changes of one structure's mask, alone in a crop around it."""

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def keep_largest(mask: Mask, parts: int) -> Mask:
    """The `parts` largest connected parts; voxels are connected at faces, edges and corners."""
    kept: npt.NDArray[Any] = cc3d.largest_k(mask, k=parts, connectivity=everywhere(mask))
    return kept > 0


def remove_small(mask: Mask, voxels: float) -> Mask:
    """The connected parts of `voxels` or more."""
    kept: Mask = cc3d.dust(mask, threshold=int(np.ceil(voxels)), connectivity=everywhere(mask))
    return kept


def fill_holes(mask: Mask, per_slice: bool = False) -> Mask:
    """The mask with the background that it encloses; background is connected at faces alone.

    Background that reaches the end of the array is not enclosed. With `per_slice` each slice of a 3D mask counts alone.
    """
    if per_slice and mask.ndim == 3:
        return np.stack([fill_holes(piece) for piece in mask])
    outside: npt.NDArray[Any] = cc3d.connected_components(~np.pad(mask, 1), connectivity=6 if mask.ndim == 3 else 4)
    filled: Mask = (outside != outside[(0,) * mask.ndim])[(slice(1, -1),) * mask.ndim]
    return filled


def everywhere(array: npt.NDArray[Any]) -> int:
    """The name, in cc3d, of connecting voxels at faces, edges and corners."""
    return 26 if array.ndim == 3 else 8
