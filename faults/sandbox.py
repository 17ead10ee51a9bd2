"""Processes of their own for inputs: forked with everything imported, limited in time and memory, and replaced."""

from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.connection
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from faults.kind import Files, Kind
from napari_unetseg.errors import UnetsegError

SECONDS = 5.0
"""Of the processor, for one input."""
PATIENCE = 20.0
"""Seconds by the clock, after which a process that does not compute hangs. One that does has its time of the processor:
other programs may have that as well."""
MEMORY = 2 * 1024**3
"""Address space, beyond what the imported package takes."""
MOST_INPUTS = 100
"""Of one process, before another takes its place."""
PACKAGE = "napari_unetseg"
FORK: Any = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Case:
    """An input: its kind, its number, and its files by name."""

    kind: str
    number: int
    files: Files


@dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Parameters
    ----------
    verdict : str
        ``result`` or ``refused``, which are right, or ``fault``.
    signature : str
        Of a fault: what went wrong, and where; equal ones are one.
    details : str
        A refusal's line, or a fault's traceback.
    """

    verdict: str
    signature: str = ""
    details: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether it is neither a result nor a refusal."""
        return self.verdict == "fault"


class Sandbox:
    """A pool of forked processes that feed inputs to the program. Use as a context manager.

    Parameters
    ----------
    kinds : mapping
        By name. What they need must be imported.
    processes : int
    """

    def __init__(self, kinds: Mapping[str, Kind], processes: int = 1) -> None:
        self._kinds = kinds
        self._workers = [_Worker(kinds) for _ in range(processes)]

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()

    def feed(self, case: Case) -> Outcome:
        """What becomes of one input, in a fresh process."""
        self._workers[0].end()
        self._workers[0] = _Worker(self._kinds)
        ((_, outcome),) = self.run([case])
        return outcome

    def run(self, cases: Iterable[Case]) -> Iterator[tuple[Case, Outcome]]:
        """Feed inputs; outcomes come as they are found."""
        left = iter(cases)
        while True:
            for place, worker in enumerate(self._workers):
                if worker.case is None and (case := next(left, None)) is not None:
                    self._renewed(place).start(case)
            running = [worker for worker in self._workers if worker.case is not None]
            if not running:
                return
            multiprocessing.connection.wait([worker.pipe for worker in running], timeout=0.2)
            for worker in running:
                case, outcome = worker.case, worker.poll()
                if case is not None and outcome is not None:
                    yield case, outcome

    def _renewed(self, place: int) -> _Worker:
        """The worker at a place, or another there where it has died or worked long enough."""
        worker = self._workers[place]
        if not worker.is_alive or worker.done >= MOST_INPUTS:
            worker.end()
            worker = self._workers[place] = _Worker(self._kinds)
        return worker


class _Worker:
    """One process, seen from outside."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.pipe, inside = FORK.Pipe()
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self._process = FORK.Process(target=_work, args=(inside, self.pipe, kinds, self._folder), daemon=True)
        self._process.start()
        inside.close()
        self.case: Case | None = None
        self.done = 0
        self._began = 0.0

    @property
    def is_alive(self) -> bool:
        return bool(self._process.is_alive())

    def start(self, case: Case) -> None:
        self.case, self._began = case, time.monotonic()
        with suppress(OSError):  # a process that is gone is noticed by `poll`
            self.pipe.send(case)

    def poll(self) -> Outcome | None:
        """What became of the input; None while it is being worked on."""
        outcome: Outcome | None = None
        try:
            if self.pipe.poll():
                outcome = self.pipe.recv()
        except (EOFError, OSError):
            outcome = self._death()
        if outcome is None and time.monotonic() - self._began > PATIENCE and not self._computes:
            self._process.kill()
            outcome = Outcome("fault", "hangs", f"Nothing came within {PATIENCE:g} s.")
        if outcome is not None:
            self.case, self.done = None, self.done + 1
        return outcome

    @property
    def _computes(self) -> bool:
        return bool(psutil.Process(self._process.pid).status() == psutil.STATUS_RUNNING)

    def _death(self) -> Outcome:
        self._process.join(SECONDS)
        code = self._process.exitcode or 0
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            return Outcome("fault", f"takes more than {SECONDS:g} s", "The processor's time was used up.")
        return Outcome("fault", f"ends the process ({signal.Signals(-code).name if code < 0 else code})", "")

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _work(pipe: Connection, outside: Connection, kinds: Mapping[str, Kind], folder: Path) -> None:
    """Take inputs until the parent goes."""
    outside.close()
    _prepare(folder)
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            case = pipe.recv()
            pipe.send(_fed(kinds[case.kind], case, folder))


def _prepare(folder: Path) -> None:
    """Limit this process, and keep what it says, and what it keeps for a user, to itself."""
    import torch

    torch.set_num_threads(1)
    os.environ["NAPARI_UNETSEG_CACHE"] = str(folder / "cache")
    silence = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(silence, number)
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - as long as the process
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _fed(kind: Kind, case: Case, folder: Path) -> Outcome:
    place = folder / "input"
    shutil.rmtree(place, ignore_errors=True)
    write_files(place, case.files)
    _limit_time()
    try:
        kind.feed(place)
    except UnetsegError as error:
        return Outcome("refused", details=str(error))
    except BaseException as error:  # whatever it is, it is what is looked for
        return Outcome("fault", _signature(error), "".join(traceback.format_exception(error))[-6000:])
    finally:
        if case.number % 10 == 0:
            gc.collect()
    return Outcome("result")


def _limit_time() -> None:
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + SECONDS) + 1, hard))


def _signature(error: BaseException) -> str:
    """The type of an exception, and the innermost place in the package that it came through."""
    places = [
        f"{frame.filename.rpartition(PACKAGE)[2].strip('/')}:{frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if f"/{PACKAGE}/" in frame.filename
    ]
    where = places[-1] if places else "the door"
    return f"{type(error).__name__} in {where}"


def write_files(folder: Path, files: Files) -> None:
    """Write an input's files, by their names below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)


def read_files(folder: Path) -> Files:
    """The files below a folder, by their names."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
