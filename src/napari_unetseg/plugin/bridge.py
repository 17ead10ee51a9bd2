"""The bridge between a widget and its jobs: heavy work runs in a child process, and the window never waits for it.

A widget owns one `Bridge`, starts jobs on it and listens to its signals, which all come on the GUI's thread::

    self.bridge = Bridge(self)
    self.bridge.progressed.connect(self._show_progress)
    self.bridge.returned.connect(self._show_result)
    self.bridge.failed.connect(self._show_error)      # the notification has been shown already
    self.bridge.ended.connect(self._release_button)   # always the last one
    self.bridge.start("Segmenting", job, source, settings)

    def job(worker, source, settings):                # runs in a background thread, so it may also compute lazy data
        yield Progress(0, 1, "Reading the layer")
        return (yield from worker.run(jobs.segment, source.volume(), settings))   # runs in the child process

No Qt object is touched outside of the GUI's thread: the thread fills a queue, and a timer of the bridge empties it.
napari's own workers are not used, because they swallow `RuntimeError` and because napari waits for them for ever when
it quits.
"""

from __future__ import annotations

import html
import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, Concatenate, ParamSpec

from napari.utils.notifications import notification_manager, show_error
from napari.utils.progress import cancelable_progress
from qtpy.QtCore import QEvent, QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.text import display_text
from napari_unetseg.errors import UnetsegError
from napari_unetseg.plugin.preferences import preferences
from napari_unetseg.service import jobs
from napari_unetseg.service.process import ChildError, Worker

P = ParamSpec("P")
POLL_MILLISECONDS = 30


