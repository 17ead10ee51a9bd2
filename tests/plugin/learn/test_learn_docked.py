"""The Learn widget as napari docks it, which hands it proxies of viewer and layers: keys, and layers told apart."""

import numpy as np
import pytest
from mouse import stroke
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_unetseg.plugin.layers.identity import own_layer, same_layer
from support import PATIENCE


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Images that are in no file have their paint kept here."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def widget(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")
    return widget


def press(viewer, key, modifier=Qt.KeyboardModifier.NoModifier):
    viewer.window._qt_window.activateWindow()
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)


def test_keys_pick_structures_and_napari_s_own_go_on_working(viewer, widget, qtbot, blocks):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget.paint.add_button.click()
    layer = viewer.layers.selection.active
    qtbot.wait(100)
    assert (layer.selected_label, layer.mode) == (2, "paint")
    press(viewer, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
    assert layer.selected_label == 1
    press(viewer, Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
    assert layer.selected_label == 2
    press(viewer, Qt.Key.Key_1)  # napari's eraser
    assert layer.mode == "erase"
    press(viewer, Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)  # who chooses a structure wants to paint it
    assert (layer.selected_label, layer.mode) == (2, "paint")
    layer.mode = "fill"
    press(viewer, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
    assert (layer.selected_label, layer.mode) == (1, "fill")


def test_the_active_image_is_followed_and_another_layer_does_not_begin_anew(viewer, widget, blocks):
    first = viewer.add_image(blocks, name="first", axis_labels=("z", "y", "x"))
    second = viewer.add_image(blocks[::-1].copy(), name="second", axis_labels=("z", "y", "x"))
    viewer.layers.selection.active = first
    assert widget.image.layer_box.layer is first
    widget.paint.add_button.click()
    canvas = widget.paint.canvas
    assert canvas.image is first
    changes = []
    widget.image.changed.connect(lambda: changes.append(widget.image.layer_box.layer))
    viewer.add_labels(np.zeros(blocks.shape, np.uint8))
    assert changes == []
    viewer.layers.selection.active = second
    assert changes == [second]
    viewer.layers.selection.active = canvas.layer  # what is painted on brings its image back
    assert changes == [second, first]
    assert widget.paint.canvas is canvas


def test_layers_are_told_apart_behind_proxies(viewer, widget, blocks):
    first, second = viewer.add_image(blocks), viewer.add_image(blocks)
    proxied = widget._viewer.layers[0]
    assert proxied is not first
    assert same_layer(proxied, first)
    assert not same_layer(proxied, second)
    assert (same_layer(None, first), same_layer(None, None)) == (False, True)
    assert own_layer(proxied) is first
    assert own_layer(second) is second


def paint_both(viewer, widget, qtbot):
    """Clicks on the bright block and beside it, on one slice."""
    widget.paint.add_button.click()
    qtbot.wait(200)
    layer = widget.paint.canvas.layer
    layer.brush_size = 2
    viewer.dims.set_point(0, 3)
    for key, places in ((Qt.Key.Key_1, ((14, 4), (18, 14), (5, 14))), (Qt.Key.Key_2, ((4, 3), (7, 5)))):
        press(viewer, key, Qt.KeyboardModifier.ControlModifier)
        for place in places:
            stroke(viewer, place)
    assert set(np.unique(layer.data)) == {0, 1, 2}
    return layer


def learn(viewer, widget, qtbot, blocks, minutes):
    """Begin to learn from clicks on one slice, from nothing."""
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget.choices.start.box.setCurrentIndex(0)
    widget.choices.minutes.setValue(minutes)
    paint_both(viewer, widget, qtbot)
    widget.bar.button.click()


def test_a_score_and_a_version_are_told_with_what_they_rest_on(viewer, widget, qtbot, blocks):
    """Of a few strokes on one slice there is no figure, and what was trained is on offer, and not in use."""
    learn(viewer, widget, qtbot, blocks, minutes=0.1)
    qtbot.waitUntil(lambda: bool(widget.results.versions.versions), timeout=PATIENCE)
    qtbot.waitUntil(lambda: not widget.bridge.is_running, timeout=PATIENCE)
    cell = widget.paint.table.item(1, 3)
    assert cell.text() == ""
    assert "on another slice" in cell.toolTip()
    (first,) = widget.results.versions.versions
    assert (first.number, widget.results.versions.box.currentText()) == (1, "1: light head")
    offer = widget.results.offer
    assert offer.isVisible()
    assert "cannot be told apart from version 1" in offer.line.text()
    shown = [picture.pixmap().toImage() for picture in offer.pictures]
    assert [image.pixelColor(40, 35).name() for image in shown] == ["#e69f00"] * 2  # in the block, by both
    assert [image.pixelColor(70, 120).name() for image in shown] == ["#000000"] * 2
    QTest.mouseClick(offer.take_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(widget.results.versions.versions) == 2, timeout=PATIENCE)
    assert widget.results.versions.current.kind == "trained U-Net"
    assert not offer.isVisible()
    qtbot.waitUntil(lambda: not widget.bridge.is_running, timeout=PATIENCE)


def test_what_is_missing_is_said_while_one_paints_and_undone_structures_go(viewer, widget, qtbot, blocks):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget.paint.add_button.click()
    qtbot.wait(200)
    layer, table, wish = widget.paint.canvas.layer, widget.paint.table, widget.paint.wish
    layer.brush_size = 2
    viewer.dims.set_point(0, 3)
    assert not wish.isVisible()
    stroke(viewer, (4, 3))
    qtbot.waitUntil(lambda: "Paint some background too" in wish.text(), timeout=5000)
    press(viewer, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
    stroke(viewer, (16, 4))
    qtbot.waitUntil(lambda: not wish.isVisible(), timeout=5000)
    layer.selected_label = 0  # by napari's spin box
    assert "Label 0 is no paint" in wish.text()
    layer.selected_label = 6
    assert "Label 6 is no structure yet: painting with it adds structure 5" in wish.text()
    stroke(viewer, (18, 14))
    qtbot.waitUntil(lambda: table.rowCount() == 6, timeout=5000)
    press(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: table.rowCount() == 2, timeout=5000)
    assert [table.item(row, 0).text() for row in range(2)] == ["background", "structure 1"]
    widget.paint.tools.add_button.click()  # asked for: it stays although nothing is painted
    stroke(viewer, (4, 5))
    qtbot.waitUntil(lambda: bool(table.item(2, 2).text()), timeout=5000)
    press(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not table.item(2, 2).text(), timeout=5000)
    assert table.rowCount() == 3


def test_a_second_stop_takes_no_version_along(viewer, widget, qtbot, blocks):
    learn(viewer, widget, qtbot, blocks, minutes=5)
    qtbot.waitUntil(lambda: bool(widget.results.loss_plot.isVisible()), timeout=PATIENCE)
    for _ in range(2):
        QTest.mouseClick(widget.bar.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.bridge.is_running, timeout=PATIENCE)
    assert widget.bar.line.text() == "Stopped."
    before = widget.results.versions.versions
    widget.choices.minutes.setValue(0)
    widget.bar.button.click()
    qtbot.waitUntil(lambda: not widget.bridge.is_running, timeout=PATIENCE)
    assert widget.results.versions.versions[: len(before)] == before
    assert before[0].kind == "light head"


def test_starts_that_cannot_see_the_image_are_off_and_say_why(viewer, widget, blocks):
    box = widget.choices.start.box
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget.choices.start.choose("nuclei-3d")
    assert widget.choices.start.model == "nuclei-3d"
    two = viewer.add_image(np.stack([blocks, blocks]), axis_labels=("c", "z", "y", "x"), name="two")
    viewer.layers.selection.active = two
    assert widget.choices.start.model == "nuclei-3d"  # it sees the one channel that is chosen first
    channels = widget.image.channel_box
    channels.setCurrentIndex(channels.findText("all"))
    off = {box.itemData(index): box.model().item(index) for index in range(box.count())}
    assert {name for name, item in off.items() if not item.isEnabled()} == {name for name in off if "3d" in str(name)}
    assert "takes 1 channel, and the image has 2" in off["nuclei-3d"].toolTip()
    assert widget.choices.start.model == "general-2d"  # what was chosen could not see it
    one = viewer.add_image(blocks[0], axis_labels=("y", "x"), name="one")
    viewer.layers.selection.active = one
    assert off["general-2d"].isEnabled()
    assert "needs a stack" in off["hippocampus-3d"].toolTip()
