"""Executors: where a verb runs. In this process, in one of its own, and later elsewhere; the caller does not see which.

An executor takes a generator function of the `api` or of `service.jobs` and its arguments, and gives a job. The serial
one lives here; others are registered by the name of their class, and loaded when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import ParamSpec, Protocol, TypeVar

from napari_unetseg.core.progress import Job
from napari_unetseg.errors import SettingsError

P = ParamSpec("P")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs one job after another."""

    def run(self, verb: Callable[P, Job[Result]], *args: P.args, **kwargs: P.kwargs) -> Job[Result]:
        """The job of a verb: yields what it yields, returns what it returns, raises what it raises; closing ends it."""
        ...

    def stop(self) -> None:
        """End the job that is running, from any thread, without waiting for it."""
        ...


class SerialExecutor:
    """Runs jobs where it is called. `stop` has nothing to end: whoever holds the job closes it.

    Examples
    --------
    >>> from napari_unetseg.core.progress import Progress, finish
    >>> def double(value):
    ...     yield Progress(1, 1, "Doubling")
    ...     return 2 * value
    >>> finish(SerialExecutor().run(double, 3))
    6
    """

    def run(self, verb: Callable[P, Job[Result]], *args: P.args, **kwargs: P.kwargs) -> Job[Result]:
        """The job itself."""
        return verb(*args, **kwargs)

    def stop(self) -> None:
        """Do nothing."""


_classes = {
    "serial": f"{__name__}:SerialExecutor",
    "process": "napari_unetseg.service.process:Worker",
}


def register_executor(name: str, target: str) -> None:
    """Offer another executor, a class ``module:name`` that is made without arguments."""
    _classes[name] = target


def make_executor(name: str = "serial") -> Executor:
    """A new executor: ``serial``, ``process``, or one that was registered.

    Raises
    ------
    SettingsError
        If there is none of that name.
    """
    if name not in _classes:
        raise SettingsError(f"Expected an executor of {', '.join(_classes)}; got {name!r}.")
    module, _, kind = _classes[name].partition(":")
    executor: Executor = getattr(import_module(module), kind)()
    return executor
