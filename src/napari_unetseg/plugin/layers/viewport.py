"""Viewport: which slice, voxel and structures are on screen, and moving it to where something is to be seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from napari.layers import Labels as LabelsLayer
from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtGui import QColor

from napari_unetseg.core.annotations.next_slice import UncertaintyMap, next_slice
from napari_unetseg.plugin.layers.source import LayerSource, axes_of


def show_only(layer: LabelsLayer, label: int | None) -> None:
    """Show one label of a layer alone; None shows all."""
    if label is not None:
        layer.selected_label = label
    layer.show_selected_label = label is not None


def index_on_screen(viewer: Viewer, layer: Layer, axis: str, axes: str = "") -> int:
    """Where the sliders stand along an axis (T or Z) of a layer, in its own indices; 0 where it has no such axis.

    Parameters
    ----------
    axes : str
        What the layer's axes are, where it is not what they are likely to be.
    """
    axes = axes or axes_of(layer)
    if axis not in axes:
        return 0
    index = axes.index(axis)
    return min(max(round(float(_here(viewer, layer)[index])), 0), layer.data.shape[index] - 1)


def shows_slices(viewer: Viewer) -> bool:
    """Whether the slices (Y, X) themselves are on screen: not the whole in 3D, and no other orientation."""
    last = viewer.dims.ndim - 1
    return bool(viewer.dims.ndisplay == 2 and tuple(viewer.dims.order[-2:]) == (last - 1, last))


def slice_on_screen(viewer: Viewer, layer: Layer) -> int | None:
    """The z slice of a layer that is seen alone; None where it has no z axis, or many slices are seen at once."""
    axes = axes_of(layer)
    if "Z" not in axes or viewer.dims.ndim - layer.ndim + axes.index("Z") in viewer.dims.displayed:
        return None
    return index_on_screen(viewer, layer, "Z")


def voxel_in_view(viewer: Viewer, layer: Layer, source: LayerSource) -> tuple[int, int, int]:
    """The voxel (z, y, x) of a layer's source in the middle of the view, or the nearest one that it has."""
    scene = getattr(viewer, "scene", viewer)  # the viewer itself before napari 0.9
    shown, middle = viewer.dims.displayed, list(viewer.dims.point)
    for axis, place in zip(shown, scene.camera.center[-len(shown) :], strict=True):
        middle[axis] = place
    full = layer.data[0].shape if layer.multiscale else layer.data.shape
    here = layer.world_to_data(middle[-layer.ndim :])
    scaled = [at * size / length for at, size, length in zip(here, source.data.shape, full, strict=False)]
    places = dict(zip(source.axes, scaled, strict=True))
    z, y, x = (
        min(max(0, round(float(places.get(axis, 0)))), length - 1)
        for axis, length in zip("ZYX", source.shape[1:], strict=True)
    )
    return z, y, x


def move_to_slice(viewer: Viewer, layer: Layer, number: int) -> None:
    """Move the slider to a z slice of a layer, where there is one for it."""
    if slice_on_screen(viewer, layer) is not None:
        move_along(viewer, layer, "Z", number)


def colours_of(layer: LabelsLayer, labels: Sequence[int]) -> list[QColor]:
    """The colours in which a layer shows labels when it shows all of them."""
    colormap = layer.colormap.model_copy()
    colormap.use_selection = False
    return [QColor.fromRgbF(*colour[:3]) for colour in colormap.map(np.array(labels)).tolist()]


def axis_in_view(viewer: Viewer, layer: Layer) -> str:
    """The axis (Z, Y or X) that the slider moves along, in whichever orientation is in view; Z in 3D."""
    axes, offset = axes_of(layer), viewer.dims.ndim - layer.ndim
    hidden = [axes[axis - offset] for axis in viewer.dims.not_displayed if axis >= offset]
    return next((axis for axis in hidden if axis in "ZYX"), "Z")


def move_along(viewer: Viewer, layer: Layer, axis: str, number: int) -> None:
    """Move the slider of an axis to a slice of a layer; the others stay where they are."""
    index, place = axes_of(layer).index(axis), [*_here(viewer, layer)]
    place[index] = number
    viewer.dims.set_point(index + viewer.dims.ndim - layer.ndim, float(layer.data_to_world(place)[index]))


def go_next(
    viewer: Viewer, layer: Layer, uncertainties: UncertaintyMap, painted: Sequence[npt.NDArray[np.bool_]]
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


def _here(viewer: Viewer, layer: Layer) -> npt.NDArray[np.float64]:
    """Where the sliders stand, in a layer's own indices, not rounded."""
    return np.asarray(layer.world_to_data(viewer.dims.point[-layer.ndim :]))
