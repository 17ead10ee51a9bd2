"""The Learn widget as napari docks it, which hands it proxies of viewer and layers: keys, and layers told apart."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_unetseg.plugin.layers.identity import own_layer, same_layer


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
