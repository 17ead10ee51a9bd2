"""Kills at random moments of everything that writes: nothing torn, nothing that was confirmed lost, nothing left over.

``make kills``, or ``python -m faults.kills --kills 2000 --seed 0``; ``--only strokes.paint,m.safetensors`` takes these
writers. Each kill is a forked process that writes one version after the other to the same place and confirms each over
a pipe, until SIGKILL comes. Then an independent library reads what is there; and the next process that writes there
must clean up what was left.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from faults.fuzz import prepare
from faults.writers import SOURCE, WRITERS, Writer

FORK: Any = multiprocessing.get_context("fork")
LONGEST = 0.06
"""Seconds from the first confirmation until a kill, at most."""
PATIENCE = 60.0
"""Seconds for the first version, on a machine that may be busy."""
MOST_VERSIONS = 60_000
COLUMNS = ("kills", "in a write", "torn", "lost", "left")


class Place:
    """A place that one writer writes to and is killed at, again and again.

    Parameters
    ----------
    folder : Path
        Empty.
    """

    def __init__(self, writer: Writer, folder: Path) -> None:
        self.writer, self.folder = writer, folder
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._version = 0
        self._expected: set[str] = set()

    @property
    def path(self) -> Path:
        """What is written."""
        return self.folder / self.writer.name

    def kill(self, wait: float) -> None:
        """Let a process write, kill it so many seconds after it has confirmed its first version, and look."""
        confirmed = self._killed(wait)
        self.counts["kills"] += 1
        self.counts["in a write"] += any(".partial" in name or ".old" in name for name in self._strange())
        try:
            found = self.writer.read(self.path)
        except Exception as error:  # whatever a library says of a file that is torn
            self._count("torn", f"{type(error).__name__}: {error}")
            self.path.unlink(missing_ok=True)
            return
        if found not in (confirmed, confirmed + 1):
            self._count("lost", f"version {confirmed} was confirmed, and {found} is there")
        self._version = found

    def tidy(self) -> None:
        """Let a process write once more, and look for what is left."""
        if self._run(1):
            self._count("left", "the next process could not write")
        self._version = self.writer.read(self.path)
        if self._strange():
            self._count("left", ", ".join(sorted(self._strange())))

    def _count(self, what: str, why: str) -> None:
        self.counts[what] += 1
        self.faults.append(f"{self.writer.name}: {what}: {why}")

    def _strange(self) -> set[str]:
        """What is there beside what belongs there."""
        return {path.name for path in self.folder.iterdir()} - {self.writer.name, SOURCE}

    def _killed(self, wait: float) -> int:
        """The last version that was confirmed before the kill."""
        here, there = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_write, args=(self.writer, self.path, self._version, MOST_VERSIONS, there))
        process.start()
        there.close()
        confirmed = self._version
        if here.poll(PATIENCE):
            with suppress(EOFError):
                confirmed = here.recv()
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with suppress(EOFError):
            while True:
                confirmed = here.recv()
        here.close()
        if process.exitcode != -signal.SIGKILL:
            self._count("lost", f"the writer ended by itself, with {process.exitcode}")
        return int(confirmed)

    def _run(self, versions: int) -> int:
        """Write so many versions in a process that is not killed; returns its exit code."""
        here, there = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_write, args=(self.writer, self.path, self._version, versions, there))
        process.start()
        process.join()
        here.close()
        there.close()
        return int(process.exitcode)


def _write(writer: Writer, path: Path, version: int, versions: int, pipe: Connection) -> None:
    """Write versions after `version`, and confirm each when it is on the disk."""
    import torch

    torch.set_num_threads(1)
    with writer.opened(path) as write:
        for number in range(version + 1, version + 1 + versions):
            write(number)
            pipe.send(number)


def kill_all(writers: Sequence[Writer], kills: int, seed: int, folder: Path) -> list[Place]:
    """So many kills, shared out among writers; a fifth of them is followed by a look at what is left over."""
    choose, places = random.Random(seed), []
    for index, writer in enumerate(writers):
        place = Place(writer, folder / f"{index}")
        place.folder.mkdir()
        places.append(place)
        for number in range(kills // len(writers) + (index < kills % len(writers))):
            place.kill(choose.random() ** 2 * LONGEST)
            if number % 5 == 4:
                place.tidy()
        place.tidy()
    return places


def table(places: Sequence[Place]) -> str:
    """Counts by writer."""
    whole: Counter[str] = sum((place.counts for place in places), Counter())
    rows = [(place.writer.name, place.counts) for place in places] + [("all", whole)]
    lines = [f"{'writer':<28}" + "".join(f"{column:>12}" for column in COLUMNS)]
    lines += [f"{name:<28}" + "".join(f"{counts[column]:>12}" for column in COLUMNS) for name, counts in rows]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code, 1 where something was torn, lost or left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(WRITERS))
    given = parser.parse_args(arguments)
    prepare()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        places = kill_all([WRITERS[name] for name in given.only.split(",")], given.kills, given.seed, Path(folder))
    faults = [fault for place in places for fault in place.faults]
    print(table(places))
    print("\n".join(faults[:50]))
    print(f"{time.monotonic() - began:.0f} s, seed {given.seed}, {len(faults)} faults")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
