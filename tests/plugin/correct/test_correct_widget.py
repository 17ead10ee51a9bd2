"""A result is mended by mouse and keys, becomes paint with the right values, and the next result keeps it all."""

import numpy as np
import pytest
from mouse import stroke
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_unetseg.core.annotations.journal import read_journal
from napari_unetseg.core.io.loadsave import save_labels
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.plugin.layers.marks import is_preview
from napari_unetseg.plugin.layers.source import labels_of
from napari_unetseg.plugin.parts.docks import open_widget
from support import PATIENCE

PLUGIN = "napari-unetseg"
CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Images that are in no file have their paint kept here."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")


@pytest.fixture
def viewer(make_napari_viewer, blocks):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(blocks, name="cells", axis_labels=("z", "y", "x"))
    return viewer


@pytest.fixture
def segmented(viewer, qtbot, tiny_model):
    """The result of the docked *Segment*."""
    _, segment = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment")
    segment.model.add_file(tiny_model)
    segment.job.button.click()
    qtbot.waitUntil(lambda: not segment.bridge.is_running and len(viewer.layers) == 2, timeout=PATIENCE)
    return viewer.layers[-1]


def press(viewer, key):
    viewer.window._qt_window.activateWindow()
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, key, CTRL)


def dab(viewer, *points):
    """Click on voxels (y, x)."""
    for point in points:
        stroke(viewer, point)


def begin(viewer, qtbot):
    """Dock *Correct*, click, and return it with the layer to mend and the one that keeps corrections."""
    correct = open_widget(viewer, "Correct")
    qtbot.wait(50)
    qtbot.mouseClick(correct.correct_button, Qt.MouseButton.LeftButton)
    mended = viewer.layers.selection.active
    return correct, mended, viewer.layers["cells (corrections)"]


def test_what_is_brushed_becomes_paint_and_the_result_is_left_as_it_was(viewer, segmented, qtbot, tiny_model):
    found = segmented.data.copy()
    correct, mended, paint = begin(viewer, qtbot)
    assert correct.model.model == str(tiny_model)
    assert (mended.name, mended.mode) == ("cells (threshold) (corrected)", "paint")
    viewer.dims.set_point(0, 3)
    mended.brush_size = 1
    press(viewer, Qt.Key.Key_1)  # background
    dab(viewer, (5, 3), (5, 4), (5, 5))
    press(viewer, Qt.Key.Key_2)
    dab(viewer, (20, 3), (20, 4), (20, 5))
    qtbot.waitUntil(lambda: np.count_nonzero(paint.data) == 6)
    assert paint.data[3, 5, 3:6].tolist() == [1, 1, 1]
    assert paint.data[3, 20, 3:6].tolist() == [2, 2, 2]
    assert np.array_equal(segmented.data, found)
    assert correct.line.text() == "6 voxels to learn from."
    press(viewer, Qt.Key.Key_Z)  # napari's own undo
    qtbot.waitUntil(lambda: np.count_nonzero(paint.data) == 5, timeout=PATIENCE)


def test_a_slice_that_is_right_is_paint_as_a_whole_and_the_mark_can_be_taken_back(viewer, segmented, qtbot):
    correct, mended, paint = begin(viewer, qtbot)
    viewer.dims.set_point(0, 3)
    press(viewer, Qt.Key.Key_Return)
    assert np.array_equal(paint.data[3], mended.data[3] + 1)
    assert np.count_nonzero(paint.data) == paint.data[3].size
    assert correct.right_button.isChecked()
    assert correct.line.text() == "480 voxels to learn from. Right: z 3."
    viewer.dims.set_point(0, 4)
    assert not correct.right_button.isChecked()
    viewer.dims.set_point(0, 3)
    qtbot.mouseClick(correct.right_button, Qt.MouseButton.LeftButton)
    assert not paint.data.any()
    viewer.dims.order = (1, 0, 2)  # the sliders go along y
    viewer.dims.set_point(1, 7)
    press(viewer, Qt.Key.Key_Return)
    assert np.array_equal(paint.data[:, 7], mended.data[:, 7] + 1)
    assert np.count_nonzero(paint.data) == paint.data[:, 7].size


