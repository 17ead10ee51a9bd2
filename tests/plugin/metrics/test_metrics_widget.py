"""The Metrics widget in a real viewer: figures are the core's, a click shows where it is worst, edits are followed."""

import csv
import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.columns import cell
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.limits import Rating
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.plugin.layers.layer_data import labels_layer
from napari_unetseg.plugin.layers.source import labels_of
from napari_unetseg.plugin.learn.widget import LearnWidget
from napari_unetseg.plugin.metrics.table import TINTS
from support import PATIENCE

GRID = Grid((2.0, 1.0, 1.0), "mm")
STRUCTURES = (Structure(label=1, name="cell", colour="#e69f00"), Structure(label=2, name="golgi", colour="#56b4e9"))
CELL, GOLGI = 0, 1
WORST = 5

pytestmark = pytest.mark.usefixtures("warm_child")


@pytest.fixture
def reference():
    """Two blocks in 8 slices."""
    array = np.zeros((8, 20, 24), np.uint8)
    array[1:7, 2:12, 2:12] = 1
    array[2:6, 14:18, 14:20] = 2
    return Labels(array, GRID, STRUCTURES, name="reference")


@pytest.fixture
def predicted(reference):
    """The cell is right but for half of one slice; of the golgi, half is missing."""
    array = reference.array.copy()
    array[WORST, 2:7, 2:12] = 0
    array[2:6, 14:18, 14:17] = 0
    return Labels(array, GRID, STRUCTURES, name="predicted")


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def dock(viewer, qtbot):
    """A function that adds labels, docks the widget and waits for its figures."""

    def make(*labels):
        for one in labels:
            data, attributes, _ = labels_layer(one)
            viewer.add_labels(data, **attributes)
        _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Metrics")
        qtbot.waitUntil(lambda: widget.report is not None, timeout=PATIENCE)
        qtbot.wait(50)  # the table is laid out
        return widget

    return make


def texts(widget, column):
    """A column of the table on screen, by its heading."""
    model = widget.table.model()
    headings = [model.headerData(c, Qt.Orientation.Horizontal) for c in range(model.columnCount())]
    return [model.index(row, headings.index(column)).data() for row in range(model.rowCount())]


def names(widget):
    model = widget.table.model()
    return [model.headerData(row, Qt.Orientation.Vertical) for row in range(model.rowCount())]


def tints(widget):
    model = widget.table.model()
    return [model.index(row, 1).data(Qt.ItemDataRole.BackgroundRole) for row in range(model.rowCount())]


def click_row(qtbot, widget, row):
    place = widget.table.visualRect(widget.table.model().index(row, 1)).center()
    qtbot.mouseClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_the_table_holds_the_core_s_figures_in_the_structures_colours(dock, predicted, reference):
    widget = dock(reference, predicted)
    evaluation = evaluate(predicted, reference)
    assert names(widget) == ["cell", "golgi"]
    for heading, metric in (
        ("Dice", "dice"), ("IoU", "iou"), ("Sensitivity", "sensitivity"), ("HD95 [mm]", "hausdorff95"),
        ("ASSD [mm]", "assd"), ("NSD", "nsd"),
    ):  # fmt: skip
        assert texts(widget, heading) == [cell(getattr(score, metric)) for score in evaluation.structures]
    assert texts(widget, "Volume [mL]") == [cell(score.volume / 1000) for score in evaluation.structures]
    swatches = [widget.table.figures.headerData(row, Qt.Orientation.Vertical, Qt.ItemDataRole.DecorationRole)
                for row in range(2)]  # fmt: skip
    assert [swatch.toImage().pixelColor(5, 5).name() for swatch in swatches] == ["#e69f00", "#56b4e9"]
    assert f"Mean Dice {evaluation.mean_dice:.3f}" in widget.summary.text()


def test_a_click_on_a_row_shows_its_structure_at_its_worst_slice_and_a_second_one_all(dock, viewer, qtbot, predicted,
                                                                                     reference):  # fmt: skip
    widget = dock(reference, predicted)
    click_row(qtbot, widget, CELL)
    assert viewer.dims.current_step[0] == WORST
    for layer in viewer.layers:
        assert (layer.selected_label, layer.show_selected_label) == (1, True)
    assert {label: line.isVisible() for label, line in widget.plot.lines.items()} == {1: True, 2: False}
    assert widget.plot.marked == WORST
    click_row(qtbot, widget, CELL)
    assert not any(layer.show_selected_label for layer in viewer.layers)
    assert all(line.isVisible() for line in widget.plot.lines.values())


