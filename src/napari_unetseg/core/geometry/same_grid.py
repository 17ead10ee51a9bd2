"""Grids of volumes that are compared voxel by voxel: they must be one, in size and place. Nothing is resampled here."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.grid import UNITS, Grid, Shape
from napari_unetseg.core.notes import Note
from napari_unetseg.core.volume import Volume
from napari_unetseg.core.voxels import LabelSource, VoxelSource
from napari_unetseg.errors import InputError

Source = VoxelSource | LabelSource
Matrix = npt.NDArray[np.float64]
TOLERANCE = 1e-3
"""Largest relative difference between spacings that still counts as equal: files round them."""
NEAR = 0.5
"""Voxels between two places that still count as one: some files tell of a voxel's corner, others of its centre."""
ZYX_FROM_RAS = np.array([[0.0, 0, 1], [0, -1, 0], [-1, 0, 0]])


def common_grid(first: Source, second: Source) -> Grid:
    """The grid that two volumes share.

    Where one of them knows no voxel size (its spacing is 1 pixel), the other's counts for both. Where one of them does
    not say where it lies, and the other lies elsewhere than at 0, a `Note` is warned of.

    Raises
    ------
    InputError
        If shapes, spacings, orientations or positions differ; the message says which.
    """
    shape, other_shape = first.shape, second.shape
    if shape != other_shape:
        raise _differ("shapes", shape, other_shape, "Resample one of them first")
    one, other = first.grid, second.grid
    if not (says_nothing(one) or says_nothing(other)):
        if one.unit != other.unit and "pixel" in (one.unit, other.unit):
            raise _differ("units of spacing", one.unit, other.unit, "Give the spacing of both")
        if not np.allclose(_metres(one), _metres(other), rtol=TOLERANCE, atol=0):
            raise _differ("spacings", _words(one), _words(other), "Resample one of them, or give the spacing of both")
    if _has_place(one, other) and _has_place(other, one):
        _check_places(one, other, shape)
    elif not (_is_straight_at_0(one) and _is_straight_at_0(other)):
        silent, placed = (second, first) if _has_place(one, other) else (first, second)
        _say_unknown(silent.name, placed.name)
    return one if says_nothing(other) else other


def check_place(image: Source, labels: Source) -> None:
    """Raise `InputError` where labels of an image's shape lie elsewhere; those of another shape are left to others."""
    if image.shape == labels.shape:
        common_grid(image, labels)


def outline(source: Source, grid: Grid | None = None) -> Volume:
    """A stand-in without the voxels, which takes no memory; `grid` stands in for its own."""
    return Volume(np.broadcast_to(np.uint8(0), (1, *source.shape)), grid or source.grid, name=source.name)


def displacements(one: Grid, other: Grid, shape: Shape) -> tuple[float, float]:
    """How many voxels the same indices of two grids of one spacing lie apart, at most.

    Returns
    -------
    (turned, moved) : tuple of float
        That of the volume's corners by turning, shearing or mirroring about the first voxel, and that of the first
        voxel, each along the axis of `one` where it is largest.
    """
    matrix, turned = _alike(one, other), _alike(other, one)
    turned[:3, :3] *= np.linalg.norm(matrix[:3, :3], axis=0) / np.linalg.norm(turned[:3, :3], axis=0)  # were rounded
    inverse = np.linalg.inv(matrix[:3, :3])
    corners = np.array(list(itertools.product(*((0.0, size - 1.0) for size in shape)))).T
    by_turning = inverse @ turned[:3, :3] @ corners - corners
    by_moving = inverse @ (turned[:3, 3] - matrix[:3, 3])
    return float(np.abs(by_turning).max()), float(np.abs(by_moving).max())


def is_turned(grid: Grid) -> bool:
    """Whether its axes are turned, sheared or mirrored, so that a spacing and a position do not say how it lies."""
    return not np.allclose(ZYX_FROM_RAS @ grid.affine_in("mm")[:3, :3], np.diag(_sizes(grid)), atol=1e-6)


def _check_places(one: Grid, other: Grid, shape: Shape) -> None:
    turned, moved = displacements(one, other, shape)
    if turned > NEAR:
        raise _differ("orientations", _directions(one), _directions(other), "Reorient one of them first")
    if moved > NEAR:
        what = f"positions ({one.unit})"
        raise _differ(what, _position(one), _position(other), f"They are {moved:.3g} voxels apart: move one")


def _alike(grid: Grid, other: Grid) -> Matrix:
    """A grid's affine in mm, with the other's spacing where its own is 1 pixel."""
    affine = grid.affine_in("mm")
    if not says_nothing(grid):
        return affine
    index = np.linalg.solve(affine[:3, :3], affine[:3, 3])
    sizes = np.linalg.norm(other.affine_in("mm")[:3, :3], axis=0)
    affine[:3, :3] *= sizes / np.linalg.norm(affine[:3, :3], axis=0)
    affine[:3, 3] = affine[:3, :3] @ index
    return affine


def _has_place(grid: Grid, other: Grid) -> bool:
    """Whether its place can be held against the other's: as nobody has set it, it is none beside a known size."""
    unset = says_nothing(grid) and _is_straight_at_0(grid) and not (says_nothing(other) or is_turned(other))
    return grid.is_placed and not unset


def _is_straight_at_0(grid: Grid) -> bool:
    return not (is_turned(grid) or grid.affine_in("mm")[:3, 3].any())


def _sizes(grid: Grid) -> Matrix:
    return np.asarray(np.linalg.norm(grid.affine_in("mm")[:3, :3], axis=0))


def _say_unknown(silent: str, placed: str) -> None:
    text = f"{silent} does not say where it lies, so its place was not compared with that of {placed}."
    warnings.warn(Note(text, "place-unknown"), stacklevel=3)


def says_nothing(grid: Grid) -> bool:
    """Whether a grid is of 1 pixel, as one is of which nobody has said the size."""
    return not grid.is_physical and grid.spacing == (1, 1, 1)


def _metres(grid: Grid) -> list[float]:
    return [size * UNITS.get(grid.unit, 1.0) for size in grid.spacing]


def _words(grid: Grid) -> str:
    return f"{' × '.join(f'{size:g}' for size in grid.spacing)} {grid.unit}"


def _directions(grid: Grid) -> str:
    """Where z, y and x point, as (z, y, x): ``z (1, 0, 0), y (0, 1, 0), x (0, 0, 1)`` of a straight grid."""
    unit = (ZYX_FROM_RAS @ grid.affine_in("mm")[:3, :3] / _sizes(grid)).T
    return ", ".join(f"{axis} {_triple(row)}" for axis, row in zip("zyx", unit, strict=True))


def _position(grid: Grid) -> str:
    scale = UNITS["mm"] / UNITS[grid.unit] if grid.is_physical else 1.0
    return _triple(ZYX_FROM_RAS @ grid.affine_in("mm")[:3, 3] * scale)


def _triple(values: Matrix) -> str:
    return f"({', '.join(f'{round(value, 3) + 0.0:g}' for value in values)})"


def _differ(what: str, one: object, other: object, mend: str) -> InputError:
    return InputError(f"Expected two volumes on one grid; their {what} differ: {one} and {other}. {mend}.")
