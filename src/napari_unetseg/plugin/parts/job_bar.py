"""The big button that becomes *Cancel* while its job runs, and the progress under it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_unetseg.core.progress import Progress
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.parts.fields import note
from napari_unetseg.plugin.parts.text import duration


class JobBar(QWidget):
    """Button, progress bar and one line of text, for the jobs of one bridge.

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
        self.button = QPushButton(verb)
        self.button.setMinimumHeight(34)
        self.button.setStyleSheet("font-weight: bold;")
        self.button.clicked.connect(self._click)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        self.progress.hide()
        self.line = note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for part in (self.button, self.progress, self.line):
            column.addWidget(part)
        bridge.started.connect(self._start)
        bridge.progressed.connect(self._show)
        bridge.failed.connect(lambda message: self.say(message, error=True))
        bridge.cancelled.connect(lambda: self.say("Cancelled."))
        bridge.ended.connect(self._release)

    def say(self, text: str, *, error: bool = False) -> None:
        """Show one line under the button; an error is red."""
        self.line.setStyleSheet("color: #ff6b6b; font-size: 11px;" if error else "font-size: 11px;")
        self.line.setText(text)

    def _click(self) -> None:
        if self._bridge.is_running:
            self._bridge.cancel()
        else:
            self.asked.emit()

    def _start(self) -> None:
        self.button.setText("Cancel")
        self.progress.setRange(0, 0)
        self.progress.show()
        self.say("Starting…")

    def _show(self, record: object) -> None:
        if isinstance(record, Progress):
            self.progress.setRange(0, record.total if record.total > 1 else 0)
            self.progress.setValue(record.done)
            left = f", {duration(record.seconds_left)} left" if record.seconds_left else ""
            self.say(record.message or f"{record.stage}{left}…")

    def _release(self) -> None:
        self.button.setText(self._verb)
        self.progress.hide()