def test_a_click_on_a_heading_sorts(dock, qtbot, predicted, reference):
    widget = dock(reference, predicted)
    header = widget.table.horizontalHeader()
    for order in (["golgi", "cell"], ["cell", "golgi"]):
        place = header.sectionViewportPosition(1) + 10
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPointF(place, 8).toPoint())
        assert names(widget) == order
    click_row(qtbot, widget, 0)
    assert widget.table.chosen["name"] == "cell"


def test_the_plot_shows_dice_by_slice_and_a_click_moves_there(dock, viewer, qtbot, predicted, reference):
    widget = dock(reference, predicted)
    line = widget.plot.lines[1]
    expected = [np.nan, 1, 1, 1, 1, 2 / 3, 1, np.nan]
    assert line.getData()[1] == pytest.approx(expected, nan_ok=True)
    view = widget.plot.canvas.getPlotItem().getViewBox()
    place = widget.plot.canvas.mapFromScene(view.mapViewToScene(QPointF(3.2, 0.5)))
    qtbot.mouseClick(widget.plot.canvas.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert viewer.dims.current_step[0] == 3
    viewer.dims.set_current_step(0, 6)
    assert widget.plot.marked == 6


def test_rows_are_tinted_by_limits_that_can_be_edited(dock, predicted, reference):
    """Cell: Dice 0.956, Hausdorff 5 mm; golgi: Dice 2/3."""
    widget = dock(reference, predicted)
    widget.limits.preset.setCurrentText("Measuring volumes")
    assert tints(widget) == [TINTS[Rating.MET], TINTS[Rating.MISSED]]
    assert texts(widget, "") == ["✓", "✗"]
    widget.limits.boxes["iou"].setValue(0)
    widget.limits.boxes["dice"].setValue(0.7)
    assert widget.limits.preset.currentText() == "my own"
    assert tints(widget) == [TINTS[Rating.MET], TINTS[Rating.NARROWLY_MISSED]]
    widget.limits.boxes["hausdorff"].setValue(1)
    assert tints(widget) == [TINTS[Rating.MISSED], TINTS[Rating.MISSED]]
    widget.limits.preset.setCurrentText("none")
    assert tints(widget) == [None, None]


def test_errors_become_a_layer_of_two_colours_with_names(dock, viewer, qtbot, predicted, reference):
    widget = dock(reference, predicted)
    click_row(qtbot, widget, GOLGI)
    click(qtbot, widget.errors_button)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=PATIENCE)
    errors = viewer.layers["Errors of golgi"]
    assert np.array_equal(errors.data, np.where((reference.array == 2) & (predicted.array != 2), 2, 0))
    assert errors.features["name"].tolist() == ["background", "false positive", "false negative"]
    assert not np.allclose(errors.get_color(1), errors.get_color(2))
    assert errors.scale.tolist() == [2, 1, 1]
    assert widget.choice.predicted_box.findText("Errors of golgi") == -1


def test_painting_brings_the_figures_up_to_date(dock, viewer, qtbot, predicted, reference):
    widget = dock(reference, predicted)
    layer = viewer.layers["predicted"]
    layer.brush_size, layer.n_edit_dimensions = 4, 3
    before = evaluate(predicted, reference)
    with qtbot.waitSignal(widget.bridge.returned, timeout=PATIENCE):
        layer.paint((3, 15, 15), 2)
        layer.paint((4, 16, 15), 2)
    painted = evaluate(labels_of(layer), reference)
    assert painted != before
    assert texts(widget, "Dice") == [cell(score.dice) for score in painted.structures]
    assert texts(widget, "HD [mm]") == [cell(score.hausdorff) for score in painted.structures]
    with qtbot.waitSignal(widget.bridge.returned, timeout=PATIENCE):
        layer.data = np.zeros_like(layer.data)
    assert texts(widget, "Dice") == ["0", "0"]
    assert texts(widget, "HD [mm]") == ["∞", "∞"]