class Bridge(QObject):
    """Runs the jobs of one widget, one at a time, in one child process that is kept for the next job.

    Closing the widget, its dock or the viewer ends the job and the child.

    Parameters
    ----------
    parent : QWidget
        The widget whose jobs these are.
    """

    started = Signal()
    progressed = Signal(object)
    """Each record of the job: `Progress` (only the newest, where they come faster than the screen), or its own."""
    returned = Signal(object)
    failed = Signal(str)
    """One line on what went wrong."""
    cancelled = Signal()
    ended = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._worker = Worker(preferences().environment)
        self._run: _Run | None = None
        self._question: tuple[_Run, Callable[[Any], None]] | None = None
        self._bar: cancelable_progress | None = None
        self._title = ""
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.timeout.connect(self._deliver)
        parent.installEventFilter(self)
        self._is_gone = self._is_delivering = False
        parent.destroyed.connect(lambda: self._go())  # a lambda: this object is being destroyed as well

    @property
    def is_running(self) -> bool:
        """Whether a job is going on."""
        return self._run is not None

    @property
    def pid(self) -> int | None:
        """Process id of the child; None where there is none."""
        return self._worker.pid

    def start(
        self, title: str, job: Callable[Concatenate[Worker, P], Job[Any]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Start a job: a generator function that gets the `Worker` first; `title` stands in the activity dock.

        A job that is still running is cancelled.
        """
        self.cancel()
        self._title = title
        self._run = _Run(job(self._worker, *args, **kwargs))
        self._timer.start()
        self.started.emit()

    def ask(
        self, answer: Callable[[Any], None], job: Callable[Concatenate[Worker, P], Job[Any]],
        *args: P.args, **kwargs: P.kwargs,
    ) -> None:  # fmt: skip
        """A small question beside the jobs: `answer` gets its result, or the exception that it ended with.

        A job that starts meanwhile waits for its turn in the child; a new question replaces the old one.
        """
        self._question = (_Run(job(self._worker, *args, **kwargs)), answer)
        self._timer.start()

    def warm_up(self) -> None:
        """Start the child and let it load its libraries, so that the first job need not wait for them."""
        self.ask(lambda _answer: None, _warm_up)

    def cancel(self) -> None:
        """End the job at once, if there is one: nothing of it is heard again, and its process ends within 2 s."""
        if self._run is not None:
            self._abandon()
            self.cancelled.emit()
            self._end()

    def _go(self) -> None:
        self._is_gone = True
        self._abandon()

    def _abandon(self) -> None:
        """Let go of job and child; touches no Qt object."""
        run, self._run = self._run, None
        self._question = None
        worker = self._worker
        self._worker = Worker(preferences().environment)  # the old thread cannot disturb the next job's child
        if run is not None:
            run.cancelled.set()
        worker.stop()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """End the job and its process when the widget is taken out of its dock."""
        if event.type() == QEvent.Type.ParentChange and watched is self.parent() and watched.parent() is None:
            self.cancel()
            self._abandon()
        return super().eventFilter(watched, event)

    def _deliver(self) -> None:
        """Emit what the threads have put into their queues since the last time, and no more than that.

        When napari's bar is updated, it lets Qt handle events, and so this timer: never deliver while delivering.
        """
        if self._is_delivering:
            return
        self._is_delivering = True
        try:
            self._deliver_job()
            self._deliver_answer()
        finally:
            self._is_delivering = False
        if self._run is None and self._question is None and not self._is_gone:
            self._timer.stop()

    def _deliver_job(self) -> None:
        if self._bar is not None and self._bar.is_canceled:  # by the button in the activity dock
            self.cancel()
        run = self._run
        for kind, value in run.messages() if run is not None else []:
            if kind == "record":  # the bar comes first: one made after the window was closed would keep napari alive
                self._show(value)
            if self._run is not run:  # what was shown or emitted has ended the job, or closed the window
                return
            if kind == "record":
                self.progressed.emit(value)
            else:
                self._run = None
                self._finish(kind, value)

    def _deliver_answer(self) -> None:
        asked = self._question
        for kind, value in asked[0].messages() if asked is not None else []:
            if asked is not None and self._question is asked and kind != "record":
                self._question = None
                asked[1](value)

    def _finish(self, kind: str, value: Any) -> None:
        if kind == "returned":
            self.returned.emit(value)
        elif kind == "cancelled":
            self.cancelled.emit()
        else:
            self.failed.emit(_notify(value))
        self._end()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self.ended.emit()

    def _show(self, record: object) -> None:
        """The bar in the activity dock."""
        if not isinstance(record, Progress) or not self._title:
            return
        if self._bar is None:
            self._bar = cancelable_progress(total=record.total, desc=self._title)
        if self._bar.total != record.total:
            self._bar.total = record.total
        self._bar.set_description(f"{self._title}: {record.stage.lower()}")
        self._bar.update(record.done - self._bar.n)


class _Run:
    """One job in its thread. The thread is a daemon, and knows nothing of Qt."""

    def __init__(self, job: Job[Any]) -> None:
        self.cancelled = threading.Event()
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._work, args=(job,), daemon=True, name="napari-unetseg job").start()

    def messages(self) -> list[tuple[str, Any]]:
        """What has come since the last time, without `Progress` that is overtaken by what came after it."""
        there = [self._messages.get() for _ in range(self._messages.qsize())]
        told = [not isinstance(value, Progress) or bool(value.message) for _, value in there]
        return [message for message, is_told in zip(there, [*told[:-1], True], strict=False) if is_told]

    def _work(self, job: Job[Any]) -> None:
        try:
            while not self.cancelled.is_set():
                self._messages.put(("record", next(job)))
            job.close()
        except StopIteration as stop:
            self._messages.put(("returned", stop.value))
        except CancelledError:
            self._messages.put(("cancelled", None))
        except Exception as error:
            self._messages.put(("failed", error))


def _warm_up(worker: Worker) -> Job[None]:
    return (yield from worker.run(jobs.warm_up))


def tell(message: object, show: Callable[[str], Any] = show_error) -> None:
    """Show one notification: of a failure that a user can mend, or with napari's `show_warning` of something to know.

    napari's label takes what looks like HTML for it; where a text is escaped, it does so too, and shows the text.
    """
    text = display_text(message)
    show(html.escape(text) if "<" in text else text)


def _notify(error: Exception) -> str:
    """Show one notification, and return its line: a fault of ours comes with its traceback, a user's error without."""
    if isinstance(error, UnetsegError):
        tell(error)
        return str(error)
    notification_manager.receive_error(type(error), error, error.__traceback__)
    return error.summary if isinstance(error, ChildError) else f"{type(error).__name__}: {error}"
