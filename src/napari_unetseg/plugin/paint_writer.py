"""Between painted layers and the threads that keep their paint: hands paint over, and hears what became of it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetseg.plugin.paint_canvas import Canvas

POLL = 50
"""Milliseconds."""


class PaintWriter(QObject):
    """Has the paint of canvases written and counted; says once what could not be written."""

    surveyed = Signal(object)
    """A `Canvas` whose survey is new."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs: list[tuple[Future[Any], Canvas | None]] = []
        self._poll = QTimer(self)
        self._poll.setInterval(POLL)
        self._poll.timeout.connect(self._look)

    @property
    def is_busy(self) -> bool:
        """Whether something is not on the disk, or not counted, yet."""
        return bool(self._jobs)

    def write(self, canvas: Canvas) -> None:
        """Write what a canvas held last, and its structures' names."""
        if canvas.keeper is not None and canvas.last is not None:
            self._jobs.append((canvas.keeper.keep(canvas.last, canvas.structures.names), None))
            self._jobs.append((canvas.keeper.survey(canvas.last), canvas))
            self._poll.start()

    def _look(self) -> None:
        while self._jobs and self._jobs[0][0].done():
            future, surveyed = self._jobs.pop(0)
            error = future.exception()
            if error is not None:
                show_error(str(error))
            elif surveyed is not None:
                surveyed.survey = future.result()
                self.surveyed.emit(surveyed)
        if not self._jobs:
            self._poll.stop()