def test_layers_that_do_not_fit_are_refused_in_one_line(dock, viewer, predicted, notifications):
    widget = dock(predicted)
    viewer.add_labels(np.ones((8, 20, 23), np.uint8), name="cropped", scale=(2, 1, 1), units=("mm",) * 3)
    viewer.add_labels(predicted.array, name="stretched", scale=(3, 1, 1), units=("mm",) * 3)
    widget.choice.reference_box.choose(viewer.layers["cropped"])
    assert "shapes differ: (8, 20, 24) and (8, 20, 23)" in widget.line.text()
    widget.choice.reference_box.choose(viewer.layers["stretched"])
    assert "spacings differ: 2 × 1 × 1 mm and 3 × 1 × 1 mm" in widget.line.text()
    assert (widget.table.isVisible(), widget.bridge.is_running, notifications) == (False, False, [])


def test_copy_and_save_hold_what_is_shown(dock, qtbot, predicted, reference, tmp_path, monkeypatch):
    widget = dock(reference, predicted)
    click(qtbot, widget.copy_button)
    heading, first, *_ = QGuiApplication.clipboard().text().splitlines()
    assert heading.startswith("structure\tDice\tIoU")
    dice = evaluate(predicted, reference).structures[0].dice
    assert first.split("\t")[:2] == ["cell", f"{dice:.6g}"]
    path = tmp_path / "t.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    click(qtbot, widget.save_button)
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["unit"]) for row in rows] == [("cell", "mm"), ("golgi", "mm")]
    assert float(rows[0]["dice"]) == dice


def test_paint_as_reference_scores_known_voxels_alone(dock, viewer, qtbot, predicted, reference):
    paint = np.zeros_like(reference.array)
    paint[WORST] = reference.array[WORST] + 1
    widget = dock(Labels(paint, GRID, name="paint"), predicted)
    with qtbot.waitSignal(widget.bridge.returned, timeout=PATIENCE):
        widget.choice.painted.setChecked(True)
    assert names(widget) == ["cell", "golgi"]
    assert texts(widget, "Dice") == ["0.667", "0.667"]
    click_row(qtbot, widget, CELL)
    assert (viewer.layers["predicted"].selected_label, viewer.layers["paint"].selected_label) == (1, 2)


@pytest.mark.parametrize("is_open", [False, True])
def test_advice_on_a_bad_result_is_taken_to_the_learning_settings(dock, viewer, qtbot, predicted, reference, is_open):
    """Of the golgi, half is missing and nothing is found elsewhere: it wants twice the weight."""
    learn = viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")[1] if is_open else None
    if learn is not None:
        learn.choices.more.form["boundary_weight"].value = 0.2
    widget = dock(reference, predicted)
    assert "50% of it is found" in widget.advice.text.text()
    click(qtbot, widget.advice.button)
    (found,) = [one for one in viewer.window.dock_widgets.values() if isinstance(one, LearnWidget)]
    assert learn is None or found is learn
    qtbot.waitUntil(found.choices.more.form["structure_weight"].native.isVisible)
    settings = found.choices.settings
    boundary = 0.2 if is_open else 0
    assert settings == FineTuneSettings(minutes=2, structure_weight=2, boundary_weight=boundary, learning_rate=0.5)
    viewer.add_image(np.zeros((8, 20, 24)), name="image")
    found.image.layer_box.choose(viewer.layers["image"])
    assert found.request().settings == settings
    assert "Set in Learn" in widget.line.text()


def test_a_good_result_needs_no_advice(dock, predicted):
    widget = dock(predicted, predicted)
    assert not widget.advice.isVisible()


def test_without_a_reference_the_labels_are_measured(dock, viewer, qtbot, predicted):
    viewer.add_image(np.full((8, 20, 24), 7.0), scale=(2, 1, 1), units=("mm",) * 3, name="image")
    widget = dock(predicted)
    assert texts(widget, "Volume [mL]") == ["1.100", "0.096"]
    with qtbot.waitSignal(widget.bridge.returned, timeout=PATIENCE):
        widget.choice.image_box.choose(viewer.layers["image"])
    assert [row["mean_intensity"] for row in widget.report.rows] == [7, 7]
    assert not widget.errors_button.isVisible()


def test_docking_loads_neither_torch_nor_the_plot():
    widget = "napari_unetseg.plugin.metrics.widget"
    code = f"import sys, {widget}; print([m for m in ('torch', 'pyqtgraph') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
