"""The buttons of learning, its progress and one line of text."""

from __future__ import annotations

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_unetseg.core.progress import Progress
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.learn.loop import WAITING
from napari_unetseg.plugin.parts.fields import note
from napari_unetseg.plugin.parts.text import duration

BREATH = 150
"""Milliseconds between two pictures of the progress: each repaints the whole window where napari's canvas is in it."""
PLAIN, RED = "font-size: 11px;", "color: #ff6b6b; font-size: 11px;"


class LearnBar(QWidget):
    """*Learn now*, *Live* and *Stop*, for the loop of one bridge.

    Parameters
    ----------
    bridge : Bridge
        Its progress, errors and end are shown.
    """

    asked = Signal()
    """*Learn now* was clicked."""
    live_changed = Signal(bool)
    stopped = Signal()
    """*Stop* was clicked; a second click ends the child process at once."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._is_stopping = self._failed = False
        self._news = ""
        self._newest: Progress | None = None
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(BREATH)
        self._rest.timeout.connect(self._show_newest)
        self.button, self.stop_button = QPushButton("Learn now"), QPushButton("Stop")
        self.button.setMinimumHeight(34)
        self.button.setStyleSheet("font-weight: bold;")
        self.button.setToolTip("Learn from the paint once: the slice on screen is predicted first.")
        self.stop_button.setMinimumHeight(34)
        self.stop_button.setEnabled(False)
        self.stop_button.setToolTip("Stop after the step that is going on. A second click stops at once.")
        self.live = QCheckBox("Live")
        self.live.setToolTip("Learn again after every stroke.")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        self.line = note()
        row = QHBoxLayout()
        for part, stretch in ((self.button, 1), (self.live, 0), (self.stop_button, 0)):
            row.addWidget(part, stretch)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(row)
        column.addWidget(self.progress)
        column.addWidget(self.line)
        self.progress.hide()
        self._connect()

    def _connect(self) -> None:
        self.button.clicked.connect(self.asked)
        self.live.toggled.connect(self.live_changed)
        self.stop_button.clicked.connect(self._stop)
        self._bridge.started.connect(self._start)
        self._bridge.progressed.connect(self._hear)
        self._bridge.failed.connect(self._fail)
        self._bridge.ended.connect(self._release)

    def say(self, text: str, *, error: bool = False) -> None:
        """Show one line under the buttons; an error is red."""
        style = RED if error else PLAIN
        if self.line.styleSheet() != style:
            self.line.setStyleSheet(style)
        if self.line.text() != text:
            self.line.setText(text)

    def tell(self, text: str) -> None:
        """Show a line that stays when the work is done."""
        self._news = text
        self.say(text)

    def _stop(self) -> None:
        if self._is_stopping:
            self._bridge.cancel()
        else:
            self._is_stopping = True
            self.say("Stopping…")
            self.stopped.emit()

    def _fail(self, message: str) -> None:
        self._failed = True
        self.say(message, error=True)

    def _start(self) -> None:
        self._is_stopping = self._failed = False
        self._newest, self._news = None, ""
        self.stop_button.setEnabled(True)
        self.progress.setRange(0, 0)
        self.progress.show()
        self.say("Starting…")

    def _hear(self, record: object) -> None:
        if isinstance(record, Progress) and not self._is_stopping:
            self._newest = record
            if not self._rest.isActive():
                self._show_newest()

    def _show_newest(self) -> None:
        """Show the newest progress, unless that has been shown."""
        record, self._newest = self._newest, None
        if record is None or self._is_stopping:
            return
        self._rest.start()
        rests = record.stage == WAITING
        self.progress.setVisible(not rests)
        self._fill(record.done, record.total if record.total > 1 else 0)
        left = f", {duration(record.seconds_left)} left" if record.seconds_left else ""
        self.say(f"{self._news} {WAITING}." if rests else record.message or f"{record.stage}{left}…")

    def _fill(self, done: int, total: int) -> None:
        """Fill the bar; Qt would repaint it at once, and the window with it, and so has to wait for its turn."""
        if (self.progress.value(), self.progress.maximum()) != (done, total):
            self.progress.setUpdatesEnabled(False)
            self.progress.setRange(0, total)
            self.progress.setValue(done)
            self.progress.setUpdatesEnabled(True)

    def _release(self) -> None:
        self._newest = None
        self.stop_button.setEnabled(False)
        self.progress.hide()
        if self._is_stopping:
            self.say("Stopped.")
        elif not self._failed:
            self.say(self._news)
        self._is_stopping = self._failed = False
