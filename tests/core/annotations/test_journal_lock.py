"""Two programs on one journal: the second is told who writes it, and taking it over loses no confirmed stroke."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_unetseg.core.annotations.journal import read_journal
from napari_unetseg.core.annotations.journal_lock import JournalInUseError, owner_of
from napari_unetseg.core.annotations.journal_writer import Journal, JournalTakenError

SHAPE = (2, 30, 40)
PAINTER = """
import sys, numpy as np
from pathlib import Path
from napari_unetseg.core.annotations.journal_writer import Journal, JournalTakenError
with Journal(Path(sys.argv[1]), (2, 30, 40)) as journal:
    painted = journal.painted.copy()
    print("open", flush=True)
    for voxel in range(painted.size):
        painted.reshape(-1)[voxel] = 7
        try:
            journal.record(painted)
        except JournalTakenError:
            print("taken", flush=True)
            break
        print(voxel, flush=True)
        if sys.argv[2] == "wait":
            sys.stdin.readline()
"""


@pytest.fixture
def painter(tmp_path):
    """Starts a program that paints a voxel after the other, at once or when it is asked to."""
    running = []

    def start(how="wait"):
        command = [sys.executable, "-c", PAINTER, str(tmp_path / "a.paint"), how]
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(program)
        assert program.stdout.readline() == "open\n"
        return program

    yield start
    for program in running:
        program.kill()
        program.communicate()


def test_a_second_program_is_told_who_paints(tmp_path, painter):
    path, program = tmp_path / "a.paint", painter()
    assert program.stdout.readline() == "0\n"
    assert owner_of(path).process == program.pid
    with pytest.raises(JournalInUseError, match=f"process {program.pid} on this computer"):
        Journal(path, SHAPE)
    program.kill()
    program.wait()
    assert owner_of(path) is None  # the lock ended with the process, whatever is written beside it
    with Journal(path, SHAPE) as journal:
        assert journal.painted.sum() == 7
        assert owner_of(path).process == os.getpid()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.paint"]


def test_whoever_was_taken_over_is_told_and_confirms_nothing_more(tmp_path, painter):
    path, program = tmp_path / "a.paint", painter()
    assert program.stdout.readline() == "0\n"
    with Journal(path, SHAPE, take_over=True) as journal:
        assert np.flatnonzero(journal.painted).tolist() == [0]
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.stdout.readline() == "taken\n"
        assert program.wait() == 0
        painted = journal.painted.copy()
        painted[1] = 3
        journal.record(painted)
        assert owner_of(path).process == os.getpid()  # the other has not signed it off
    assert np.array_equal(read_journal(path).painted, painted)


@pytest.mark.parametrize("times", [5, pytest.param(60, marks=pytest.mark.long)])
def test_no_confirmed_stroke_is_lost_in_the_midst_of_painting(tmp_path, painter, times):
    path = tmp_path / "a.paint"
    for _ in range(times):
        program = painter("at once")
        for _ in range(3):
            program.stdout.readline()
        with Journal(path, SHAPE, take_over=True) as journal:
            said = program.communicate()[0].split()
            assert said.pop() == "taken"
            assert set(map(int, said)) <= set(np.flatnonzero(journal.painted).tolist())
        path.unlink()


def test_a_stopped_program_is_taken_over_too(tmp_path, painter):
    program = painter()
    program.stdout.readline()
    program.send_signal(signal.SIGSTOP)
    with Journal(tmp_path / "a.paint", SHAPE, take_over=True) as journal:
        assert journal.painted.sum() == 7


def test_a_journal_that_someone_removes_is_written_anew_with_all_that_it_held(tmp_path):
    path, painted = tmp_path / "a.paint", np.zeros(SHAPE, np.uint8)
    with Journal(path, SHAPE) as journal:
        for value in (1, 2, 3):
            painted[0, value] = value
            journal.record(painted)
            path.unlink()
        painted[1] = 9
        journal.record(painted)
        assert np.array_equal(read_journal(path).painted, painted)


def test_two_windows_of_one_process_are_two_writers(tmp_path):
    path, painted = tmp_path / "a.paint", np.ones(SHAPE, np.uint8)
    first = Journal(path, SHAPE)
    with pytest.raises(JournalInUseError):
        Journal(path, SHAPE)
    with Journal(path, SHAPE, take_over=True):
        with pytest.raises(JournalTakenError):
            first.record(painted)
        first.close()
        assert owner_of(path) is not None


def test_without_locks_a_process_that_runs_is_believed(tmp_path, monkeypatch):
    def refuse(_descriptor):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("napari_unetseg.core.annotations.journal_lock._lock", refuse)
    path = tmp_path / "a.paint"
    first = Journal(path, SHAPE)
    with pytest.raises(JournalInUseError):
        Journal(path, SHAPE)
    Journal(path, SHAPE, take_over=True).close()
    first.close()
    Journal(path, SHAPE).close()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    owner = {"process": gone.pid, "host": os.uname().nodename, "since": "2026-01-01T00:00:00Z"}
    Path(tmp_path / ".a.paint.owner").write_text(json.dumps(owner))
    Journal(path, SHAPE).close()