def test_learning_goes_on_from_the_model_and_keeps_every_corrected_voxel(viewer, segmented, qtbot, tiny_model):
    correct, mended, paint = begin(viewer, qtbot)
    learn = open_widget(viewer, "Learn")
    learn.choices.minutes.setValue(0.05)
    viewer.dims.set_point(0, 3)
    press(viewer, Qt.Key.Key_1)
    dab(viewer, (5, 3), (5, 4), (5, 5))
    qtbot.waitUntil(lambda: paint.data.any())
    press(viewer, Qt.Key.Key_Return)
    told, painted = paint.data > 0, paint.data.copy()
    qtbot.mouseClick(correct.learn_button, Qt.MouseButton.LeftButton)
    assert (learn.request().start, learn.request().corrects) == (str(tiny_model), True)
    qtbot.waitUntil(lambda: not learn.bridge.is_running, timeout=PATIENCE)
    (learned,) = (layer for layer in viewer.layers if is_preview(layer))
    assert np.array_equal(learned.data[told], painted[told] - 1)
    assert correct.result_box.layer is learned
    assert read_journal(learn.paint.journal).painted.tolist() == painted.tolist()
    open_widget(viewer, "Correct")  # another round
    qtbot.mouseClick(correct.correct_button, Qt.MouseButton.LeftButton)
    assert np.array_equal(mended.data, learned.data)
    viewer.dims.set_point(0, 9)
    dab(viewer, (2, 3))
    qtbot.waitUntil(lambda: paint.data[9].any())
    assert np.array_equal(paint.data[told], painted[told])


def test_labels_of_a_file_ask_for_their_model_where_it_is_not_recorded(viewer, qtbot, tmp_path):
    array = np.zeros((12, 24, 20), np.uint8)
    array[2:6, 3:9, 2:7] = 1
    structure = Structure(label=1, name="cell", colour="#ff0000")
    save_labels(tmp_path / "found.ome.tif", Labels(array, structures=(structure,)))
    (opened,) = viewer.open(tmp_path / "found.ome.tif", plugin=PLUGIN, layer_type="labels")
    correct = open_widget(viewer, "Correct")
    assert correct.result_box.layer is opened
    assert "not recorded" in correct.about.text()
    qtbot.mouseClick(correct.correct_button, Qt.MouseButton.LeftButton)
    assert correct.table.item(1, 0).text() == "cell"
    assert labels_of(viewer.layers.selection.active).structures == (structure,)


def test_what_was_learned_from_paint_is_corrected_on_the_same_paint(viewer, qtbot):
    learn = open_widget(viewer, "Learn")
    learn.choices.minutes.setValue(0)
    learn.paint.add_button.click()
    paint = viewer.layers.selection.active
    paint.data[3, 3:8, 3:6], paint.data[3, 12:22, 9:18] = 2, 1
    paint.refresh()
    learn.bar.button.click()
    qtbot.waitUntil(lambda: not learn.bridge.is_running and len(viewer.layers) == 3, timeout=PATIENCE)
    (learned,) = (layer for layer in viewer.layers if is_preview(layer))
    correct = open_widget(viewer, "Correct")
    correct.result_box.choose(learned)
    qtbot.mouseClick(correct.correct_button, Qt.MouseButton.LeftButton)
    mended, before = viewer.layers.selection.active, paint.data.copy()
    mended.brush_size = 1
    viewer.dims.set_point(0, 4)
    press(viewer, Qt.Key.Key_1)
    stroke(viewer, (5, 4))  # in the block, against all that the image shows
    qtbot.waitUntil(lambda: paint.data[4, 5, 4] == 1)
    assert np.count_nonzero(paint.data != before) == 1
    qtbot.mouseClick(correct.learn_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not learn.bridge.is_running, timeout=PATIENCE)
    assert learned.data[4, 5, 4] == 0
    assert learned.data[4, 5, 3] == 1
