"""Layers that learning shows: predictions and their uncertainty, slice by slice, and where it is greatest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import QObject
from superqt.utils import qthrottled

from napari_unetseg.core.annotations.next_slice import UncertaintyMap
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.plugin.annotate.learn_image import LearnImage
from napari_unetseg.plugin.layers.axes import kept_axes, to_volume
from napari_unetseg.plugin.layers.marks import PREVIEW
from napari_unetseg.plugin.layers.source import METADATA, LayerSource, colormap, features
from napari_unetseg.plugin.layers.viewport import index_on_screen, shows_slices
from napari_unetseg.plugin.learn.loop import SliceSeen

REST = 300
"""Milliseconds between repaints for slices that are not the one on screen."""


class _SliceLayer(QObject):
    """A layer of our own on one image, filled slice by slice; made when there is something to show.

    Parameters
    ----------
    data : ndarray
        Zeros that nobody else writes to, with the `kept_axes` of the image; they take memory where something is shown.
    """

    def __init__(self, viewer: Viewer, source: LayerSource, data: npt.NDArray[Any], parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._data = data
        self._volume = to_volume(data, kept_axes(source.axes))
        self.layer: Layer | None = None
        self._repaint_soon = qthrottled(self.repaint, timeout=REST, leading=False, parent=self)

    @property
    def volume(self) -> npt.NDArray[np.uint8]:
        """What is shown (Z, Y, X)."""
        return self._volume[0]

    @property
    def is_shown(self) -> bool:
        """Whether the viewer has the layer."""
        return self.layer is not None and self.layer in self._viewer.layers

    def show(self, z: int, plane: npt.NDArray[np.uint8]) -> None:
        """Show (Y, X) as a slice: at once, if it is the one on screen."""
        self._volume[:, z] = plane
        if not self.is_shown:
            return
        flat = shows_slices(self._viewer)
        if flat and z == index_on_screen(self._viewer, self.layer, "Z"):
            self.repaint()
        elif not flat:
            self._repaint_soon()

    def repaint(self) -> None:
        """Draw the layer again."""
        if self.layer is not None:
            self.layer.refresh(extent=False, highlight=False)

    def _add(self, layer: Layer) -> None:
        """Add the layer under the active one, which stays active: someone is painting on it."""
        self.layer = layer
        active = self._viewer.layers.selection.active
        place = self._viewer.layers.index(active) if isinstance(active, LabelsLayer) else len(self._viewer.layers)
        self._viewer.layers.insert(place, layer)
        if active is not None:
            self._viewer.layers.selection.active = active


class Preview(_SliceLayer):
    """Predicted labels; the layer is made by the first prediction, and again if the user removes it."""

    def __init__(self, viewer: Viewer, source: LayerSource, parent: QObject) -> None:
        empty = Labels(np.zeros(source.shape[1:], np.uint8), source.grid, name=source.name)
        data, self._attributes = source.labels(empty, f"{source.name} (learning)")
        super().__init__(viewer, source, data, parent)
        self._attributes["metadata"][METADATA][PREVIEW] = True
        self._structures: tuple[Structure, ...] = ()

    def dress(self, structures: tuple[Structure, ...]) -> None:
        """Show names and colours of the structures as they are now."""
        self._structures = structures
        if self.layer is not None and structures:
            labels = Labels(np.zeros((1, 1, 1), np.uint8), structures=structures)
            self.layer.colormap, self.layer.features = colormap(structures), features(labels)
            record = {**self.layer.metadata[METADATA], "structures": structures}
            self.layer.metadata = {**self.layer.metadata, METADATA: record}

    def show(self, z: int, plane: npt.NDArray[np.uint8]) -> None:
        """Show output labels (Y, X) of a slice: at once, if it is the one on screen."""
        if not self.is_shown:
            layer = LabelsLayer(self._data, opacity=0.45, **self._attributes)
            layer.editable = False
            self._add(layer)
            self.dress(self._structures)
        super().show(z, plane)


class UncertaintyView(_SliceLayer):
    """Where the model is unsure, 0 to 255; the layer is there while it is asked for."""

    def __init__(self, viewer: Viewer, source: LayerSource, parent: QObject) -> None:
        data, self._attributes = source.image(np.zeros(source.shape[1:], np.uint8))
        super().__init__(viewer, source, data, parent)
        self._name = f"{source.name} (uncertainty)"

    def set_shown(self, shown: bool) -> None:
        """Add the layer, or take it away."""
        if shown and not self.is_shown:
            look = {"colormap": "magenta", "blending": "additive", "contrast_limits": (0, 255), "opacity": 0.8}
            record = {METADATA: {PREVIEW: True}}
            self._add(ImageLayer(self._data, name=self._name, metadata=record, **look, **self._attributes))
        elif not shown and self.is_shown:
            self._viewer.layers.remove(self.layer)


@dataclass
class _Views:
    """What is shown of one image."""

    image: LearnImage
    uncertainties: UncertaintyMap
    preview: Preview | None = None
    uncertainty_view: UncertaintyView | None = None


class LearnLayers(QObject):
    """The layers of the image in view, made when there is something to show; those of another image wait for it.

    Parameters
    ----------
    viewer : Viewer
        Gets the layers.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._known: WeakKeyDictionary[Layer, _Views] = WeakKeyDictionary()
        self._views: _Views | None = None
        self._structures: tuple[Structure, ...] = ()
        self._shows_uncertainty = False

    @property
    def preview(self) -> Preview | None:
        """The predictions; None before the first one."""
        return self._views.preview if self._views is not None else None

    @property
    def uncertainty_view(self) -> UncertaintyView | None:
        """Their uncertainty; None before the first one."""
        return self._views.uncertainty_view if self._views is not None else None

    @property
    def uncertainties(self) -> UncertaintyMap:
        """Where the program is in doubt."""
        return self._views.uncertainties if self._views is not None else UncertaintyMap((1, 1, 1))

    def begin(self, layer: Layer | None, image: LearnImage | None) -> None:
        """Show predictions of this image, which is that of a layer, from now on: in the layers that it has already."""
        self._views = None
        if layer is not None and image is not None:
            known = self._known.get(layer)
            if known is None or not image.is_like(known.image):
                known = self._known[layer] = _Views(image, UncertaintyMap(image.source.shape[1:]))
            self._views = known

    def dress(self, structures: tuple[Structure, ...]) -> None:
        """Show the structures' names and colours as they are now."""
        self._structures = structures
        if self.preview is not None:
            self.preview.dress(structures)

    def show(self, seen: SliceSeen) -> None:
        """Show what the model says about a slice."""
        views = self._views
        if views is None:
            return
        if views.preview is None or views.uncertainty_view is None:
            views.preview = Preview(self._viewer, views.image.source, self)
            views.uncertainty_view = UncertaintyView(self._viewer, views.image.source, self)
            views.preview.dress(self._structures)
        views.uncertainties.put(seen.z, seen.prediction.summary)
        views.preview.show(seen.z, seen.prediction.labels)
        views.uncertainty_view.show(seen.z, seen.prediction.uncertainty)
        views.uncertainty_view.set_shown(self._shows_uncertainty)

    def show_uncertainty(self, shown: bool) -> None:
        """Show the layer of uncertainty, or take it away."""
        self._shows_uncertainty = shown
        if self.uncertainty_view is not None:
            self.uncertainty_view.set_shown(shown)
