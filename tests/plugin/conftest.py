"""Viewer tests: they need a display, and hand on their warm child process where a test does not end it."""

from __future__ import annotations

import os
import sys
from typing import ClassVar

import numpy as np
import pytest

from napari_unetseg.service.process import Worker, _Child


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without a display Qt would abort the whole run: say what is missing instead."""
    on_display = {"qtbot", "make_napari_viewer"} & set(getattr(item, "fixturenames", ()))
    missing = not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if on_display and sys.platform.startswith("linux") and missing:
        pytest.fail("Viewer tests need a display: run them under  xvfb-run -a -s '-screen 0 1280x1024x24'.")


class ThriftyWorker(Worker):
    """A worker that begins with the child that an earlier one has left, and leaves its own if that is idle."""

    spare: ClassVar[list[_Child]] = []

    def __init__(self, environment=None) -> None:
        super().__init__(environment)
        self._child = self.spare.pop() if self.spare else None
        self._running = 0

    def run(self, target, *args, **kwargs):
        return self._counted(super().run(target, *args, **kwargs))

    def _counted(self, job):
        self._running += 1
        try:
            return (yield from job)
        finally:
            self._running -= 1

    def stop(self) -> None:
        if self._child is not None and not self._running:
            self.spare.append(self._child)
            self._child = None
        super().stop()


@pytest.fixture(scope="session", autouse=True)
def _spare_children():
    """End those that are left when all tests are done."""
    yield
    while ThriftyWorker.spare:
        ThriftyWorker.spare.pop().end()


@pytest.fixture(autouse=True)
def _default_preferences(tmp_path, monkeypatch):
    """Begin each test with the default preferences, and keep what it prefers out of the user's own."""
    monkeypatch.setattr("napari.settings._CFG_PATH", str(tmp_path / "settings" / "napari.yaml"))
    monkeypatch.setattr("napari.settings._PLUGIN_SETTINGS", {})


@pytest.fixture(autouse=True)
def warm_child(monkeypatch):
    """Let the bridges of the test use a child that has loaded the engine already, where a test before has left one."""
    monkeypatch.setattr("napari_unetseg.plugin.bridge.Worker", ThriftyWorker)


@pytest.fixture
def notifications(monkeypatch):
    """The messages that were shown to the user, without opening a window for each."""
    from napari.utils.notifications import notification_manager

    shown: list[str] = []
    monkeypatch.setattr(notification_manager, "dispatch", lambda n: shown.append(n.message))
    return shown


@pytest.fixture
def blocks() -> np.ndarray:
    """A stack (12, 24, 20), uint8, with two bright blocks of 4×6×5 voxels on a dark ground."""
    stack = np.full((12, 24, 20), 20, np.uint8)
    stack[2:6, 3:9, 2:7] = 230
    stack[7:11, 14:20, 12:17] = 230
    return stack
