"""The layer on which predictions appear, slice by slice, while the program learns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from napari.layers import Labels as LabelsLayer
from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import QObject, QTimer

from napari_unetseg.core.structure import Structure
from napari_unetseg.core.volume import Labels
from napari_unetseg.plugin.axes import kept_axes, to_volume
from napari_unetseg.plugin.layers import METADATA, LayerSource, colormap, features
from napari_unetseg.plugin.metrics_view import index_on_screen

PREVIEW = "is_preview"
"""In our record of a layer's metadata: it is no paint and no result."""
REST = 300
"""Milliseconds between repaints for slices that are not the one on screen."""


def is_preview(layer: Layer) -> bool:
    """Whether a layer shows predictions of learning."""
    return bool(layer.metadata.get(METADATA, {}).get(PREVIEW))


class Preview(QObject):
    """A labels layer of our own on one image; made by the first prediction, and again if the user removes it."""

    def __init__(self, viewer: Viewer, source: LayerSource, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._source = viewer, source
        self._structures: tuple[Structure, ...] = ()
        self._data, attributes = source.labels(
            Labels(np.zeros(source.shape[1:], np.uint8), source.grid, name=source.name), f"{source.name} (learning)"
        )
        self._data = np.array(self._data)
        self._attributes = attributes
        self._attributes["metadata"][METADATA][PREVIEW] = True
        self._volume = to_volume(self._data, kept_axes(source.axes))
        self.layer: LabelsLayer | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST)
        self._timer.timeout.connect(self.repaint)

    @property
    def labels(self) -> npt.NDArray[np.uint8]:
        """What is shown (Z, Y, X)."""
        return self._volume[0]

    def dress(self, structures: tuple[Structure, ...]) -> None:
        """Show names and colours of the structures as they are now."""
        self._structures = structures
        if self.layer is not None and structures:
            labels = Labels(np.zeros((1, 1, 1), np.uint8), structures=structures)
            self.layer.colormap, self.layer.features = colormap(structures), features(labels)
            record = {**self.layer.metadata[METADATA], "structures": structures}
            self.layer.metadata = {**self.layer.metadata, METADATA: record}

    def show(self, z: int, labels: npt.NDArray[np.uint8]) -> None:
        """Show output labels (Y, X) of a slice: at once, if it is the one on screen."""
        self._volume[:, z] = labels
        if self.layer is None or self.layer not in self._viewer.layers:
            self._add()
        flat = self._viewer.dims.ndisplay == 2 and self._viewer.dims.order[-2:] == (
            self._viewer.dims.ndim - 2,
            self._viewer.dims.ndim - 1,
        )
        if flat and z == index_on_screen(self._viewer, self.layer, "Z"):
            self.repaint()
        elif not flat and not self._timer.isActive():
            self._timer.start()

    def repaint(self) -> None:
        """Draw the layer again."""
        if self.layer is not None:
            self.layer.refresh(extent=False)

    def _add(self) -> None:
        """Add the layer under the active one, which stays active: someone is painting on it."""
        active = self._viewer.layers.selection.active
        self.layer = LabelsLayer(self._data, opacity=0.45, **self._attributes)
        self.layer.editable = False
        place = self._viewer.layers.index(active) if isinstance(active, LabelsLayer) else len(self._viewer.layers)
        self._viewer.layers.insert(place, self.layer)
        self.dress(self._structures)
        if active is not None:
            self._viewer.layers.selection.active = active
