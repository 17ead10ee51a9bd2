"""The bridge between a widget and its jobs, with jobs of their own threads and no child process."""

import time

import numpy as np
import pytest
import zarr
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_unetseg.core.progress import Progress
from napari_unetseg.core.settings import Selection
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.service import jobs


def test_records_that_come_faster_than_they_are_shown_do_not_hold_the_window(qtbot):
    """Showing one lets Qt handle events, as napari's progress bar does: the next must wait for the timer's turn."""
    widget = QWidget()
    qtbot.addWidget(widget)
    bridge, depth, depths, beats = Bridge(widget), [0], [], []

    def endless(_):
        for step in range(10**6):
            yield Progress(step, 10**6, "Counting")
            time.sleep(0.001)

    def show(_):
        depth[0] += 1
        depths.append(depth[0])
        time.sleep(0.04)
        QApplication.processEvents()
        depth[0] -= 1

    heart = QTimer()
    heart.timeout.connect(lambda: beats.append(depth[0]))
    heart.start(10)
    bridge.progressed.connect(show)
    bridge.start("", endless)
    qtbot.waitUntil(lambda: len(depths) >= 5 and 0 in beats[5:], timeout=10_000)
    bridge.cancel()
    assert max(depths) == 1


def test_progress_that_is_overtaken_is_left_out_and_nothing_else(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    bridge, heard = Bridge(widget), []

    def job(_):
        yield from (Progress(0, 3, "A"), Progress(1, 3, "A", "said"), "own", Progress(2, 3, "A"), Progress(3, 3, "A"))
        return "result"

    bridge.progressed.connect(lambda record: heard.append(getattr(record, "done", record)))
    bridge.returned.connect(heard.append)
    bridge.start("", job)
    time.sleep(0.2)  # all of it has come before the timer's first turn
    qtbot.waitUntil(lambda: not bridge.is_running, timeout=10_000)
    assert heard == [1, "own", "result"]


@pytest.mark.filterwarnings("default")
def test_a_warning_in_the_computing_process_is_a_notification(qtbot, notifications, tmp_path):
    zarr.save_array(str(tmp_path / "bare.zarr"), np.ones((2, 3, 4), np.uint8))
    widget = QWidget()
    qtbot.addWidget(widget)
    bridge, loaded = Bridge(widget), []
    bridge.returned.connect(loaded.append)
    with notification_manager:  # as `napari.run` does
        bridge.start("", lambda worker: worker.run(jobs.load, tmp_path / "bare.zarr", Selection(), False))
        qtbot.waitUntil(lambda: bool(loaded), timeout=60_000)
    bridge.cancel()
    assert loaded[0].shape == (2, 3, 4)
    assert any("does not name its axes" in message for message in notifications)
