"""Picking of objects: a click on one in the canvas is told, and a row's object comes into the middle of the view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.layers import Labels as LabelsLayer
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from napari_unetseg.core.metrics.columns import Row
from napari_unetseg.plugin.layers.source import LayerSource, axes_of

STILL = 4
"""Pixels that a mouse may move between press and release of a click."""
LOOKING = ("pan_zoom", "pick")
"""Modes of a labels layer in which a click changes nothing."""


class CanvasPicker(QObject):
    """Tells the label under a click, on whichever layer is watched.

    Parameters
    ----------
    viewer : Viewer
    layer : callable
        The labels layer to look at now, or None.
    """

    picked = Signal(int)
    """The label above 0 that was clicked."""

    def __init__(self, parent: QObject, viewer: Viewer, layer: Callable[[], LabelsLayer | None]) -> None:
        super().__init__(parent)
        self._layer = layer
        callbacks = viewer.mouse_drag_callbacks
        press = self._press
        callbacks.append(press)
        parent.destroyed.connect(lambda: callbacks.remove(press) if press in callbacks else None)

    def _press(self, _viewer: Any, event: Any) -> Iterator[None]:
        start = np.asarray(event.pos)
        yield
        moved = False
        while event.type == "mouse_move":
            moved = moved or bool(np.abs(np.asarray(event.pos) - start).max() > STILL)
            yield
        layer = self._layer()
        if moved or layer is None or not layer.visible or layer.mode not in LOOKING or event.button != 1:
            return
        value = layer.get_value(
            event.position, view_direction=event.view_direction, dims_displayed=event.dims_displayed, world=True
        )
        if isinstance(value, int | np.integer) and value > 0:
            self.picked.emit(int(value))


def centre_on(viewer: Viewer, layer: LabelsLayer, row: Row) -> bool:
    """Bring an object into the middle of the view; False where its row does not say where it is."""
    axes, spacing = axes_of(layer), LayerSource.of(layer).grid.spacing
    places = {axis: row.get(f"centre_{axis.lower()}") for axis in "YX"}
    if None in places.values():
        return False
    z, y, x = (float(row.get(f"centre_{axis}", 0.0)) / step for axis, step in zip("zyx", spacing, strict=True))
    indices = {"Z": round(z), "Y": y, "X": x}
    here = np.asarray(layer.world_to_data(viewer.dims.point[-layer.ndim :]))
    world = layer.data_to_world([indices.get(axis, here[index]) for index, axis in enumerate(axes)])
    offset = viewer.dims.ndim - layer.ndim
    for axis in viewer.dims.not_displayed:
        if axis >= offset:
            viewer.dims.set_point(axis, float(world[axis - offset]))
    scene = getattr(viewer, "scene", viewer)  # the viewer itself before napari 0.9
    shown = [axis for axis in viewer.dims.displayed if axis >= offset]
    middle = list(scene.camera.center)
    middle[-len(shown) :] = [float(world[axis - offset]) for axis in shown]
    scene.camera.center = tuple(middle)
    return True
