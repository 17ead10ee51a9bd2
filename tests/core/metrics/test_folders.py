"""Folders are scored by processes of their own: one that is ended is told of, and its work is done by others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr

from napari_unetseg.core.io.loadsave import save_labels
from napari_unetseg.core.metrics.folders import _Pool
from napari_unetseg.core.volume import Labels
from support import Command, gone_within

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
WORKER = "spawn_main"
CASES = 4


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    random = np.random.default_rng(0)
    for name in ("predicted", "true"):
        (tmp_path / name).mkdir()
        for case in range(CASES):
            array = random.integers(0, 3, (4, 40, 40), dtype=np.uint8)
            save_labels(tmp_path / name / f"{case}.ome.tif", Labels(array))
    return tmp_path / "predicted", tmp_path / "true"


def started(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "napari_unetseg", "evaluate", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def workers(program: subprocess.Popen[str]) -> Iterator[psutil.Process]:
    """Each process that scores, as soon as there is one, until the program ends."""
    known: set[int] = set()
    while program.poll() is None:
        for child in psutil.Process(program.pid).children():
            try:
                if child.pid not in known and WORKER in " ".join(child.cmdline()):
                    known.add(child.pid)
                    yield child
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.01)


def test_the_work_of_a_killed_process_is_done_by_another(command: Command, folders: tuple[Path, Path]) -> None:
    program = started(*folders, "--processes", 2, "--json")
    next(workers(program)).kill()
    out, err = program.communicate(timeout=60)
    assert program.returncode == 0, err
    assert err.count("\n") == 1
    assert err.startswith("note: A process that scored was ended by the system (SIGKILL), probably for lack of memory")
    found = json.loads(out)
    assert [note["text"][:26] for note in found.pop("notes")] == ["A process that scored was "]
    alone = command("evaluate", *folders, "--processes", 1, "--json").json
    assert alone.pop("notes") == []
    assert found == alone


@pytest.mark.parametrize(("number", "words"), [(signal.SIGKILL, "lack of memory"), (signal.SIGSEGV, "crashed")])
def test_a_case_that_ends_every_process_is_named_in_one_line(
    folders: tuple[Path, Path], number: signal.Signals, words: str
) -> None:
    program = started(*folders, "--processes", 2)
    for worker in workers(program):
        worker.send_signal(number)
    out, err = program.communicate(timeout=60)
    assert program.returncode == 2
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith("error: 0: the process that scored it ")
    assert words in err
    assert number.name in err


def test_an_interrupt_leaves_one_line_and_no_process(folders: tuple[Path, Path]) -> None:
    program = started(*folders, "--processes", 2)
    found = workers(program)
    scoring = [next(found).pid, next(found).pid]
    os.killpg(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=60)
    assert program.returncode == 130
    assert (out, err) == ("", "error: Cancelled; nothing half-written is left.\n")
    assert all(gone_within(pid, 2) for pid in scoring)


def test_warnings_of_the_processes_are_notes(command: Command, tmp_path: Path) -> None:
    for name in ("predicted", "true"):
        (tmp_path / name).mkdir()
        for case in range(2):
            zarr.save_array(str(tmp_path / name / f"{case}.zarr"), np.ones((2, 3, 4), np.uint8))
    outcome = command("evaluate", tmp_path / "predicted", tmp_path / "true", "--processes", 2)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("does not name its axes") == 2  # files of one name, told once without their folders


def wait_for_both(pool: _Pool) -> None:
    for job in [pool._submitted(time.sleep, 60) for _ in range(2)]:
        job.result()


@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_a_process_that_begins_while_another_is_killed_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    """The executor starts processes one by one, and ends only those that it has when it finds that one was killed."""
    pool, start = _Pool(2), SpawnProcess.start

    def start_late(process: SpawnProcess) -> None:
        if process is not pool._processes.started[0]:
            pool._processes.started[0].kill()
            time.sleep(pause)
        start(process)

    monkeypatch.setattr(SpawnProcess, "start", start_late)
    with pytest.raises(BrokenProcessPool):
        wait_for_both(pool)
    ending: list[str] = []
    waiting = threading.Thread(target=lambda: ending.append(pool.ending), daemon=True)
    waiting.start()
    waiting.join(30)
    assert len(ending) == 1
    assert "SIGKILL" in ending[0]
    assert not any(process.is_alive() for process in pool._processes.started)
