"""The Metrics widget as napari docks it: objects and rows that find each other, columns, colours, filters and files."""

import csv

import numpy as np
import pytest
from mouse import stroke
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.plugin.layers.layer_data import labels_layer, volume_layers
from napari_unetseg.plugin.layers.source import LayerSource
from support import PATIENCE

pytestmark = pytest.mark.usefixtures("warm_child")
GRID = Grid((2.0, 1.0, 1.0), "mm")
NUCLEUS = (Structure(label=1, name="nucleus", colour="#e69f00"),)
SIDES = {3: 4, 7: 6, 12: 8}
"""Objects by number, and the sides of their squares in four slices."""


@pytest.fixture
def objects():
    """Three blocks, numbered 3, 7 and 12, from left to right in an image of 12 × 60 × 90 voxels."""
    array = np.zeros((12, 60, 90), np.uint16)
    for place, (number, side) in enumerate(SIDES.items()):
        array[2 + 2 * place : 6 + 2 * place, 20 : 20 + side, 10 + 30 * place : 10 + 30 * place + side] = number
    return Labels(array, GRID, NUCLEUS, are_objects=True, name="nuclei")


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    return viewer


@pytest.fixture
def dock(viewer, qtbot):
    """A function that docks the widget from the menu's command, and waits for its figures."""

    def make():
        _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Metrics")
        qtbot.waitUntil(lambda: widget.report is not None, timeout=PATIENCE)
        qtbot.wait(50)
        return widget

    return make


@pytest.fixture
def measured(viewer, objects, dock):
    data, attributes, _ = labels_layer(objects)
    viewer.add_labels(data, **attributes)
    return dock()


def add_result(viewer, labels, image):
    """A layer as *Segment* adds it."""
    data, attributes = LayerSource.of(image).labels(labels, labels.name)
    return viewer.add_labels(data, **attributes)


def click_row(widget, number):
    place = widget.table.visualRect(widget.table.model().index(number, first_shown(widget))).center()
    QTest.mouseClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def first_shown(widget):
    columns = range(1, widget.table.model().columnCount())
    return next(column for column in columns if not widget.table.isColumnHidden(column))


def shown_columns(widget):
    model = widget.table.model()
    shown = [c for c in range(model.columnCount()) if not widget.table.isColumnHidden(c)]
    return [model.headerData(c, Qt.Orientation.Horizontal) for c in shown]


def choose(box, key):
    box.setCurrentIndex(box.findData(key))


def saved(monkeypatch, path):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(path))


def test_numbered_objects_have_a_row_each_and_a_click_selects_and_centres_one(viewer, measured, qtbot):
    assert [row["object"] for row in measured.table.rows] == [3, 7, 12]
    click_row(measured, 2)
    layer = viewer.layers["nuclei"]
    assert (layer.selected_label, layer.show_selected_label) == (12, False)
    assert viewer.dims.current_step[0] in (7, 8)
    centre = np.array(viewer.window._qt_viewer.canvas.view.camera.rect.center)
    assert centre == pytest.approx([73.5, 23.5], abs=0.6)


def test_a_click_on_an_object_in_the_canvas_selects_its_row_and_a_drag_does_not(viewer, measured, qtbot):
    viewer.dims.set_current_step(0, 5)
    qtbot.wait(50)
    stroke(viewer, (22, 42))
    qtbot.waitUntil(lambda: measured.table.chosen is not None)
    assert measured.table.chosen["object"] == 7
    assert [index.row() for index in measured.table.selectionModel().selectedRows()] == [1]
    assert viewer.layers["nuclei"].selected_label == 7
    stroke(viewer, (22, 42))
    assert measured.table.chosen["object"] == 7
    stroke(viewer, (21, 11), (35, 30))
    assert measured.table.chosen["object"] == 7


