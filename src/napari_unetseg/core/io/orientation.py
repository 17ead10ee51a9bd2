"""Voxel order and position in the patient: between a file's own axes and ours, (superior, posterior, left).

In memory the last axis x runs to the patient's left, y to posterior and z to superior, as nearly as an oblique
volume allows. Files keep any order; `ScannerFrame.file_codes` remembers it, so that labels can be written back in it.
"""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel import orientations

from napari_unetseg.core.geometry.shear import right_angled_spacing
from napari_unetseg.core.grid import UNITS, Grid, ScannerFrame, Triple
from napari_unetseg.core.io.legend import Legend

Affine = npt.NDArray[np.float64]
MEMORY_CODES = ("S", "P", "L")
FLAT_CODES = {"S": ("S", "P", "L"), "L": ("L", "I", "P"), "P": ("P", "I", "L")}
"""Memory's axes for a single slice, by the axis that it lies across: z, then down and across as it is shown."""
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def sound(affine: Affine | None) -> tuple[Affine, tuple[str, ...]]:
    """The affine, or one of unit spacing and a note if it is not finite or cannot be inverted."""
    if affine is not None and np.isfinite(affine).all() and np.linalg.matrix_rank(affine[:3, :3]) == 3:
        return affine.astype(float), ()
    note = "The affine is not a number or singular: a spacing of 1 and the standard orientation are assumed."
    return RAS_FROM_LPS.copy(), (note,)


def is_rigid(affine: Affine) -> bool:
    """Whether the axes of an affine are at right angles."""
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.allclose(columns.T @ columns, np.eye(3), atol=1e-4))


def spacing_of(affine: Affine) -> Triple:
    """The size of a voxel along the affine's axes; of a sheared grid, at right angles to them."""
    if not is_rigid(affine):
        return right_angled_spacing(affine)
    z, y, x = (float(v) for v in np.linalg.norm(affine[:3, :3], axis=0))
    return z, y, x


def read_frame(
    affine: Affine, file_shape: tuple[int, ...], unit: str, legend: Legend | None = None
) -> tuple[npt.NDArray[Any], tuple[int, int, int], Grid]:
    """How to bring a file into memory's order, and the shape (z, y, x) and grid that it has there.

    Parameters
    ----------
    affine : (4, 4)
        Index (i, j, k) of the file to (right, anterior, superior) in `unit`.
    legend : Legend or None
        Of a file that this program wrote: a single slice comes back along the axis that it had.
    """
    own = orientations.io_orientation(affine)
    transform = _transform(own, orientations.axcodes2ornt(_memory_codes(own, file_shape, legend)))
    z, y, x = (file_shape[i] for i in np.argsort(transform[:, 0]))
    memory = reorder_affine(affine, transform, file_shape)
    i, j, k = nib.aff2axcodes(affine)
    frame = ScannerFrame(_rows(_scaled(memory, UNITS[unit] / UNITS["mm"])), (i, j, k))
    dz, dy, dx = spacing_of(memory)
    right, anterior, superior = (float(v) for v in memory[:3, 3])
    return transform, (z, y, x), Grid((dz, dy, dx), unit, (superior, -anterior, -right), frame)


def without_unit(grid: Grid) -> Grid:
    """The grid in pixels, without a place in the patient: where nothing is known of its size."""
    return Grid(grid.spacing, "pixel")


def _memory_codes(own: npt.NDArray[Any], file_shape: tuple[int, ...], legend: Legend | None) -> tuple[str, ...]:
    """Memory's axes: a single slice of any orientation is a picture in its plane."""
    flat = [axis for axis, size in enumerate(file_shape[:3]) if size == 1]
    if len(flat) != 1 or (legend and legend != Legend() and not legend.affine):
        return MEMORY_CODES
    if legend and legend.affine:
        return tuple(nib.aff2axcodes(np.array(legend.affine)))
    return FLAT_CODES["LPS"[int(own[flat[0], 0])]]


def to_file(grid: Grid) -> npt.NDArray[Any]:
    """The nibabel orientation transform from memory's (z, y, x) to the order that the grid's file had."""
    if grid.scanner is None:
        return _transform(orientations.axcodes2ornt(MEMORY_CODES), orientations.axcodes2ornt(("L", "P", "S")))
    own = orientations.io_orientation(np.array(grid.scanner.affine))
    return _transform(own, orientations.axcodes2ornt(grid.scanner.file_codes))


def reorder(array: npt.NDArray[Any], transform: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Flip and permute the first three axes: a view."""
    return np.asarray(orientations.apply_orientation(array, transform))


def reorder_affine(affine: Affine, transform: npt.NDArray[Any], shape: tuple[int, ...]) -> Affine:
    """The affine of an array of `shape` after `reorder`."""
    return np.asarray(affine @ orientations.inv_ornt_aff(transform, shape), dtype=float)


def file_box(transform: npt.NDArray[Any], box: tuple[slice, ...], file_shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The slices, in the file's own order, of a box in memory's order."""
    slices = []
    for (axis, flip), size in zip(transform, file_shape, strict=True):
        part = box[int(axis)]
        slices.append(slice(size - part.stop, size - part.start) if flip < 0 else part)
    return tuple(slices)


def _scaled(affine: Affine, factor: float) -> Affine:
    scaled = affine.astype(float)
    scaled[:3] *= factor
    return scaled


def _rows(affine: Affine) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(v) for v in row) for row in affine)


def _transform(start: npt.NDArray[Any], end: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(orientations.ornt_transform(start, end))
