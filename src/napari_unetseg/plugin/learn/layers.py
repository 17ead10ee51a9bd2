"""Layers that learning shows in the viewer: predictions, their uncertainty, and where the model is unsure."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import QObject

from napari_unetseg.core.annotations.next_slice import UncertaintyMap
from napari_unetseg.core.volume import Structure
from napari_unetseg.plugin.annotate.learn_image import LearnImage
from napari_unetseg.plugin.learn.loop import SliceSeen
from napari_unetseg.plugin.learn.preview import Preview, UncertaintyView


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
