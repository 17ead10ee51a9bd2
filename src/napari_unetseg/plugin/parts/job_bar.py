"""A big button that starts the jobs of a bridge, their progress, and one line of text."""

from __future__ import annotations

from typing import Any

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget
from superqt.utils import qthrottled

from napari_unetseg.core.progress import Progress
from napari_unetseg.core.text import display_text
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.parts.fields import note
from napari_unetseg.plugin.parts.text import duration

BREATH = 150
"""Milliseconds between two pictures of the progress: each repaints the whole window where napari's canvas is in it."""
PLAIN, RED = "font-size: 11px;", "color: #ff6b6b; font-size: 11px;"


class JobBar(QWidget):
    """Button, progress bar and one line of text, for the jobs of one bridge; the button is *Cancel* while one runs.

    Parameters
    ----------
    bridge : Bridge
        Its progress, errors and end are shown.
    verb : str
        What the button says while nothing runs: ``"Segment"``.
    """

    asked = Signal()
    """The button was clicked while nothing ran."""

    def __init__(self, bridge: Bridge, verb: str) -> None:
        super().__init__()
        self._bridge, self._verb = bridge, verb
        self._show_soon = qthrottled(self._show, timeout=BREATH, parent=self)
        self.button = QPushButton(verb)
        self.button.setMinimumHeight(34)
        self.button.setStyleSheet("font-weight: bold;")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        self.progress.hide()
        self.line = note()
        self.buttons = QHBoxLayout()
        self.buttons.addWidget(self.button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(self.buttons)
        column.addWidget(self.progress)
        column.addWidget(self.line)
        self.button.clicked.connect(self._click)
        bridge.started.connect(self._start)
        bridge.progressed.connect(self._hear)
        bridge.failed.connect(self._fail)
        bridge.cancelled.connect(self._after_cancel)
        bridge.ended.connect(self._release)

    def say(self, text: str, *, error: bool = False) -> None:
        """Show one line under the button; an error is red."""
        style = RED if error else PLAIN
        if self.line.styleSheet() != style:
            self.line.setStyleSheet(style)
        if self.line.text() != text:
            self.line.setText(text)

    def depend_on(self, viewer: Viewer, layer: Layer) -> None:
        """The job that has just begun is about a layer: where that is removed, it stops, and no result comes."""
        removed = viewer.layers.events.removed

        def stop(event: Any) -> None:
            if same_layer(event.value, layer):
                self._bridge.cancel()
                self.say(f"{display_text(layer.name)} was removed: the job has stopped.")

        def forget() -> None:
            removed.disconnect(stop)
            self._bridge.ended.disconnect(forget)

        removed.connect(stop)
        self._bridge.ended.connect(forget)

    def _click(self) -> None:
        if self._bridge.is_running:
            self._bridge.cancel()
        else:
            self.asked.emit()

    def _start(self) -> None:
        self._show_soon.cancel()
        self.button.setText("Cancel")
        self.progress.setRange(0, 0)
        self.progress.show()
        self.say("Starting…")

    def _hear(self, record: object) -> None:
        if isinstance(record, Progress):
            self._show_soon(record)

    def _show(self, record: Progress) -> None:
        self._fill(record.done, record.total if record.total > 1 else 0)
        left = f", {duration(record.seconds_left)} left" if record.seconds_left else ""
        self.say(record.message or f"{record.stage}{left}…")

    def _fill(self, done: int, total: int) -> None:
        """Fill the bar; Qt would repaint it at once, and the window with it, and so has to wait for its turn."""
        if (self.progress.value(), self.progress.maximum()) != (done, total):
            self.progress.setUpdatesEnabled(False)
            self.progress.setRange(0, total)
            self.progress.setValue(done)
            self.progress.setUpdatesEnabled(True)

    def _fail(self, message: str) -> None:
        self.say(message, error=True)

    def _after_cancel(self) -> None:
        self.say("Cancelled.")

    def _release(self) -> None:
        """The job has ended: progress that was not shown yet is old news."""
        self._show_soon.cancel()
        self.button.setText(self._verb)
        self.progress.hide()
