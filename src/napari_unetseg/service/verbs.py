"""The verbs: what one process may ask of another, by name; each is loaded when it is first asked for.

A verb is a generator function that yields progress and returns a result, and the types of its parameters and of what
it yields and returns are the schemas of its messages. Callers name the function, so that their types are checked; what
travels is the name, and a name that is not here is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, TypeAdapter

from napari_unetseg.service.messages import MessageError, request_model, schema_of

_JOBS = "napari_unetseg.service.jobs"
_SESSION = "napari_unetseg.service.session_jobs"
_METRICS = "napari_unetseg.service.metric_jobs"
_REPORT = "napari_unetseg.service.report_jobs"

_targets = {
    "warm_up": f"{_JOBS}:warm_up",
    "segment": f"{_JOBS}:segment",
    "segment_file": f"{_JOBS}:segment_file",
    "forecast": f"{_JOBS}:forecast",
    "try_model": f"{_JOBS}:try_model",
    "inspect": f"{_JOBS}:inspect",
    "load": f"{_JOBS}:load",
    "clean": f"{_JOBS}:clean",
    "metrics.score": f"{_METRICS}:score",
    "metrics.measure": f"{_METRICS}:measure",
    "report.page": f"{_REPORT}:page",
    "report.surfaces": f"{_REPORT}:surfaces",
    "session.is_open": f"{_SESSION}:is_open",
    "session.open": f"{_SESSION}:begin",
    "session.paint": f"{_SESSION}:paint",
    "session.learn": f"{_SESSION}:learn",
    "session.fine_tune": f"{_SESSION}:fine_tune",
    "session.predict": f"{_SESSION}:predict",
    "session.revert": f"{_SESSION}:revert",
    "session.predict_offered": f"{_SESSION}:predict_offered",
    "session.take": f"{_SESSION}:take",
    "session.save": f"{_SESSION}:save",
}
_own = frozenset(_targets)


@dataclass(frozen=True)
class Verb:
    """A named job.

    Parameters
    ----------
    target : str
        ``module:function``.
    """

    name: str
    target: str

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The generator function; the first look imports its module."""
        module, _, name = self.target.partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function

    @cached_property
    def request(self) -> TypeAdapter[BaseModel]:
        """What checks its arguments."""
        return schema_of(request_model(self.function, self.name))

    @cached_property
    def record(self) -> TypeAdapter[Any]:
        """What checks the records that it yields."""
        return schema_of(self._generated[0])

    @cached_property
    def result(self) -> TypeAdapter[Any]:
        """What checks its result."""
        return schema_of(self._generated[2])

    @property
    def _generated(self) -> tuple[Any, ...]:
        return get_args(get_type_hints(self.function, include_extras=True)["return"])


def register(name: str, target: str) -> None:
    """Add a verb, ``module:function``; processes that are started from now on know it too."""
    _targets[name] = target


def added() -> dict[str, str]:
    """The verbs that `register` has added."""
    return {name: target for name, target in _targets.items() if name not in _own}


def verb(name: str) -> Verb:
    """The verb of a name; raises `MessageError` where there is none."""
    if name not in _targets:
        raise MessageError(f"Expected one of the verbs {', '.join(sorted(_targets))}; got {name!r}.")
    return Verb(name, _targets[name])


def verb_of(function: Callable[..., Any]) -> Verb:
    """The verb whose function this is; raises `MessageError` where it is none."""
    target = f"{function.__module__}:{function.__qualname__}"
    for name, known in _targets.items():
        if known == target:
            return Verb(name, target)
    raise MessageError(f"{target} is not a verb: expected a function that is registered under a name.")
