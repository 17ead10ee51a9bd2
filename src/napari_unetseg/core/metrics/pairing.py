"""Two label volumes are compared voxel by voxel, so they must lie on one grid. Nothing is resampled here."""

from __future__ import annotations

import numpy as np

from napari_unetseg.core.volume import UNITS, Grid, Labels, ScannerFrame
from napari_unetseg.errors import InputError

TOLERANCE = 1e-3
"""Largest relative difference between spacings that still counts as equal: files round them."""


def common_grid(predicted: Labels, reference: Labels) -> Grid:
    """The grid that two label volumes share.

    Where one of them knows no physical voxel size (its spacing is 1 pixel), the other's counts for both.

    Raises
    ------
    InputError
        If shapes, spacings, orientations or positions differ; the message says which.
    """
    if predicted.array.shape != reference.array.shape:
        raise _differ("shapes", predicted.array.shape, reference.array.shape, "Resample one of them first")
    one, other = predicted.grid, reference.grid
    if Grid() in (_bare(one), _bare(other)):
        return other if one.unit == "pixel" else one
    if one.unit != other.unit and "pixel" in (one.unit, other.unit):
        raise _differ("units of spacing", one.unit, other.unit, "Give the spacing of both")
    if not np.allclose(_metres(one), _metres(other), rtol=TOLERANCE, atol=0):
        raise _differ("spacings", _words(one), _words(other), "Resample one of them, or give the spacing of both")
    if one.scanner is not None and other.scanner is not None:
        _check_frames(one.scanner, other.scanner, min(other.spacing_in("mm")))
    return other


def _check_frames(one: ScannerFrame, other: ScannerFrame, voxel: float) -> None:
    first, second = np.array(one.affine), np.array(other.affine)
    if not np.allclose(first[:3, :3], second[:3, :3], rtol=0, atol=0.05 * voxel):
        raise _differ("orientations", first[:3, :3].tolist(), second[:3, :3].tolist(), "Reorient one of them first")
    if not np.allclose(first[:3, 3], second[:3, 3], rtol=0, atol=0.5 * voxel):
        raise _differ("positions (mm)", first[:3, 3].tolist(), second[:3, 3].tolist(), "Move one of them first")


def _bare(grid: Grid) -> Grid:
    """What a grid says about voxel size alone."""
    return Grid(grid.spacing, grid.unit)


def _metres(grid: Grid) -> list[float]:
    return [size * UNITS.get(grid.unit, 1.0) for size in grid.spacing]


def _words(grid: Grid) -> str:
    return f"{' × '.join(f'{size:g}' for size in grid.spacing)} {grid.unit}"


def _differ(what: str, one: object, other: object, mend: str) -> InputError:
    return InputError(f"Expected prediction and reference on one grid; their {what} differ: {one} and {other}. {mend}.")
