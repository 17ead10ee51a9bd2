"""*Where next*: from what was predicted and what is painted to the slice on screen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from napari.layers import Labels as LabelsLayer
from napari.viewer import Viewer

from napari_unetseg.core.annotations.next_slice import DoubtMap, next_slice
from napari_unetseg.plugin.layers import axes_of


def axis_in_view(viewer: Viewer, layer: LabelsLayer) -> str:
    """The axis (Z, Y or X) that the slider moves along, in whichever orientation is in view; Z in 3D."""
    axes, offset = axes_of(layer), viewer.dims.ndim - layer.ndim
    hidden = [axes[axis - offset] for axis in viewer.dims.not_displayed if axis >= offset]
    return next((axis for axis in hidden if axis in "ZYX"), "Z")


def move_along(viewer: Viewer, layer: LabelsLayer, axis: str, number: int) -> None:
    """Move the slider of an axis to a slice of a layer; the others stay where they are."""
    axes = axes_of(layer)
    index = axes.index(axis)
    place = [*layer.world_to_data(viewer.dims.point[-layer.ndim :])]
    place[index] = number
    viewer.dims.set_point(index + viewer.dims.ndim - layer.ndim, float(layer.data_to_world(place)[index]))


def go_next(
    viewer: Viewer, layer: LabelsLayer, doubts: DoubtMap, painted: Sequence[npt.NDArray[np.bool_]]
) -> tuple[str, int] | None:
    """Go to the slice that is worth painting next; returns its axis and number, or None where all are painted.

    Parameters
    ----------
    painted : three ndarray of bool
        Which slices along z, y and x hold paint.
    """
    axis = axis_in_view(viewer, layer)
    which = "ZYX".index(axis)
    number = next_slice(doubts.along(which), painted[which])
    if number is None:
        return None
    move_along(viewer, layer, axis, number)
    return axis, number
