"""Viewer tests: they need a display, and share one warm child process where a test does not end it."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from napari_unetseg.core.child import Worker


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without a display Qt would abort the whole run: say what is missing instead."""
    on_display = {"qtbot", "make_napari_viewer"} & set(getattr(item, "fixturenames", ()))
    missing = not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if on_display and sys.platform.startswith("linux") and missing:
        pytest.fail("Viewer tests need a display: run them under  xvfb-run -a -s '-screen 0 1280x1024x24'.")


class KeptWorker(Worker):
    """A worker whose child outlives the widgets that use it."""

    def stop(self) -> None:
        """Keep the child for the next test."""

    def really_stop(self) -> None:
        """End the child."""
        super().stop()


@pytest.fixture(scope="session")
def _kept_worker():
    worker = KeptWorker()
    yield worker
    worker.really_stop()


@pytest.fixture
def warm_child(_kept_worker, monkeypatch):
    """Let every bridge of the test use one child that has loaded the engine already."""
    monkeypatch.setattr("napari_unetseg.plugin.bridge.Worker", lambda: _kept_worker)


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
