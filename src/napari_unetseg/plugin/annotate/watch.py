"""The watch over a painted layer: it is read soon after a stroke, later after anything else that may change it.

napari tells of a brush, a fill and a polygon (`events.paint`), but an undone stroke looks like a move to another slice
(`events.set_data`), and scripts write as they like. So nothing is believed about what has changed: after each of these
every voxel is compared with what was there before, in a thread, and only slices that differ are copied.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetseg.core.annotations.painted_stack import PaintedStack
from napari_unetseg.plugin.annotate.annotations import Canvas
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.layers.source import LayerSource

SOON = 100
"""Milliseconds from the end of a stroke until its paint is copied."""
LATER = 600
"""The same after a change that may be no paint at all, such as a move to another slice, or an undone stroke."""


POLL = 10
"""Milliseconds between looks whether paint has been read."""


class PaintWatch(QObject):
    """Watches one painted layer at a time."""

    stroked = Signal()
    """A stroke has ended."""
    filled = Signal()
    """A fill has ended."""
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
        if self._layer is not None and self._layer.mode == "fill":
            self.filled.emit()

    def _after_pick(self, _event: object = None) -> None:
        if self._layer is not None:
            self.picked.emit(int(self._layer.selected_label))

    def _tell(self) -> None:
        if not self._soon.isActive():
            self.touched.emit()


def up_to_date(before: PaintedStack | None, paint: LayerSource) -> PaintedStack:
    """Paint as it is now; the very stack that was there before, where nothing has changed."""
    array = paint.volume().array[0]
    if before is None or before.shape != array.shape:
        before = PaintedStack.empty(array.shape, array.dtype)
    return before.brought_up_to(array)


@dataclass(frozen=True)
class _Look:
    canvas: Canvas
    paint: LayerSource
    only_changed: bool


class PaintReader(QObject):
    """Reads the paint of one canvas after another in a thread.

    What is painted meanwhile may be seen in part; the event that tells of it makes it be read again.
    """

    read = Signal(object, object, bool)
    """A `Canvas`, its paint as a `PaintedStack`, and whether that matters only where it has changed."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._thread = thread = ThreadPoolExecutor(1, "napari-unetseg paint reader")
        parent.destroyed.connect(lambda: thread.shutdown(wait=False))
        self._reading: tuple[_Look, Future[PaintedStack]] | None = None
        self._next: _Look | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(POLL)
        self._timer.timeout.connect(self._poll)

    def look(self, canvas: Canvas, paint: LayerSource, *, only_changed: bool) -> None:
        """Read a canvas, after what is being read now."""
        waits = self._next is not None and self._next.canvas is canvas and not self._next.only_changed
        self._next = _Look(canvas, paint, only_changed and not waits)
        if self._reading is None:
            self._begin()

    def drop(self) -> Canvas | None:
        """Leave what is being read, for someone reads it anew; returns its canvas, None where there is none."""
        look = self._next or (self._reading[0] if self._reading is not None else None)
        self._reading = self._next = None
        self._timer.stop()
        return look.canvas if look is not None else None

    def _begin(self) -> None:
        look, self._next = self._next, None
        if look is not None:
            self._reading = (look, self._thread.submit(up_to_date, look.canvas.last, look.paint))
            self._timer.start()

    def _poll(self) -> None:
        if self._reading is None or not self._reading[1].done():
            return
        (look, future), self._reading = self._reading, None
        self._timer.stop()
        self._begin()
        self.read.emit(look.canvas, future.result(), look.only_changed)
