"""Layers that are removed: the canvas's OpenGL context is current when napari frees what they were drawn with."""

import subprocess
import sys

import numpy as np
import pytest
from npe2 import PluginManager
from qtpy.QtGui import QOpenGLContext
from qtpy.QtOpenGLWidgets import QOpenGLWidget

from napari_unetseg.plugin.layers.gl_context import ContextHolder

PAINT_AND_REMOVE = """
import sys
import numpy as np, napari
sys.path.insert(0, {folder!r})
from mouse import stroke
from qtpy.QtTest import QTest
viewer = napari.Viewer(show=True)
viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")
for _ in range({rounds}):
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (12, 256, 256), np.uint8))
    for _ in range(2):
        layer = viewer.add_labels(np.zeros((12, 256, 256), np.uint8))
    layer.mode = "paint"
    QTest.qWait(50)
    for z in range(3):
        viewer.dims.set_current_step(0, 3 * z)
        QTest.qWait(50)
        stroke(viewer, (60, 80), (130, 150), (200, 130))
    viewer.layers.clear()
    QTest.qWait(50)
print("lived", flush=True)
import os
os._exit(0)
"""


def test_the_canvas_is_current_before_napari_hears_of_a_removal(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    names = [w.display_name for w in PluginManager.instance().get_manifest("napari-unetseg").contributions.widgets]
    for name in names:
        _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", name)
        assert widget.findChild(ContextHolder) is not None, name
    viewer.add_image(np.zeros((3, 8, 8), np.uint8))
    viewer.add_labels(np.zeros((3, 8, 8), np.uint8))
    qtbot.wait(50)
    (canvas,) = viewer.window._qt_window.findChildren(QOpenGLWidget)
    canvas.doneCurrent()
    current = []
    viewer.layers.events.removed.connect(lambda: current.append(QOpenGLContext.currentContext() == canvas.context()))
    del viewer.layers[-1]
    assert current == [True]


@pytest.mark.long
def test_a_viewer_lives_when_all_layers_are_removed_after_strokes(tmp_path, request):
    folder = str(request.config.rootpath / "tests" / "plugin")
    script = tmp_path / "rounds.py"
    script.write_text(PAINT_AND_REMOVE.format(folder=folder, rounds=3))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240)
    assert (done.returncode, "lived" in done.stdout) == (0, True), done.stderr[-2000:]
