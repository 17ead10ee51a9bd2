"""Two label volumes are compared voxel by voxel, so they must lie on one grid. Nothing is resampled here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.label_arrays import plain
from napari_unetseg.core.volume import UNITS, Grid, Labels, ScannerFrame, Volume
from napari_unetseg.errors import InputError

TOLERANCE = 1e-3
"""Largest relative difference between spacings that still counts as equal: files round them."""


@dataclass(frozen=True)
class Pair:
    """A prediction and its reference on one grid.

    Parameters
    ----------
    predicted, reference : ndarray of integers, shape (Z, Y, X)
    spacing : (y, x) or (z, y, x)
        Two numbers where there is a single slice: it is an image, not a volume.
    unit : str
    names : dict of int to str
        Structures by label; where both volumes name a label, the reference's name.
    """

    predicted: npt.NDArray[Any]
    reference: npt.NDArray[Any]
    spacing: tuple[float, ...]
    unit: str
    names: dict[int, str]

    @classmethod
    def of(cls, predicted: Labels, reference: Labels) -> Pair:
        """Pair two label volumes; raises `InputError` where they do not fit, saying why."""
        grid = common_grid(predicted, reference)
        return cls(
            plain(predicted.array),
            plain(reference.array),
            grid.spacing[1:] if reference.array.shape[0] == 1 else grid.spacing,
            grid.unit,
            {s.label: s.name for s in (*predicted.structures, *reference.structures)},
        )

    @property
    def voxel(self) -> float:
        """Volume of a voxel, or area of a pixel."""
        return float(np.prod(self.spacing))

    @property
    def images(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Both arrays with as many axes as `spacing` has numbers."""
        flat = len(self.spacing) == 2
        return (self.predicted[0], self.reference[0]) if flat else (self.predicted, self.reference)

    def foreground(self) -> Pair:
        """The pair with every label above 0 made 1, and called what label 1 is called."""
        predicted, reference = ((array > 0).view(np.uint8) for array in (self.predicted, self.reference))
        return replace(self, predicted=predicted, reference=reference, names={1: self.names.get(1, "object")})


def common_grid(predicted: Labels | Volume, reference: Labels) -> Grid:
    """The grid that two volumes share.

    Where one of them knows no voxel size (its spacing is 1 pixel), the other's counts for both.

    Raises
    ------
    InputError
        If shapes, spacings, orientations or positions differ; the message says which.
    """
    shape, other_shape = predicted.array.shape[-3:], reference.array.shape
    if shape != other_shape:
        raise _differ("shapes", shape, other_shape, "Resample one of them first")
    one, other = predicted.grid, reference.grid
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
    first, second = np.array(one.affine), np.array(other.affine)
    voxel = np.linalg.norm(second[:3, :3], axis=0).min()
    if not np.allclose(first[:3, :3], second[:3, :3], rtol=0, atol=0.05 * voxel):
        raise _differ("orientations", first[:3, :3].tolist(), second[:3, :3].tolist(), "Reorient one of them first")
    if not np.allclose(first[:3, 3], second[:3, 3], rtol=0, atol=0.5 * voxel):
        raise _differ("positions (mm)", first[:3, 3].tolist(), second[:3, 3].tolist(), "Move one of them first")


def _says_nothing(grid: Grid) -> bool:
    return not grid.is_physical and grid.spacing == (1, 1, 1)


def _metres(grid: Grid) -> list[float]:
    return [size * UNITS.get(grid.unit, 1.0) for size in grid.spacing]


def _words(grid: Grid) -> str:
    return f"{' × '.join(f'{size:g}' for size in grid.spacing)} {grid.unit}"


def _differ(what: str, one: object, other: object, mend: str) -> InputError:
    return InputError(f"Expected two volumes on one grid; their {what} differ: {one} and {other}. {mend}.")
