"""Undo, eraser, removing a structure, and a fill that runs over everything: in the docked widget, by real clicks."""

import numpy as np
import pytest
from mouse import stroke
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Images that are in no file have their paint kept here."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")


@pytest.fixture
def told(monkeypatch):
    """What is shown as notifications."""
    told: list[str] = []
    monkeypatch.setattr("napari_unetseg.plugin.annotate.section.tell", lambda message, *_: told.append(str(message)))
    return told


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def paint(viewer, qtbot, blocks, told):
    """The part of the docked widget, with a painted layer, on slice 3."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget.paint.add_button.click()
    qtbot.wait(200)
    widget.paint.canvas.layer.brush_size = 2
    viewer.dims.set_point(0, 3)
    return widget.paint


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def names(paint) -> list[str]:
    table = paint.table
    return [table.item(row, 0).text() for row in range(table.rowCount()) if not table.isRowHidden(row)]


def test_a_stroke_is_undone_and_erased_by_buttons(viewer, paint):
    layer, tools = paint.canvas.layer, paint.tools
    stroke(viewer, (4, 3))
    stroke(viewer, (7, 5))
    before = layer.data.copy()
    click(tools.undo_button)
    assert 0 < np.count_nonzero(layer.data) < np.count_nonzero(before)
    click(tools.eraser_button)
    assert layer.mode == "erase"
    stroke(viewer, (4, 3))
    assert not layer.data.any()
    layer.mode = "fill"  # by napari's own controls
    assert not tools.eraser_button.isChecked()
    click(tools.eraser_button)
    click(tools.eraser_button)
    assert layer.mode == "paint"


def test_a_removed_structure_goes_with_its_paint_and_comes_back_with_it(viewer, paint, told, qtbot):
    layer, tools = paint.canvas.layer, paint.tools
    assert not tools.remove_button.isEnabled()  # it is the only one
    stroke(viewer, (4, 3))
    click(tools.add_button)
    stroke(viewer, (16, 4))
    click(tools.add_button)
    stroke(viewer, (18, 14))
    qtbot.waitUntil(lambda: bool(paint.table.item(3, 2).text()), timeout=5000)
    layer.selected_label = 3
    click(tools.remove_button)
    assert told[-1] == "structure 2 is removed, and its paint is erased: Undo brings the paint back."
    assert names(paint) == ["background", "structure 1", "structure 3"]
    assert set(np.unique(layer.data)) == {0, 2, 4}  # what others are painted with has not changed
    assert layer.selected_label == 1
    click(tools.undo_button)
    assert set(np.unique(layer.data)) == {0, 2, 3, 4}
    qtbot.waitUntil(lambda: names(paint) == ["background", "structure 1", "structure 2", "structure 3"], timeout=5000)
    layer.selected_label = 4
    click(tools.remove_button)  # the last one: nothing of it stays
    assert paint.table.rowCount() == 3
    assert paint.canvas.structures.output_names == {1: "structure 1", 2: "structure 2"}
    click(tools.add_button)
    assert names(paint) == ["background", "structure 1", "structure 2", "structure 3"]


def test_a_fill_where_nothing_is_outlined_is_said_and_taken_back(viewer, paint, told):
    layer = paint.canvas.layer
    layer.mode = "fill"
    stroke(viewer, (4, 3))
    assert (layer.data[3] == 2).all()
    assert told == ["The fill covered all of slice z 3, where nothing was outlined. Undo takes it back."]
    click(paint.tools.undo_button)
    assert not layer.data.any()
    layer.mode = "paint"
    for x in range(layer.data.shape[2]):
        stroke(viewer, (10, x))  # a line that divides the slice
    layer.mode = "fill"
    layer.selected_label = 1
    stroke(viewer, (15, 5))
    assert (layer.data[3] == 1).any()
    assert len(told) == 1
