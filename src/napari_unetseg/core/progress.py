"""Progress of a long job, what one will cost, the way to run it to its end, and how its process may end before.

Also what it has to tell on the way: warnings, which a process hands to the one that asked for the job.
"""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from napari_unetseg.core.notes import Note, as_note

Result = TypeVar("Result")
PACKAGE = str(Path(__file__).parents[1])
LACKS_MEMORY = (
    "probably for lack of memory: close other programs, or take a smaller part of the image or a lower resolution"
)
CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS")
"""Signals of a process that has done what it must not."""


@dataclass(frozen=True)
class Progress:
    """One step of a long job. Serialisable.

    Parameters
    ----------
    done, total : int
        Steps done, of so many. `total` is at least 1.
    stage : str
        What is being done, for people: ``"Predicting"``.
    message : str
        Something to tell once, such as a fall back to smaller tiles; else empty.
    seconds_left : float or None
        A forecast; None while there is none.
    """

    done: int
    total: int
    stage: str
    message: str = ""
    seconds_left: float | None = None


@dataclass(frozen=True)
class CostEstimate:
    """The expected cost of a prediction.

    Parameters
    ----------
    seconds : float
        From the speed of one small tile on this machine, measured once. Never less for a larger volume.
    peak_bytes : int
        Memory on top of what the volume takes: one tile, and the result.
    tiles : int
    device : str
    """

    seconds: float
    peak_bytes: int
    tiles: int
    device: str


Job = Generator[Progress, None, Result]
"""A long job: yields `Progress`, returns its result. Closing it cancels it."""


def finish(job: Job[Result], on_progress: Callable[[Progress], None] | None = None) -> Result:
    """Run a job to its end and return its result, handing each `Progress` to `on_progress`."""
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if on_progress is not None:
            on_progress(progress)


@contextmanager
def told_warnings(tell: Callable[[Note], None]) -> Iterator[None]:
    """Hand this program's own warnings to `tell`, each at once; those of libraries are for developers."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        if category is UserWarning and filename.startswith(PACKAGE):
            tell(as_note(message.args[0] if isinstance(message, Warning) else message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield


def describe_ending(code: int) -> str:
    """How a process ended before its job, by its exit code: ``-9`` of a signal, or the number that it left with."""
    if code >= 0:
        return f"ended by itself (exit code {code})"
    name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
    if is_crash(code):
        return f"crashed ({name}) in a library, which is no lack of memory: is the file damaged? If not, report it"
    if name == "SIGKILL":
        return f"was ended by the system ({name}), {LACKS_MEMORY}"
    if name == "SIGABRT":
        return f"was given up by a library ({name}), {LACKS_MEMORY}"
    return f"was ended from outside ({name}): start the job again"


def is_crash(code: int) -> bool:
    """Whether an exit code is that of a process that has done what it must not: a fault, not a lack of anything."""
    return -code in {getattr(signal, name, None) for name in CRASHES}
