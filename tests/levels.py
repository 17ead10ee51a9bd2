"""What the tests' own options do: ``--record``, and ``--resume`` for long runs that were stopped."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

PASSED = "levels/passed"
ISA = "ONEDNN_MAX_CPU_ISA"
"""Limits the instructions that oneDNN takes; processes that are started inherit it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("napari-unetseg")
    group.addoption("--record", action="store_true", help="Record the public face anew, instead of comparing it.")
    group.addoption("--resume", action="store_true", help="Leave out what passed in an earlier run of the same state.")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("resume"):
        config.pluginmanager.register(Resume(config), "unetseg-resume")


class Resume:
    """Notes which tests have passed, and leaves them out of the next run of the same code on the same machine.

    What was noted lies in pytest's cache; a test that failed, was interrupted or was skipped runs again.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._cache = config.cache
        self._state = state_of(config.rootpath)
        kept: dict[str, Any] = self._cache.get(PASSED, {}) if self._cache is not None else {}
        self._passed: list[str] = kept.get("tests", []) if self._state and kept.get("state") == self._state else []
        self._taken = 0
        self._well: dict[str, bool] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        done = set(self._passed)
        left_out = [item for item in items if item.nodeid in done]
        if left_out:
            items[:] = [item for item in items if item.nodeid not in done]
            config.hook.pytest_deselected(items=left_out)
        self._taken = len(left_out)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        well = report.passed and self._well.pop(report.nodeid, True)
        if report.when != "teardown":
            self._well[report.nodeid] = well
        elif well:
            self._passed.append(report.nodeid)
            self._note()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.write_line(
            f"{self._taken} tests were not run again: they passed in an earlier run of the same state."
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._taken:
            session.exitstatus = pytest.ExitCode.OK

    def _note(self) -> None:
        """Right after each test: a run that is killed is to go on too."""
        if self._cache is not None and self._state:
            self._cache.set(PASSED, {"state": self._state, "tests": self._passed})


def state_of(folder: Path) -> str:
    """A hash of the commit, of what differs from it, and of what computes; empty where git cannot tell."""
    try:
        parts = [_git(folder, "rev-parse", "HEAD"), _git(folder, "diff", "HEAD", "--binary")]
        new = _git(folder, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0")
        parts += [folder.joinpath(os.fsdecode(name)).read_bytes() for name in new if name]
    except (OSError, subprocess.CalledProcessError):
        return ""
    parts += [os.environ.get(ISA, "").encode(), version("torch").encode(), platform.processor().encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _git(folder: Path, *words: str) -> bytes:
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=True).stdout
