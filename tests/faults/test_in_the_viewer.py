"""Faults 23, 25 and 27 to 31: the window, its child and its layers, when one of them dies, closes or goes away."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_unetseg.core.annotations.journal import FOLDER, read_journal
from support import PATIENCE, SLACK, gone_within, is_running

PAINTER = Path(__file__).parents[1] / "plugin" / "painter.py"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "cells.tif"
    array = np.full((3, 96, 96), 20, np.uint8)
    array[1, 20:60, 20:60] = 230
    tifffile.imwrite(path, array, metadata={"axes": "ZYX"}, photometric="minisblack")
    return path


@pytest.fixture
def notifications(monkeypatch):
    """What is shown to the user, without a window for each."""
    from napari.utils.notifications import notification_manager

    shown: list[str] = []
    monkeypatch.setattr(notification_manager, "dispatch", lambda n: shown.append(n.message))
    return shown


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def segment(viewer, image, tiny_model):
    """*Segment* as napari docks it, on an open image."""
    viewer.open(image, plugin="napari-unetseg")
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Segment")
    widget.model.add_file(tiny_model)
    return widget


@pytest.fixture
def painting(image, qtbot):
    """Another napari that paints on the image, and where it says what it has painted."""
    said = image.with_name("said")
    program = subprocess.Popen([sys.executable, str(PAINTER), str(image), "1", str(said)])
    qtbot.waitUntil(lambda: said.exists() and len(said.read_text().splitlines()) > 3, timeout=PATIENCE)
    yield program, said
    program.kill()
    program.wait()


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def begun(qtbot, widget):
    """Start the job, stop its child where it stands, and give the child."""
    click(widget.job.button)
    qtbot.waitUntil(lambda: widget.bridge.pid is not None, timeout=PATIENCE)
    child = psutil.Process(widget.bridge.pid)
    child.suspend()
    assert widget.bridge.is_running
    return child


def test_fault_23_a_kill_while_painting_costs_two_seconds_of_paint_at_most(painting, image, viewer, qtbot):
    program, said = painting
    qtbot.wait(3000)
    lines = [line.split() for line in said.read_text().splitlines()]
    program.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    program.wait()
    due = max(int(count) for at, count, _ in lines if float(at) < killed - 2 * SLACK or at == lines[0][0])
    viewer.open(image, plugin="napari-unetseg")
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")
    assert "were kept" in widget.paint.offer.line.text()
    click(widget.paint.offer.restore_button)
    assert np.count_nonzero(widget.paint.canvas.layer.data) >= due
    assert widget.paint.canvas.layer.data.any()


def test_fault_25_a_second_window_is_told_of_the_first(painting, image, viewer, qtbot):
    program, _ = painting
    qtbot.wait(2000)
    viewer.open(image, plugin="napari-unetseg")
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")
    assert f"process {program.pid}" in widget.paint.offer.line.text()
    click(widget.paint.add_button)
    program.kill()
    program.wait()
    assert widget.paint.journal != image.parent / FOLDER / "cells.tif.paint"
    assert read_journal(image.parent / FOLDER / "cells.tif.paint").painted.any()


def test_fault_27_a_child_that_the_system_ends_is_named_and_the_window_lives_on(segment, qtbot, notifications):
    child = begun(qtbot, segment)
    with qtbot.waitSignal(segment.bridge.failed, timeout=PATIENCE):
        child.kill()
    assert len(notifications) == 1
    assert "lack of memory" in notifications[0]
    click(segment.job.button)
    qtbot.waitUntil(lambda: not segment.bridge.is_running, timeout=PATIENCE)
    assert any(layer.name.startswith("cells (") for layer in segment._viewer.layers)


def test_fault_28_a_click_cancels_within_two_seconds(segment, qtbot):
    child = begun(qtbot, segment)
    began = time.monotonic()
    click(segment.job.button)
    assert not segment.bridge.is_running
    assert time.monotonic() - began < 2 * SLACK
    assert gone_within(child.pid, 2)


def test_fault_29_closing_napari_in_the_middle_of_a_job_leaves_no_process(segment, viewer, qtbot):
    child = begun(qtbot, segment)
    viewer.close()
    qtbot.waitUntil(lambda: not is_running(child.pid), timeout=PATIENCE)
    assert not is_running(child.pid)


@pytest.mark.parametrize("change", ["deleted", "renamed", "moved"])
def test_fault_30_a_layer_that_changes_in_the_middle_of_a_job(segment, viewer, qtbot, change, notifications):
    child, layer = begun(qtbot, segment), viewer.layers["cells"]
    if change == "deleted":
        viewer.layers.remove(layer)
    elif change == "renamed":
        layer.name = "other"
    else:
        viewer.add_image(np.zeros((3, 96, 96), np.uint8), name="ground")
        viewer.layers.move(0, 2)
    if change != "deleted":  # then the job has stopped, and its process is gone
        child.resume()
    qtbot.waitUntil(lambda: not segment.bridge.is_running, timeout=PATIENCE)
    found = [layer for layer in viewer.layers if type(layer).__name__ == "Labels"]
    assert [message for message in notifications if "Traceback" in message] == []
    for labels in found:  # what came is the result of what was shown when it began
        assert labels.data[1, 40, 40] == 1
        assert labels.data[0].max() == 0
    assert bool(found) == (change != "deleted")


def test_fault_31_a_job_that_fails_is_one_notification_and_the_button_works_again(
    segment, qtbot, notifications, tiny_model
):
    whole = tiny_model.read_bytes()
    tiny_model.write_bytes(whole[:-100])
    click(segment.job.button)
    qtbot.waitUntil(lambda: not segment.bridge.is_running and bool(notifications), timeout=PATIENCE)
    assert len(notifications) == 1
    assert "\n" not in notifications[0]
    tiny_model.write_bytes(whole)
    click(segment.job.button)
    qtbot.waitUntil(lambda: not segment.bridge.is_running, timeout=PATIENCE)
    assert any(type(layer).__name__ == "Labels" for layer in segment._viewer.layers)
