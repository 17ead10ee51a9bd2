"""What fixtures hand to tests. Not in a conftest: there are two of them, and tests can import only one."""

from __future__ import annotations

import json
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ModelMaker = Callable[..., Path]


@dataclass(frozen=True)
class Outcome:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The object on the last line of standard output."""
        return json.loads(self.out.splitlines()[-1])


Command = Callable[..., Outcome]

PATIENCE = 240_000
"""Milliseconds in which something must happen on a machine that may be slow and busy."""
SLACK = 5.0
"""How many times as long as promised a thing may take on such a machine."""


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    """Whether a process ends within so many seconds, `SLACK` taken into account."""
    deadline = time.monotonic() + SLACK * seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def waited(task: str = "thread-self") -> float:
    """Seconds for which a thread, or a process by its number, could have run, but another program had the processor.

    The threads of a process are added up. 0 where the system does not say (all but Linux).
    """
    folder = Path("/proc", task)
    counters = [folder / "schedstat"] if task == "thread-self" else folder.glob("task/*/schedstat")
    return sum(int(counter.read_text().split()[1]) for counter in counters if counter.exists()) / 1e9


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes, as on a disk that is full.

    Not a fixture: the log of the tests is a file too, and pytest writes to it before a fixture ends.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
