"""``--resume`` leaves out what has passed, and only as long as nothing has changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from levels import ISA

TESTS = """
import os, pathlib, pytest
def test_well(): pass
def test_ill(): assert pathlib.Path(__file__).with_name("mended.log").exists()
def test_torn(torn): pass
@pytest.fixture
def torn():
    yield
    assert pathlib.Path(__file__).with_name("mended.log").exists()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository of three tests, two of which fail until they are mended; the second one after its end."""
    tmp_path.joinpath("test_some.py").write_text(TESTS)
    tmp_path.joinpath(".gitignore").write_text("*.log\n.pytest_cache\n__pycache__\n")
    person = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "."), (*person, "commit", "-q", "-m", "Begin")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    return tmp_path


def run(project: Path, **environment: str) -> tuple[int, int]:
    """Exit code of ``pytest --resume``, and how many tests it says that it took from an earlier run."""
    words = [sys.executable, "-B", "-m", "pytest", "-p", "levels", "--resume", "--rootdir", str(project), str(project)]
    given = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(Path(__file__).parent), ISA: ""}
    given = os.environ | given | environment
    done = subprocess.run(words, cwd=project, env=given, capture_output=True, text=True, timeout=120, check=False)
    taken = re.search(r"(\d+) tests were not run again", done.stdout)
    assert taken, done.stdout + done.stderr
    return done.returncode, int(taken[1])


def test_what_passed_is_left_out_until_something_changes(project: Path) -> None:
    assert run(project) == (1, 0)
    assert run(project) == (1, 1)
    project.joinpath("mended.log").touch()
    assert run(project) == (0, 1)
    assert run(project) == (0, 3)
    assert run(project, **{ISA: "AVX2"}) == (0, 0)
    assert run(project, **{ISA: "AVX2"}) == (0, 3)
    project.joinpath("test_some.py").write_text(TESTS + "\n")
    assert run(project, **{ISA: "AVX2"}) == (0, 0)
    project.joinpath("new.py").touch()
    assert run(project, **{ISA: "AVX2"}) == (0, 0)


def test_without_git_everything_runs(project: Path) -> None:
    project.joinpath("mended.log").touch()
    for _ in range(2):
        assert run(project, GIT_DIR=str(project / "none")) == (0, 0)
