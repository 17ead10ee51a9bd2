"""What a click in the Metrics widget does in the viewer: shows one structure, and moves to a slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from napari.layers import Labels as LabelsLayer
from napari.viewer import Viewer
from qtpy.QtGui import QColor

from napari_unetseg.plugin.layers import axes_of


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
