"""Places of layers: the grid that a layer's scale, translation, rotation, shear and affine make, as napari shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pint
from napari.utils.transforms import Affine

from napari_unetseg.core.grid import UNITS, Grid, ScannerFrame

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.layers import Labels as LabelsLayer

RAS_FROM_ZYX = np.array([[0.0, 0, -1], [0, -1, 0], [1, 0, 0]])
"""napari shows a volume that comes from a scanner with z to superior, y to posterior and x to the left."""
FILE_ORDER = ("L", "P", "S")
"""Of a file that is written of a turned layer: x, y, z as the layer has them, whichever way they point."""


def physical(layer: Image | LabelsLayer) -> Affine:
    """From indices to physical coordinates; the layer's ``affine`` follows."""
    # An unsheared layer's `shear` is of a length that `Affine` refuses.
    sheared = {"shear": layer.shear} if np.any(layer.shear) else {}
    return Affine(scale=layer.scale, rotate=layer.rotate, translate=layer.translate, **sheared)


def shown_grid(transform: Affine, world: Affine, units: tuple[str, ...], axes: str) -> Grid:
    """Where a layer is shown; it has a frame where its axes are not those of the canvas.

    Parameters
    ----------
    transform, world : Affine
        From indices to physical coordinates, and from there to the canvas.
    units : tuple of str
        Of each axis.
    axes : str
        See `plugin.layers.axes`.
    """
    total = world.compose(transform)
    unit, factors = _common_unit(dict(zip(axes, units, strict=True)))
    matrix = np.eye(4)
    kept = [axis for axis in "ZYX" if axis in axes]
    own, spatial = [axes.index(axis) for axis in kept], ["ZYX".index(axis) for axis in kept]
    sizes = np.array([factors[axis] for axis in kept])
    matrix[np.ix_(spatial, spatial)] = np.asarray(total.linear_matrix)[np.ix_(own, own)] * sizes[:, None]
    matrix[spatial, 3] = np.asarray(total.translate)[own] * sizes
    if "Z" not in axes:
        matrix[0, 0] = factors["Z"]
    z, y, x = (float(length) for length in np.linalg.norm(matrix[:3, :3], axis=0))
    oz, oy, ox = (float(start) for start in matrix[:3, 3])
    return Grid((z, y, x), unit, (oz, oy, ox), _frame(matrix, unit, (z, y, x)), placed=True)


def _frame(matrix: npt.NDArray[np.float64], unit: str, spacing: tuple[float, float, float]) -> ScannerFrame | None:
    """The frame of a layer whose axes are turned, sheared or mirrored on the canvas; None of a straight one."""
    if np.allclose(matrix[:3, :3], np.diag(spacing), rtol=0, atol=1e-6 * min(spacing)):
        return None
    affine = np.eye(4)
    affine[:3] = RAS_FROM_ZYX @ matrix[:3] * (UNITS[unit] / UNITS["mm"] if unit in UNITS else 1.0)
    return ScannerFrame(tuple(tuple(float(value) for value in row) for row in affine), FILE_ORDER)


def same_place(recorded: Grid, shown: Grid) -> bool:
    """Whether a layer still lies where its record says: only then its orientation in the patient holds."""
    if shown.scanner is not None:
        return recorded.scanner is not None and np.allclose(recorded.affine_in("mm"), shown.affine_in("mm"))
    return (
        recorded.unit == shown.unit
        and np.allclose(recorded.spacing[1:], shown.spacing[1:])
        and np.allclose(recorded.origin[1:], shown.origin[1:])
        and (np.allclose(recorded.spacing, shown.spacing) or shown.spacing[0] == 1.0)
    )


def _common_unit(units: Mapping[str, str]) -> tuple[str, dict[str, float]]:
    """The unit of x, and what to multiply each axis with; ``pixel`` where any axis is not a length."""
    registry: Any = pint.get_application_registry()
    sizes = {axis: registry.Quantity(1, units[axis]) for axis in "ZYX" if axis in units}
    if not all(size.is_compatible_with("meter") for size in sizes.values()):
        return "pixel", dict.fromkeys("ZYX", 1.0)
    metres = {axis: float(size.to("meter").magnitude) for axis, size in sizes.items()}
    unit = next((name for name, size in UNITS.items() if np.isclose(size, metres["X"], rtol=1e-6, atol=0)), "µm")
    return unit, {axis: metres.get(axis, UNITS[unit]) / UNITS[unit] for axis in "ZYX"}
