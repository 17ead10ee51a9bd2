"""What learning shows in the viewer: predictions and their uncertainty, and where the program is in doubt."""

from __future__ import annotations

from napari.viewer import Viewer
from qtpy.QtCore import QObject

from napari_unetseg.core.next_slice import DoubtMap
from napari_unetseg.core.structure import Structure
from napari_unetseg.plugin.layers import LayerSource
from napari_unetseg.plugin.learn_job import SliceSeen
from napari_unetseg.plugin.learn_preview import Preview, UncertaintyView


class LearnLayers(QObject):
    """The layers of the image in view, made when there is something to show; those of an earlier image stay.

    Parameters
    ----------
    viewer : Viewer
        Gets the layers.
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._source: LayerSource | None = None
        self._structures: tuple[Structure, ...] = ()
        self._shows_doubt = False
        self.preview: Preview | None = None
        self.doubt_view: UncertaintyView | None = None
        self.doubts = DoubtMap((1, 1, 1))

    def begin(self, source: LayerSource | None) -> None:
        """Show predictions of this image from now on."""
        self._source = source
        self.preview = self.doubt_view = None
        self.doubts = DoubtMap(source.shape[1:] if source is not None else (1, 1, 1))

    def dress(self, structures: tuple[Structure, ...]) -> None:
        """Show the structures' names and colours as they are now."""
        self._structures = structures
        if self.preview is not None:
            self.preview.dress(structures)

    def show(self, seen: SliceSeen) -> None:
        """Show what the model says about a slice."""
        if self._source is None:
            return
        if self.preview is None or self.doubt_view is None:
            self.preview = Preview(self._viewer, self._source, self)
            self.doubt_view = UncertaintyView(self._viewer, self._source, self)
            self.preview.dress(self._structures)
        self.doubts.put(seen.z, seen.prediction.doubt)
        self.preview.show(seen.z, seen.prediction.labels)
        self.doubt_view.show(seen.z, seen.prediction.uncertainty)
        self.doubt_view.set_shown(self._shows_doubt)

    def show_doubt(self, shown: bool) -> None:
        """Show the layer of uncertainty, or take it away."""
        self._shows_doubt = shown
        if self.doubt_view is not None:
            self.doubt_view.set_shown(shown)
