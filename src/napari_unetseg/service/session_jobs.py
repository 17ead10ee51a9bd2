"""Verbs of the worker process on a learning session: short jobs, so that a new stroke never waits for long.

The window's process imports this module too, to name the functions; so it loads no torch by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_unetseg.api.interactive import InteractiveSession
from napari_unetseg.core.annotations.annotation import Annotation
from napari_unetseg.core.annotations.session_record import Place
from napari_unetseg.core.annotations.versions import AcceptDecision, SlicePrediction, Tuned, Version
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.steps import Step
from napari_unetseg.core.volume import Volume

_sessions: dict[str, InteractiveSession] = {}
"""At most one, by its token: it holds gigabytes."""


def is_open(token: str) -> Job[bool]:
    """Whether this process holds a session: not if it was started since."""
    yield Progress(0, 1, "Looking for the session")
    return token in _sessions


def begin(
    token: str,
    volumes: Sequence[Volume],
    places: Sequence[Place],
    start: str | None,
    kept: Path | None,
    corrects: bool = False,
) -> Job[tuple[Version, ...]]:
    """Open a session in place of any other one; its paint corrects a result of `start`, where that is said."""
    yield Progress(0, 1, "Loading the engine")
    _sessions.clear()
    _sessions[token] = InteractiveSession(list(volumes), start, kept=kept, places=places, corrects=corrects)
    return _sessions[token].versions


def paint(token: str, strokes: Sequence[Annotation]) -> Job[tuple[int, ...]]:
    """Take strokes; returns for each image the number of the last record that it has taken, 0 for none."""
    yield Progress(0, 1, "Taking the paint")
    session = _sessions[token]
    for stroke in strokes:
        session.paint(stroke)
    return session.sequences


def learn(token: str, names: Mapping[int, str], settings: FineTuneSettings) -> Job[AcceptDecision]:
    """`InteractiveSession.learn`."""
    return (yield from _sessions[token].iter_learn(names, settings))


def fine_tune(token: str, names: Mapping[int, str], settings: FineTuneSettings, seconds: float) -> Job[Tuned]:
    """A part of `InteractiveSession.fine_tune`."""
    return (yield from _sessions[token].iter_fine_tune(names, settings, seconds))


def predict(token: str, z: int, total: int, done: int) -> Job[SlicePrediction]:
    """`InteractiveSession.predict`, of the slice after the first `done` of `total`."""
    yield Progress(done, total, "Predicting")
    return _sessions[token].predict(z)


def predict_offered(token: str, z: int) -> Job[SlicePrediction]:
    """`InteractiveSession.predict_offered`."""
    yield Progress(0, 1, "Predicting")
    return _sessions[token].predict_offered(z)


def take(token: str) -> Job[AcceptDecision]:
    """`InteractiveSession.take`."""
    yield Progress(0, 1, "Taking the version")
    return _sessions[token].take()


def revert(token: str, number: int) -> Job[Version]:
    """`InteractiveSession.revert`."""
    yield Progress(0, 1, "Reverting")
    return _sessions[token].revert(number)


def save(token: str, path: Path, names: Mapping[int, str], cleanup: tuple[Step, ...]) -> Job[None]:
    """`InteractiveSession.save`."""
    yield Progress(0, 1, "Saving the model")
    _sessions[token].save(path, names, cleanup)
