"""The watch over a painted layer: copies are due soon after a stroke, later after anything else that may change it."""

from __future__ import annotations

from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetseg.plugin.layers.identity import same_layer

SOON = 100
"""Milliseconds from the end of a stroke until its paint is copied."""
LATER = 600
"""The same after a change that may be no paint at all, such as a move to another slice, or an undone stroke."""


class PaintWatch(QObject):
    """Watches one painted layer at a time."""

    stroked = Signal()
    """A stroke has ended."""
    touched = Signal()
    """The paint may have changed."""
    picked = Signal(int)
    """Another value was chosen to paint with, in napari's own controls too."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._layer: LabelsLayer | None = None
        self._soon, self._later = self._timer(SOON), self._timer(LATER)
        self._soon.timeout.connect(self.stroked)
        self._later.timeout.connect(self._tell)

    def watch(self, layer: LabelsLayer | None) -> None:
        """Watch this layer and no other; what it holds is looked at, too."""
        if not same_layer(self._layer, layer):
            if self._layer is not None:
                self._layer.events.paint.disconnect(self._after_stroke)
                self._layer.events.set_data.disconnect(self.look)
                self._layer.events.selected_label.disconnect(self._after_pick)
            self._layer = layer
            if layer is not None:
                layer.events.paint.connect(self._after_stroke)
                layer.events.set_data.connect(self.look)
                layer.events.selected_label.connect(self._after_pick)
        if layer is not None:
            self.look()

    def due(self) -> LabelsLayer | None:
        """The layer, if something that was painted on it was not told of yet: whoever asks has been told."""
        is_due = self._soon.isActive() or self._later.isActive()
        self._soon.stop()
        self._later.stop()
        return self._layer if is_due else None

    def look(self, _event: object = None) -> None:
        """Let the paint be looked at, when nothing has happened for a while."""
        self._later.start()

    def _timer(self, milliseconds: int) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        return timer

    def _after_stroke(self, _event: object = None) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _after_pick(self, _event: object = None) -> None:
        if self._layer is not None:
            self.picked.emit(int(self._layer.selected_label))

    def _tell(self) -> None:
        if not self._soon.isActive():
            self.touched.emit()
