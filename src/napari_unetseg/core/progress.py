"""Progress of a long job, what one will cost, and the way to run it to its end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


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
