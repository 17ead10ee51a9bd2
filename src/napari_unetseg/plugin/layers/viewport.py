"""The viewport: which slice and structures are on screen, and moving it to where something is to be seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from napari.layers import Labels as LabelsLayer
from napari.viewer import Viewer
from qtpy.QtGui import QColor

from napari_unetseg.core.annotations.next_slice import UncertaintyMap, next_slice
from napari_unetseg.plugin.layers.source import axes_of


def show_only(layer: LabelsLayer, label: int | None) -> None:
    """Show one label of a layer alone; None shows all."""
    if label is not None:
        layer.selected_label = label
    layer.show_selected_label = label is not None


def index_on_screen(viewer: Viewer, layer: LabelsLayer, axis: str) -> int:
    """Where the sliders stand along an axis (T or Z) of a layer, in its own indices; 0 where it has no such axis."""
    axes = axes_of(layer)
    if axis not in axes:
        return 0
    index = axes.index(axis)
    here = layer.world_to_data(viewer.dims.point[-layer.ndim :])[index]
    return min(max(round(float(here)), 0), layer.data.shape[index] - 1)


def slice_on_screen(viewer: Viewer, layer: LabelsLayer) -> int | None:
    """The z slice of a layer that is seen alone; None where it has no z axis, or many slices are seen at once."""
    axes = axes_of(layer)
    if "Z" not in axes or viewer.dims.ndim - layer.ndim + axes.index("Z") in viewer.dims.displayed:
        return None
    return index_on_screen(viewer, layer, "Z")


def move_to_slice(viewer: Viewer, layer: LabelsLayer, number: int) -> None:
    """Move the sliders to a z slice of a layer; axes that are displayed stay as they are."""
    axes = axes_of(layer)
    if "Z" not in axes:
        return
    place = [*layer.world_to_data(viewer.dims.point[-layer.ndim :])]
    place[axes.index("Z")] = number
    world = layer.data_to_world(place)
    offset = viewer.dims.ndim - layer.ndim
    hidden = [axis for axis in viewer.dims.not_displayed if axis >= offset]
    viewer.dims.set_point(hidden, [float(world[axis - offset]) for axis in hidden])


def colours_of(layer: LabelsLayer, labels: Sequence[int]) -> list[QColor]:
    """The colours in which a layer shows labels when it shows all of them."""
    colormap = layer.colormap.model_copy()
    colormap.use_selection = False
    return [QColor.fromRgbF(*colour[:3]) for colour in colormap.map(np.array(labels)).tolist()]


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
    viewer: Viewer, layer: LabelsLayer, uncertainties: UncertaintyMap, painted: Sequence[npt.NDArray[np.bool_]]
) -> tuple[str, int] | None:
    """Go to the slice that is worth painting next; returns its axis and number, or None where all are painted.

    Parameters
    ----------
    painted : three ndarray of bool
        Which slices along z, y and x hold paint.
    """
    axis = axis_in_view(viewer, layer)
    which = "ZYX".index(axis)
    number = next_slice(uncertainties.along(which), painted[which])
    if number is None:
        return None
    move_along(viewer, layer, axis, number)
    return axis, number
