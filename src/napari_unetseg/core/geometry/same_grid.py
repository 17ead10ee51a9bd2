"""Grids of volumes that are compared voxel by voxel: they must be one. Nothing is resampled here."""

from __future__ import annotations

import numpy as np

from napari_unetseg.core.volume import UNITS, Grid, ScannerFrame
from napari_unetseg.core.voxels import LabelSource, VoxelSource
from napari_unetseg.errors import InputError

Source = VoxelSource | LabelSource
TOLERANCE = 1e-3
"""Largest relative difference between spacings that still counts as equal: files round them."""


def common_grid(first: Source, second: Source) -> Grid:
    """The grid that two volumes share.

    Where one of them knows no voxel size (its spacing is 1 pixel), the other's counts for both.

    Raises
    ------
    InputError
        If shapes, spacings, orientations or positions differ; the message says which.
    """
    shape, other_shape = first.shape, second.shape
    if shape != other_shape:
        raise _differ("shapes", shape, other_shape, "Resample one of them first")
    one, other = first.grid, second.grid
    if _says_nothing(one) or _says_nothing(other):
        return one if _says_nothing(other) else other
    if one.unit != other.unit and "pixel" in (one.unit, other.unit):
        raise _differ("units of spacing", one.unit, other.unit, "Give the spacing of both")
    if not np.allclose(_metres(one), _metres(other), rtol=TOLERANCE, atol=0):
        raise _differ("spacings", _words(one), _words(other), "Resample one of them, or give the spacing of both")
    if one.scanner is not None and other.scanner is not None:
        _check_frames(one.scanner, other.scanner)
    return other


def _check_frames(one: ScannerFrame, other: ScannerFrame) -> None:
    matrix, other_matrix = np.array(one.affine), np.array(other.affine)
    voxel = np.linalg.norm(other_matrix[:3, :3], axis=0).min()
    if not np.allclose(matrix[:3, :3], other_matrix[:3, :3], rtol=0, atol=0.05 * voxel):
        raise _differ(
            "orientations", matrix[:3, :3].tolist(), other_matrix[:3, :3].tolist(), "Reorient one of them first"
        )
    if not np.allclose(matrix[:3, 3], other_matrix[:3, 3], rtol=0, atol=0.5 * voxel):
        raise _differ("positions (mm)", matrix[:3, 3].tolist(), other_matrix[:3, 3].tolist(), "Move one of them first")


def _says_nothing(grid: Grid) -> bool:
    return not grid.is_physical and grid.spacing == (1, 1, 1)


def _metres(grid: Grid) -> list[float]:
    return [size * UNITS.get(grid.unit, 1.0) for size in grid.spacing]


def _words(grid: Grid) -> str:
    return f"{' × '.join(f'{size:g}' for size in grid.spacing)} {grid.unit}"


def _differ(what: str, one: object, other: object, mend: str) -> InputError:
    return InputError(f"Expected two volumes on one grid; their {what} differ: {one} and {other}. {mend}.")
