"""Closing napari in the middle of a job ends everything: the window's process returns, and no child stays behind."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from support import PATIENCE, gone_within, is_running

SCRIPT = """
import endless_jobs, faulthandler, napari, numpy as np, sys
faulthandler.dump_traceback_later(200, exit=True)
from napari_unetseg.plugin.segment import widget as segment
segment.segment_layer = endless_jobs.endless_on_a_layer
viewer = napari.Viewer()
viewer.add_image(np.zeros((8, 16, 16), np.uint8), axis_labels=("z", "y", "x"))
_, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Segment")
widget.model.add_file(sys.argv[1])

def close_in_the_middle(record):
    widget.bridge.progressed.disconnect(close_in_the_middle)
    print(widget.bridge.pid, flush=True)
    viewer.window._qt_window.close()

widget.bridge.progressed.connect(close_in_the_middle)
widget.job.button.click()
napari.run()
print("over", flush=True)
"""


@pytest.fixture(autouse=True)
def warm_child():
    """Children are ended here, not handed on to the next test."""


def test_closing_the_window_ends_the_program_and_its_child(qtbot, tiny_model):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tiny_model)]
    done = subprocess.run(command, capture_output=True, env=environment, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    pid, over = done.stdout.split()
    assert over == "over"
    assert gone_within(int(pid), 2)


def test_closing_a_docked_widget_ends_its_idle_child(make_napari_viewer, qtbot, blocks, tiny_model):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    dock, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Segment")
    widget.model.add_file(tiny_model)
    widget.job.button.click()
    qtbot.waitUntil(lambda: not widget.bridge.is_running, timeout=PATIENCE)
    pid = widget.bridge.pid
    assert is_running(pid)
    QTest.mouseClick(dock.title.close_button, Qt.MouseButton.LeftButton)
    assert gone_within(pid, 2)
