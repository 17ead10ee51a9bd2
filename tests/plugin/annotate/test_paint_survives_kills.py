"""Paint is never lost: a program that paints is killed (SIGKILL) at random moments, and the paint is found every time.

Five kills, and fifty in a long run, each continued by the next program. All but one or two hit a program that starts in
no time: napari's layers, the Learn widget's own paint section with its timers and its journal, but no window and no
mouse. The others hit a whole napari with the widget docked, which paints by mouse events, and is slow to start.
A stroke may be lost when it ended less than `GRACE` seconds before the kill (those in which other programs had the
processor are not counted); what is found is always whole.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unetseg.core.annotations.journal import FOLDER
from napari_unetseg.plugin.annotate.store import find_paint
from support import PATIENCE, gone_within, is_running, waited

PROGRAM = Path(__file__).parents[1] / "painter.py"
GRACE = 2.0
"""Seconds that a stroke may take to the disk."""
LONGEST = 3.0
"""Seconds from a program's first stroke to its kill, at most."""
SHAPE = (3, 96, 96)
AT_ONCE = 4
"""Programs that paint beside each other, each on its own image."""

Start = Callable[[Path, int, Path], int]
"""Starts a program on an image, with a seed and a file to write to; gives its process id."""


class Nursery:
    """Starts programs that have loaded napari already."""

    def __init__(self) -> None:
        environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
        self._parent = subprocess.Popen(
            [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._lock = threading.Lock()

    def start(self, image: Path, seed: int, said: Path) -> int:
        with self._lock:
            self._parent.stdin.write(f"{image} {seed} {said}\n")
            self._parent.stdin.flush()
            return int(self._parent.stdout.readline())

    def close(self) -> None:
        self._parent.stdin.close()
        self._parent.wait()


def killed(start: Start, image: Path, seed: int) -> tuple[float, list[tuple[float, int]]]:
    """Start a program and kill it while it paints; when that was, less what it waited for others, and its `strokes`."""
    said = image.with_name(f"{image.stem}.said.{seed}")
    pid = start(image, seed, said)
    deadline = time.monotonic() + PATIENCE / 1000
    while len(strokes(said)) < 2:
        assert is_running(pid), "it ended before it painted"
        assert time.monotonic() < deadline, "it does not paint"
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0, LONGEST))
    when = time.monotonic() - waited(str(pid))
    os.kill(pid, signal.SIGKILL)
    assert gone_within(pid, 2)
    return when, strokes(said)


def strokes(said: Path) -> list[tuple[float, int]]:
    """The times and checksums of the paint as it began, and after each stroke that changed it."""
    lines = [line.split() for line in said.read_text().splitlines()] if said.exists() else []
    states = [(float(at), int(state)) for at, _, state in lines]
    return [each for number, each in enumerate(states) if number == 0 or each[1] != states[number - 1][1]]


def survives(start: Start, image: Path, seeds: list[int]) -> list[str]:
    """Kill programs that paint on one image, one after another; returns what went wrong."""
    wrong: list[str] = []
    painted = np.zeros(SHAPE, np.uint8)
    for seed in seeds:
        when, states = killed(start, image, seed)
        if states[0][1] != checksum(painted):
            wrong.append(f"kill {seed}: the program did not begin with the paint that was found before")
        found = find_paint(image.parent / FOLDER / f"{image.name}.paint", SHAPE)
        painted = np.asarray(found.painted, np.uint8) if found is not None else np.zeros(SHAPE, np.uint8)
        due = max(0, sum(at < when - GRACE for at, _ in states) - 1)
        if checksum(painted) not in [state for _, state in states[due:]]:
            wrong.append(f"kill {seed}: {np.count_nonzero(painted)} voxels were found, which was never the paint")
    if not painted.any():
        wrong.append("nothing was ever found")
    return wrong


def checksum(painted: np.ndarray) -> int:
    return zlib.crc32(painted.tobytes())


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"image-{number}.tif" for number in range(AT_ONCE)]
    for path in paths:
        tifffile.imwrite(path, np.zeros(SHAPE, np.uint8), metadata={"axes": "ZYX"}, photometric="minisblack")
    return paths


@pytest.mark.skipif(not hasattr(os, "fork"), reason="programs are started as copies of one, by fork")
@pytest.mark.parametrize("kills", [4, pytest.param(48, marks=pytest.mark.long)])
def test_paint_is_found_after_kills(images: list[Path], kills: int) -> None:
    nursery, share = Nursery(), kills // AT_ONCE
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [
            pool.submit(survives, nursery.start, image, list(range(share * number, share * (number + 1))))
            for number, image in enumerate(images)
        ]
        assert [job.result() for job in jobs] == [[]] * AT_ONCE
    nursery.close()


@pytest.mark.parametrize("kills", [1, pytest.param(2, marks=pytest.mark.long)])
def test_paint_is_found_after_kills_of_a_whole_napari(qtbot, images: list[Path], kills: int) -> None:
    def start(image: Path, seed: int, said: Path) -> int:
        return subprocess.Popen([sys.executable, str(PROGRAM), str(image), str(seed), str(said)]).pid

    assert survives(start, images[0], list(range(48, 48 + kills))) == []
