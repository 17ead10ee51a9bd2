"""Buttons of learning, its progress and one line of text."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QPushButton

from napari_unetseg.core.progress import Progress
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.learn.loop import WAITING
from napari_unetseg.plugin.parts.job_bar import JobBar


class LearnBar(JobBar):
    """*Learn now*, *Live* and *Stop*, for the loop of one bridge; *Learn now* can be asked for while it runs.

    Parameters
    ----------
    bridge : Bridge
        Its progress, errors and end are shown.
    """

    live_changed = Signal(bool)
    stopped = Signal()
    """*Stop* was clicked."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge, "Learn now")
        self._is_stopping = self._failed = False
        self._news = ""
        self.button.setToolTip("Learn from the paint once: the slice on screen is predicted first.")
        self.live, self.stop_button = QCheckBox("Live"), QPushButton("Stop")
        self.live.setToolTip("Learn again after every stroke.")
        self.stop_button.setMinimumHeight(34)
        self.stop_button.setEnabled(False)
        self.stop_button.setToolTip("Stop after the step that is going on: all versions stay.")
        self.buttons.addWidget(self.live)
        self.buttons.addWidget(self.stop_button)
        self.live.toggled.connect(self.live_changed)
        self.stop_button.clicked.connect(self._stop)

    def tell(self, text: str) -> None:
        """Show a line that stays when the work is done."""
        self._news = text
        self.say(text)

    def _click(self) -> None:
        self.asked.emit()

    def _stop(self) -> None:
        """Only once: ending the process at once would take its versions along."""
        self._is_stopping = True
        self.stop_button.setEnabled(False)
        self._show_soon.cancel()
        self.say("Stopping…")
        self.stopped.emit()

    def _start(self) -> None:
        super()._start()
        self._is_stopping = self._failed = False
        self._news = ""
        self.button.setText(self._verb)
        self.stop_button.setEnabled(True)

    def _hear(self, record: object) -> None:
        if not self._is_stopping:
            super()._hear(record)

    def _show(self, record: Progress) -> None:
        rests = record.stage == WAITING
        self.progress.setVisible(not rests)
        super()._show(record)
        if rests:
            self.say(f"{self._news} {WAITING}.")

    def _fail(self, message: str) -> None:
        self._failed = True
        super()._fail(message)

    def _after_cancel(self) -> None:
        """Said when it has ended."""

    def _release(self) -> None:
        super()._release()
        self.stop_button.setEnabled(False)
        if self._is_stopping:
            self.say("Stopped.")
        elif not self._failed:
            self.say(self._news)
        self._is_stopping = self._failed = False
