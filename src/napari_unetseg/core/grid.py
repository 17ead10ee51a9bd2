"""Grids: where voxels lie, in a unit of length and in the patient; shapes and boxes that are counted in voxels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.errors import SettingsError

Triple = tuple[float, float, float]
Shape = tuple[int, int, int]
Span = tuple[int, int]
Box = tuple[Span, Span, Span]
"""Half-open, in voxels along z, y and x."""
UNITS = {"nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}
"""Length units and their size in metres. ``"pixel"`` stands beside them: no physical size is known."""
LONGEST = 1e15
"""Of positions and spacings, in any unit: a format with numbers of 32 bits holds what is made of them, too."""
DIRECTIONS = ("LR", "PA", "IS")


@dataclass(frozen=True)
class ScannerFrame:
    """How a volume lies in the patient, and the voxel order that its file had.

    Parameters
    ----------
    affine : tuple of 4 tuples of 4 floats
        Index (z, y, x, 1) of the array in memory to position (right, anterior, superior, 1) in mm.
    file_codes : tuple of 3 str
        Axis codes of the file's own (i, j, k) order, such as ``("L", "P", "S")``: labels are written back in it.

    Raises
    ------
    SettingsError
        If the affine is not finite, beyond all sizes or singular, or the codes do not name three axes.
    """

    affine: tuple[tuple[float, ...], ...]
    file_codes: tuple[str, str, str]

    def __post_init__(self) -> None:
        matrix = np.array(self.affine, dtype=float)
        if matrix.shape != (4, 4) or not (np.abs(matrix) <= LONGEST).all() or np.linalg.matrix_rank(matrix[:3, :3]) < 3:
            raise SettingsError(f"Expected an affine of 4 × 4 numbers that can be inverted; got {self.affine}.")
        axes = [axis for code in self.file_codes for axis, codes in enumerate(DIRECTIONS) if code and code in codes]
        if sorted(axes) != [0, 1, 2]:
            raise SettingsError(f"Expected axis codes such as L, P and S, one of each axis; got {self.file_codes}.")

    def moved(self, start: Triple) -> ScannerFrame:
        """The frame of a crop that begins at voxel `start` (z, y, x)."""
        matrix = np.array(self.affine)
        matrix[:3, 3] += matrix[:3, :3] @ np.array(start, dtype=float)
        return self._with(matrix)

    def scaled(self, factors: Triple) -> ScannerFrame:
        """The frame with voxels larger by `factors` (z, y, x); directions and the first voxel's centre stay."""
        matrix = np.array(self.affine)
        matrix[:3, :3] *= np.array(factors)
        return self._with(matrix)

    def _with(self, matrix: npt.NDArray[np.float64]) -> ScannerFrame:
        return replace(self, affine=tuple(tuple(float(v) for v in row) for row in matrix))


@dataclass(frozen=True)
class Grid:
    """Where voxels lie.

    Parameters
    ----------
    spacing : (z, y, x)
        Distance between voxel centres, in `unit`.
    unit : str
        One of ``nm, µm, mm, cm, m``, or ``pixel`` where no physical size is known.
    origin : (z, y, x)
        Position of the first voxel's centre, in `unit`.
    scanner : ScannerFrame or None
        Orientation in the patient, for formats that know it.
    placed : bool
        Whether an origin of 0 is a place, said by a format or a layer that can say another; see `is_placed`.

    Raises
    ------
    SettingsError
        If a spacing is not finite and above zero, an origin is not finite, or the unit is unknown.
    """

    spacing: Triple = (1.0, 1.0, 1.0)
    unit: str = "pixel"
    origin: Triple = (0.0, 0.0, 0.0)
    scanner: ScannerFrame | None = None
    placed: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.spacing) != 3 or not all(1 / LONGEST <= s <= LONGEST for s in self.spacing):
            raise SettingsError(f"Expected a spacing of three numbers above 0 (z, y, x); got {self.spacing}.")
        if len(self.origin) != 3 or not all(abs(o) <= LONGEST for o in self.origin):
            raise SettingsError(f"Expected an origin of three numbers (z, y, x); got {self.origin}.")
        if self.unit != "pixel" and self.unit not in UNITS:
            raise SettingsError(f"Expected a unit of {', '.join([*UNITS, 'pixel'])}; got {self.unit!r}.")

    @property
    def is_physical(self) -> bool:
        """Whether a physical voxel size is known."""
        return self.unit != "pixel"

    @property
    def is_placed(self) -> bool:
        """Whether it is known where the voxels lie."""
        return self.placed or self.scanner is not None or any(self.origin)

    def affine_in(self, unit: str) -> npt.NDArray[np.float64]:
        """Index (z, y, x, 1) to (right, anterior, superior, 1) in a length unit; without a frame, x runs to the left.

        Without a physical size one voxel unit is one `unit`, and one mm of the frame.
        """
        if self.scanner is not None:
            affine, scale = np.array(self.scanner.affine, dtype=float), UNITS["mm"] / UNITS[unit]
        else:
            (z, y, x), (oz, oy, ox) = self.spacing, self.origin
            affine = np.array([[0, 0, -x, -ox], [0, -y, 0, -oy], [z, 0, 0, oz], [0, 0, 0, 1]], dtype=float)
            scale = UNITS[self.unit] / UNITS[unit] if self.is_physical else 1.0
        affine[:3] *= scale
        return affine

    def spacing_in(self, unit: str) -> Triple:
        """Spacing converted to another length unit; raises `SettingsError` where either is ``pixel``."""
        if not self.is_physical or unit not in UNITS:
            raise SettingsError(
                f"A spacing in {self.unit} cannot be given in {unit}; give the voxel size and its unit."
            )
        factor = UNITS[self.unit] / UNITS[unit]
        z, y, x = (s * factor for s in self.spacing)
        return z, y, x

    def cropped(self, start: Triple) -> Grid:
        """The grid of a crop that begins at voxel `start` (z, y, x)."""
        z, y, x = (o + s * i for o, s, i in zip(self.origin, self.spacing, start, strict=True))
        return replace(self, origin=(z, y, x), scanner=self.scanner and self.scanner.moved(start))


def place(box: Box) -> tuple[Any, ...]:
    """The index of a box along an array's last three axes."""
    return (..., *(slice(*span) for span in box))
