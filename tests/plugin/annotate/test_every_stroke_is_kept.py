"""Strokes just before another image or layer is looked at: they are on the disk like all others."""

import numpy as np
import pytest
import tifffile
from mouse import stroke

from napari_unetseg.core.annotations.journal import FOLDER, read_journal
from support import PATIENCE

SHAPE = (3, 96, 96)


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / name for name in ("first.tif", "second.tif")]
    for path in paths:
        tifffile.imwrite(path, np.zeros(SHAPE, np.uint8), metadata={"axes": "ZYX"}, photometric="minisblack")
    return paths


@pytest.mark.parametrize("switch", ["image", "layer list", "painted layer"])
def test_a_stroke_right_before_a_switch(make_napari_viewer, qtbot, images, switch):
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")
    first, second = (viewer.open(path, plugin="napari-unetseg")[0] for path in images)
    viewer.layers.selection.active = first
    widget.paint.add_button.click()
    qtbot.wait(800)
    layer = widget.paint.canvas.layer
    layer.brush_size = 5
    viewer.window._qt_window.activateWindow()
    stroke(viewer, (40, 40), (40, 50))
    assert layer.data.any()
    if switch == "image":
        widget.image.layer_box.choose(second)
    elif switch == "layer list":
        viewer.layers.selection.active = second
    else:
        widget.paint.add_button.click()
    qtbot.waitUntil(lambda: not widget.paint.flow.is_busy, timeout=PATIENCE)
    place = images[0].parent / FOLDER / ("first.tif.paint" + (".1" if switch == "painted layer" else ""))
    assert np.array_equal(read_journal(place).painted, layer.data)
