"""Closing napari in the middle of a job ends everything: the window's process returns, and no child stays behind."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from support import gone_within

SCRIPT = """
import endless_jobs, faulthandler, napari, numpy as np, sys
faulthandler.dump_traceback_later(200, exit=True)
from napari_unetseg.plugin.segment import widget as segment
segment.segment_layer = endless_jobs.endless_on_a_layer
viewer = napari.Viewer()
viewer.add_image(np.zeros((8, 16, 16), np.uint8), axis_labels=("z", "y", "x"))
widget = segment.SegmentWidget(viewer)
viewer.window.add_dock_widget(widget)
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


def test_closing_the_window_ends_the_program_and_its_child(qtbot, tiny_model):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tiny_model)]
    done = subprocess.run(command, capture_output=True, env=environment, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    pid, over = done.stdout.split()
    assert over == "over"
    assert gone_within(int(pid), 2)
