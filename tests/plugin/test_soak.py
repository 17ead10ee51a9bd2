"""A soak of some minutes, and of seconds in every run; the program says by itself how one of an hour is run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).with_name("soak.py")


@pytest.mark.parametrize("minutes", [0.2, pytest.param(5, marks=pytest.mark.long)])
def test_nothing_is_lost_or_left_and_memory_stays(qtbot, tmp_path, minutes):
    command = [sys.executable, str(SOAK), str(tmp_path), "--minutes", str(minutes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["errors"] == []
    assert summary["rounds"] >= 1
    assert done.returncode == 0
