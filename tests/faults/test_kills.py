"""What a kill leaves: everything that is written is killed at random moments, and looked at by other libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kills", [17, pytest.param(200, marks=pytest.mark.long)])
def test_kills_tear_nothing_lose_nothing_and_leave_nothing(kills: int) -> None:
    command = [sys.executable, "-m", "faults.kills", "--kills", str(kills), "--seed", str(kills)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    whole = next(line.split() for line in done.stdout.splitlines() if line.startswith("all "))
    assert whole[1] == str(kills)
    assert int(whole[2]) > kills / 10  # so many hit a write that was under way
    assert whole[3:] == ["0", "0", "0"]


TEARING = """
import sys, time
from contextlib import nullcontext
from pathlib import Path
from faults.kills import kill_all, table
from faults.writers import Writer

def straight(path):
    def write(version):
        with path.open("w") as file:
            for _ in range(2000):
                file.write(f"{version} ")
                file.flush()
    return nullcontext(write)

def forgetful(path):
    def write(version):
        if version == 1:
            path.write_text("1")
        time.sleep(0.002)
        (path.parent / "rest").touch()
    return nullcontext(write)

def read(path):
    words = path.read_text().split()
    if len(words) not in (1, 2000) or len(set(words)) != 1:
        raise ValueError("torn")
    return int(words[0])

places = kill_all([Writer("a", straight, read), Writer("b", forgetful, read)], 12, 0, Path(sys.argv[1]))
print([bool(places[0].counts[name]) for name in ("torn",)], [bool(places[1].counts[name]) for name in ("lost", "left")])
"""


def test_writers_that_tear_lose_or_leave_something_would_be_found(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TEARING, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split("\n")[0] == "[True] [True, True]", done.stdout + done.stderr
