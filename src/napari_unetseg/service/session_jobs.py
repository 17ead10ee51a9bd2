"""Jobs of learning in the child process: short ones on one session, so that a new stroke never waits for long.

This module is imported by the window's process too, to name the functions; so it loads no torch by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from napari_unetseg.core.annotations.session_record import Place
from napari_unetseg.core.annotations.versions import AcceptDecision, SlicePrediction, Tuned, Version
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.volume import Volume
from napari_unetseg.errors import ModelError

if TYPE_CHECKING:
    from napari_unetseg.engine.fewshot.session import InteractiveSession

Array = npt.NDArray[Any]

_places: dict[str, Sequence[Place]] = {}
_sessions: dict[str, InteractiveSession] = {}
"""At most one, by its token: it holds gigabytes."""


def is_open(token: str) -> Job[bool]:
    """Whether this process holds a session: not if it was started since."""
    yield Progress(0, 1, "Looking for the session")
    return token in _sessions


def begin(
    token: str, volumes: Sequence[Volume], places: Sequence[Place], start: str | None, kept: Path | None
) -> Job[tuple[Version, ...]]:
    """Open a session in place of any other one; a `kept` model that is damaged is left alone."""
    yield Progress(0, 1, "Loading the engine")
    from napari_unetseg.engine.fewshot.session import InteractiveSession
    from napari_unetseg.engine.networks.model_file import load_model

    _sessions.clear()
    _places.clear()
    loaded = load_model(start) if start is not None else None
    try:
        restored = load_model(kept) if kept is not None and kept.is_file() else None
    except ModelError:
        restored = None
    _sessions[token] = InteractiveSession(volumes, loaded, kept=restored)
    _places[token] = places
    return _sessions[token].versions


def learn(
    token: str, painted: Sequence[Array], names: Mapping[int, str], settings: FineTuneSettings
) -> Job[AcceptDecision]:
    """`InteractiveSession.learn`."""
    return (yield from _sessions[token].learn(painted, names, settings))


def fine_tune(
    token: str, painted: Sequence[Array], names: Mapping[int, str], settings: FineTuneSettings, seconds: float
) -> Job[Tuned]:
    """`InteractiveSession.fine_tune`."""
    return (yield from _sessions[token].fine_tune(painted, names, settings, seconds))


def predict(token: str, z: int, total: int, done: int) -> Job[SlicePrediction]:
    """`InteractiveSession.predict`, of the slice after the first `done` of `total`."""
    yield Progress(done, total, "Predicting")
    return _sessions[token].predict(z)


def revert(token: str, number: int) -> Job[Version]:
    """`InteractiveSession.revert`."""
    yield Progress(0, 1, "Reverting")
    return _sessions[token].revert(number)


def save(token: str, path: Path, names: Mapping[int, str]) -> Job[None]:
    """`InteractiveSession.save`, with the record from which the model can be made again."""
    yield Progress(0, 1, "Saving the model")
    from napari_unetseg.engine.fewshot.replay import record_session

    _sessions[token].save(path, names)
    record_session(_sessions[token], path, _places[token])
