"""Commands from the window to the loop of learning, and their queue. Nothing here makes the window wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True)
class PaintCopy:
    """Paint as it was at one moment.

    Parameters
    ----------
    painted : ndarray of whole numbers, (Z, Y, X)
        Of the image in view; a copy that nobody writes to.
    names : mapping
        Names of structures by output label.
    others : tuple of ndarray
        The same of other images that are learned from.
    """

    painted: npt.NDArray[Any]
    names: Mapping[int, str]
    others: tuple[npt.NDArray[Any], ...] = ()

    @property
    def all(self) -> tuple[npt.NDArray[Any], ...]:
        """The paint of every image, that in view first."""
        return (self.painted, *self.others)


@dataclass(frozen=True)
class Revert:
    """Go back to a version."""

    number: int


@dataclass(frozen=True)
class Save:
    """Write the current model, with the structures' names (by output label) as they are now."""

    path: Path
    names: Mapping[int, str]


Command = PaintCopy | Revert | Save


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