def test_measures_are_in_the_features_and_colour_and_hide_the_objects(viewer, measured, qtbot):
    layer = viewer.layers["nuclei"]
    features = layer.features.set_index("index")
    assert features.loc[[3, 7, 12], "volume"].tolist() == [2 * 4 * side**2 for side in SIDES.values()]
    assert features.loc[7, "name"] == "nucleus"
    own = {number: tuple(layer.get_color(number)) for number in SIDES}
    choose(measured.view.colour_box, "volume")
    swatch = measured.table.figures.headerData(0, Qt.Orientation.Vertical, Qt.ItemDataRole.DecorationRole)
    assert swatch.toImage().pixelColor(5, 5).getRgbF()[:3] == pytest.approx((0.267, 0.005, 0.329), abs=0.02)
    coloured = {number: tuple(layer.get_color(number)) for number in SIDES}
    assert coloured[3] == pytest.approx((0.267, 0.005, 0.329, 1), abs=0.02)  # dark: the smallest
    assert coloured[12] == pytest.approx((0.993, 0.906, 0.144, 1), abs=0.02)  # yellow: the largest
    choose(measured.view.filter_box, "volume")
    measured.view.low.setValue(200)
    assert [row["object"] for row in measured.table.rows] == [7, 12]
    assert layer.get_color(3)[3] == 0
    assert tuple(layer.get_color(12)) == pytest.approx(coloured[12])
    choose(measured.view.colour_box, None)
    assert layer.get_color(3)[3] == 0
    assert tuple(layer.get_color(7)) == pytest.approx(own[7], abs=0.01)
    choose(measured.view.filter_box, None)
    assert {number: tuple(layer.get_color(number)) for number in SIDES} == own
    assert not measured.bridge.is_running  # colours are no change of the labels


def test_columns_are_chosen_in_a_menu_and_kept(viewer, measured, dock, qtbot):
    assert shown_columns(measured) == ["Volume [mm³]", "Diameter [mm]"]
    action = next(one for one in measured.view.menu.actions() if one.text() == "Major axis [mm]")
    action.trigger()
    assert shown_columns(measured) == ["Volume [mm³]", "Diameter [mm]", "Major axis [mm]"]
    viewer.window.remove_dock_widget(measured.parent())
    again = dock()
    assert shown_columns(again) == ["Volume [mm³]", "Diameter [mm]", "Major axis [mm]"]
    next(one for one in again.view.menu.actions() if one.text() == "What matters first").trigger()
    assert shown_columns(again) == ["Volume [mm³]", "Diameter [mm]"]


def test_a_result_is_the_prediction_and_paint_says_that_it_is(viewer, objects, dock, qtbot):
    from napari_unetseg.core.annotations.painted_stack import PaintedStack
    from napari_unetseg.plugin.annotate.classes import PaintStructures
    from napari_unetseg.plugin.annotate.layer import new_layer

    (data, attributes, _), *_ = volume_layers([Volume(np.zeros((1, 12, 60, 90)), GRID, name="image")])
    image = viewer.add_image(data, **attributes)
    add_result(viewer, objects, image)
    paint = np.zeros(objects.array.shape, np.uint8)
    paint[5] = np.where(objects.array[5] > 0, 2, 1)
    viewer.add_layer(new_layer(LayerSource.of(image), PaintStructures({2: "nucleus"}), PaintedStack.of(paint)))
    widget = dock()
    assert (widget.choice.predicted.name, widget.choice.reference.name) == ("nuclei", "image (painted)")
    assert widget.choice.painted.isChecked()
    assert [row["dice"] for row in widget.report.rows] == [1]
    widget.choice.reference_box.choose(None)
    assert not widget.choice.painted.isChecked()


def test_objects_surfaces_and_the_report_are_saved(viewer, measured, qtbot, tmp_path, monkeypatch):
    saved(monkeypatch, tmp_path / "objects.csv")
    with qtbot.waitSignal(measured.exports.bridge.returned, timeout=PATIENCE):
        QTest.mouseClick(measured.exports.objects, Qt.MouseButton.LeftButton)
    with (tmp_path / "objects.csv").open(encoding="utf-8") as file:
        assert [float(row["volume"]) for row in csv.DictReader(file)] == [128, 288, 512]
    saved(monkeypatch, tmp_path)
    with qtbot.waitSignal(measured.exports.bridge.returned, timeout=PATIENCE):
        QTest.mouseClick(measured.exports.surfaces, Qt.MouseButton.LeftButton)
    assert sorted(path.name for path in tmp_path.glob("*.ply")) == ["object_12.ply", "object_3.ply", "object_7.ply"]
    saved(monkeypatch, tmp_path / "r.html")
    with qtbot.waitSignal(measured.exports.bridge.returned, timeout=PATIENCE):
        QTest.mouseClick(measured.exports.report, Qt.MouseButton.LeftButton)
    assert "<h2>3 objects</h2>" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert measured.line.text() == "Saved r.html."


def test_the_widget_fits_into_300_pixels(viewer, measured, qtbot):
    assert measured.minimumWidth() <= 300
    measured.setFixedWidth(300)
    qtbot.wait(50)
    inside = measured.widget()
    assert inside.minimumSizeHint().width() <= measured.viewport().width()
    assert inside.width() <= measured.viewport().width()
