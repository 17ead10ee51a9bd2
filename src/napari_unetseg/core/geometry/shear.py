"""Sheared grids, whose axes are not at right angles, and the straight ones that cover them.

A straight grid keeps the direction of x and the plane of x and y; y and z are turned to right angles with them. Voxels
then shift along x and y alone, as slices of a tilted gantry do, and a voxel keeps its volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.grid import Box, Shape, Triple

Matrix = npt.NDArray[np.float64]
LEAN = 0.5
"""Degrees off a right angle: less is rounding."""


@dataclass(frozen=True)
class StraightGrid:
    """A straight grid that covers a sheared one.

    Parameters
    ----------
    shape : (z, y, x)
    affine : (4, 4)
        Its index to position.
    matrix : (3, 3)
    offset : (3,)
        Index in the sheared grid = `matrix` @ index + `offset`.
    """

    shape: Shape
    affine: Matrix
    matrix: Matrix
    offset: Matrix

    def resampled(self, array: npt.NDArray[Any], box: Box, *, nearest: bool) -> npt.NDArray[Any]:
        """A box of this grid from all voxels (z, y, x) of the sheared one, in their dtype.

        Linear between voxels, or the nearest one, as labels need it. Outside it is 0, or the smallest value where that
        is below 0, such as air in CT.
        """
        from scipy import ndimage  # slow to import, and seldom needed

        start, stop = np.array(box).T
        outside = 0.0 if nearest else min(0.0, float(array.min()))
        values = array if nearest else array.astype(np.float64)
        made = ndimage.affine_transform(
            values, self.matrix, offset=self.offset + self.matrix @ start, output_shape=tuple(stop - start),
            order=0 if nearest else 1, cval=outside,
        )  # fmt: skip
        rounded: npt.NDArray[Any] = np.rint(made) if array.dtype.kind in "iu" and not nearest else made
        return rounded.astype(array.dtype)


def lean(affine: Matrix) -> float:
    """By how many degrees the axes of an affine are off right angles, at most."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = (axes.T @ axes)[np.triu_indices(3, 1)]
    return float(np.degrees(np.arcsin(np.abs(cosines).max().clip(0, 1))))


def right_angled_spacing(affine: Matrix) -> Triple:
    """Sizes of a voxel (z, y, x) at right angles: their product is its volume, the determinant, sheared or not."""
    z, y, x = (float(size) for size in np.diag(_lengths(affine)))
    return z, y, x


def straight_grid(affine: Matrix, shape: Shape) -> StraightGrid:
    """The straight grid that covers a grid of `shape` (z, y, x); its planes along z are those of the sheared one.

    Parameters
    ----------
    affine : (4, 4)
        Index (z, y, x) to position.
    """
    lengths = _lengths(affine)
    directions = affine[:3, :3] @ np.linalg.inv(lengths)  # at right angles
    sizes = np.diag(np.diag(lengths))
    to_straight = np.linalg.inv(sizes) @ lengths
    ends = to_straight @ (np.indices((2, 2, 2)).reshape(3, -1) * (np.array(shape)[:, None] - 1))
    low, high = np.floor(ends.min(1).round(6)), np.ceil(ends.max(1).round(6))
    z, y, x = (int(size) for size in high - low + 1)
    straight = affine.copy()
    straight[:3, :3] = directions @ sizes
    straight[:3, 3] += straight[:3, :3] @ low
    matrix = np.asarray(np.linalg.inv(to_straight), dtype=float)
    return StraightGrid((z, y, x), straight, matrix, matrix @ low)


def _lengths(affine: Matrix) -> Matrix:
    """What the axes (z, y, x) are made of, along directions at right angles: lower triangular, its diagonal above 0."""
    _, upper = np.linalg.qr(affine[:3, 2::-1])  # x first: its direction is kept
    signs = np.sign(np.diag(upper))
    return np.asarray((signs[:, None] * upper)[::-1, ::-1])
