"""The loop of learning: what was painted is learned, what is in view is predicted first, then the rest, nearest first.

It runs in a thread of the window's process and hands all computing to the child process in short jobs; between them
it looks for new paint. It holds no Qt object.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unetseg.api.executors import Executor
from napari_unetseg.core.annotations.annotation import Annotation, SentImage
from napari_unetseg.core.annotations.versions import AcceptDecision, SlicePrediction, Tuned, Version
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.steps import Step
from napari_unetseg.errors import InputError, OutputError
from napari_unetseg.plugin.annotate.annotations import PaintCopy
from napari_unetseg.plugin.annotate.learn_image import LearnImage
from napari_unetseg.service import session_jobs

WAITING = "Waiting for paint"
BREATH = 0.5
"""Seconds that fine-tuning computes before it looks for new paint."""
PATIENCE = 0.25
"""Seconds that the loop waits for new paint before it looks whether it was cancelled."""

LIGHT = FineTuneSettings(steps=0)
"""The light head alone."""


@dataclass(frozen=True)
class Revert:
    """Go back to a version."""

    number: int


@dataclass(frozen=True)
class Save:
    """Write the current model, with the structures' names (by output label) as they are now.

    Its results go through the steps of `cleanup`.
    """

    path: Path
    names: Mapping[int, str]
    cleanup: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Take:
    """Use the version that is on offer."""


Command = PaintCopy | Revert | Save | Take


class CommandQueue:
    """Commands from the window's thread to the loop's; of paint only the newest counts.

    Parameters
    ----------
    view : int
        The slice on screen.
    live : bool
        Whether the loop waits for more paint when all is done.
    """

    def __init__(self, view: int = 0, *, live: bool = False) -> None:
        self.view, self.live = view, live
        self.is_stopped = False
        self._paint: PaintCopy | None = None
        self._others: deque[Command] = deque()
        self._lock = threading.Lock()
        self._changed = threading.Event()

    def put(self, command: Command) -> None:
        """Have something done, when the loop comes to it."""
        with self._lock:
            if isinstance(command, PaintCopy):
                self._paint = command
            else:
                self._others.append(command)
            self._changed.set()

    def stop(self) -> None:
        """Let the loop end at the next opportunity."""
        self.is_stopped = True
        self._changed.set()

    def take(self) -> Command | None:
        """The next command: those that are no paint first; None where there is none."""
        with self._lock:
            self._changed.clear()
            if self._others:
                return self._others.popleft()
            paint, self._paint = self._paint, None
            return paint

    def wait(self, seconds: float) -> None:
        """Wait until something has changed since the last `take`, but no longer than so many seconds."""
        self._changed.wait(seconds)


@dataclass(frozen=True)
class LearnRequest:
    """What to learn on.

    Parameters
    ----------
    token : str
        Of the session: another one for other images, or other settings.
    images : tuple of LearnImage
        The one in view, which is predicted, and others whose paint is learned from.
    start : str or None
        Name or path of the model to begin with.
    kept : Path or None
        Where the last accepted model is kept beside the paint.
    resumes : bool
        Whether a new session begins with that model.
    settings : FineTuneSettings
        How to train the U-Net, when the light head has predicted everything; 0 steps leave it at that.
    corrects : bool
        Whether what is painted corrects a result of `start`.
    """

    token: str
    images: tuple[LearnImage, ...]
    start: str | None
    kept: Path | None
    resumes: bool = False
    settings: FineTuneSettings = LIGHT
    corrects: bool = False


@dataclass(frozen=True)
class Opened:
    """A session was opened; these are its versions."""

    versions: tuple[Version, ...]


@dataclass(frozen=True)
class Judged:
    """A candidate was accepted or not."""

    verdict: AcceptDecision


@dataclass(frozen=True)
class Offered:
    """A version that cannot be told apart from the one in use, and what both say about one slice."""

    version: Version
    current: Version
    z: int
    predictions: tuple[SlicePrediction, SlicePrediction]
    """Of the version in use, and of the one on offer."""


@dataclass(frozen=True)
class Reverted:
    """An earlier version is in use again."""

    version: Version


@dataclass(frozen=True)
class SliceSeen:
    """What the model says about one slice."""

    z: int
    prediction: SlicePrediction


@dataclass(frozen=True)
class TrainingFinished:
    """Losses of the training steps since the last such record; `begins` with the first ones of a training."""

    losses: tuple[float, ...]
    begins: bool


@dataclass(frozen=True)
class Saved:
    """The model was written."""

    path: Path


@dataclass(frozen=True)
class Hint:
    """Why one cannot learn from this paint yet."""

    text: str


Record = Progress | Opened | Judged | Offered | Reverted | SliceSeen | TrainingFinished | Saved | Hint
Loop = Generator[Any, None, None]
"""Yields `Record`s."""


def learn(
    worker: Executor, request: LearnRequest, commands: CommandQueue, sent: Sequence[SentImage] | None = None
) -> Loop:
    """Do what is asked for until everything is done, or until it says stop where it is live.

    Parameters
    ----------
    sent : sequence of SentImage, optional
        What earlier loops have sent of each image; None where this is the first one.

    Raises
    ------
    InputError
        If one cannot learn from the paint; where it is live, that is a `Hint`.
    """
    images = sent if sent is not None else [SentImage(number) for number in range(len(request.images))]
    yield from _Loop(worker, request, commands, images).run()


class _Loop:
    def __init__(
        self, worker: Executor, request: LearnRequest, commands: CommandQueue, sent: Sequence[SentImage]
    ) -> None:
        self._worker, self._request, self._commands = worker, request, commands
        self._slices = request.images[0].source.shape[1]
        self._pending: set[int] = set()
        self._sent = sent
        self._paint: PaintCopy | None = None
        self._tuning = self._unkept = self._has_trained = False

    def run(self) -> Loop:
        """The loop."""
        yield from self._open()
        while not self._commands.is_stopped:
            command = self._commands.take()
            if command is not None:
                yield from self._obey(command)
            elif self._pending:
                yield from self._predict()
            elif self._unkept:
                yield from self._keep()
            elif self._tuning and self._paint is not None:
                yield from self._fine_tune(self._paint)
            elif self._commands.live:
                yield Progress(1, 1, WAITING)
                self._commands.wait(PATIENCE)
            else:
                return
        if self._unkept:  # stopped before everything was predicted
            yield from self._keep()

    def _obey(self, command: Command) -> Loop:
        if isinstance(command, PaintCopy):
            yield from self._learn(command)
        elif isinstance(command, Revert):
            yield Reverted((yield from self._run(session_jobs.revert, command.number)))
            self._renew()
        elif isinstance(command, Take):
            yield Judged((yield from self._run(session_jobs.take)))
            self._renew()
        elif isinstance(command, Save):
            yield from self._run(session_jobs.save, command.path, command.names, command.cleanup)
            yield Saved(command.path)

    def _run(self, target: Any, *args: Any) -> Job[Any]:
        return self._worker.run(target, self._request.token, *args)

    def _open(self) -> Loop:
        request = self._request
        if not (yield from self._run(session_jobs.is_open)):
            yield Progress(0, 1, "Reading the layer")
            volumes = [image.source.volume(image.grid) for image in request.images]
            kept = request.kept if request.resumes else None
            places = [image.place for image in request.images]
            versions = yield from self._run(session_jobs.begin, volumes, places, request.start, kept, request.corrects)
            yield Opened(versions)
            if versions:
                self._renew()

    def _learn(self, paint: PaintCopy) -> Loop:
        try:
            yield from self._send(paint)
            verdict = yield from self._run(session_jobs.learn, paint.names, self._request.settings)
        except InputError as error:
            if not self._commands.live:
                raise
            yield Hint(str(error))
            return
        self._paint, self._tuning, self._has_trained = paint, self._request.settings.steps != 0, False
        yield Judged(verdict)
        if verdict.accepted:
            self._renew()

    def _send(self, paint: PaintCopy) -> Loop:
        """Send what has changed since the last stroke; all of it where the session holds something else."""
        pairs = list(zip(self._sent, paint.all, strict=True))
        changes = [sent.change(painted) for sent, painted in pairs]
        held = yield from self._run(session_jobs.paint, [change for change in changes if change is not None])
        lost: list[Annotation] = [
            sent.whole(painted) for (sent, painted), number in zip(pairs, held, strict=True) if sent.sequence != number
        ]
        if lost:
            yield from self._run(session_jobs.paint, lost)

    def _renew(self) -> None:
        """The model has changed: predict everything again, keep it, and train no U-Net on top of the one before."""
        self._pending, self._unkept = set(range(self._slices)), True

    def _predict(self) -> Loop:
        z = min(self._pending, key=lambda other: abs(other - self._commands.view))
        done = self._slices - len(self._pending)
        yield SliceSeen(z, (yield from self._run(session_jobs.predict, z, self._slices, done)))
        self._pending.remove(z)

    def _keep(self) -> Loop:
        self._unkept = False
        if self._request.kept is not None:
            try:
                yield from self._run(session_jobs.save, self._request.kept, {}, ())
            except OutputError as error:  # a full disk takes nothing away: the model is in memory
                yield Hint(f"The model is in use, but not kept for another day: {error}")

    def _fine_tune(self, paint: PaintCopy) -> Loop:
        settings = self._request.settings
        tuned: Tuned = yield from self._run(session_jobs.fine_tune, paint.names, settings, BREATH)
        if tuned.losses:
            yield TrainingFinished(tuned.losses, begins=not self._has_trained)
            self._has_trained = True
        if tuned.verdict is not None:
            self._tuning = False
            yield Judged(tuned.verdict)
            if tuned.verdict.accepted:
                self._renew()
            elif tuned.verdict.offered is not None:
                yield from self._compare(tuned.verdict.version, tuned.verdict.offered)

    def _compare(self, current: Version, offered: Version) -> Loop:
        """What the version in use and the one on offer say about the slice on screen."""
        z = self._commands.view
        before = yield from self._run(session_jobs.predict, z, self._slices, self._slices)
        yield Offered(offered, current, z, (before, (yield from self._run(session_jobs.predict_offered, z))))
