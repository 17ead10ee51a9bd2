"""Models side by side, in a real viewer: compare, look at the pictures, click one."""

from dataclasses import replace

import numpy as np
import pytest
from docked import docked
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage

from napari_unetseg.core.models.card import Normalisation
from napari_unetseg.engine.networks.model_file import load_model, save_model
from napari_unetseg.plugin.layers.source import LayerSource
from napari_unetseg.plugin.layers.viewport import voxel_in_view
from support import PATIENCE


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def dock(viewer):
    def make(*models):
        widget = docked(viewer, "Segment")
        for model in models:
            widget.model.add_file(model)
        return widget

    return make


@pytest.fixture
def only(monkeypatch):
    """No bundled models: only those that the test adds."""
    monkeypatch.setattr("napari_unetseg.plugin.parts.model_picker.list_models", list)


def compare(qtbot, widget):
    with qtbot.waitSignal(widget.bridge.ended, timeout=PATIENCE):
        qtbot.mouseClick(widget.compare.button, Qt.MouseButton.LeftButton)
        assert not widget.compare.button.isEnabled()
        assert widget.job.button.text() == "Cancel"
    assert widget.compare.button.isEnabled()


def names(widget):
    return [picture.text() for picture in widget.compare.pictures]


def colours(picture):
    """How many pixels of a picture are not grey."""
    image = picture.icon().pixmap(picture.iconSize()).toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8).reshape(-1, 4)[:, :3].astype(int)
    return np.count_nonzero(np.ptp(pixels, axis=1) > 20)


@pytest.mark.usefixtures("warm_child")
def test_models_are_tried_on_a_sample_and_a_click_chooses_one(viewer, dock, qtbot, monkeypatch):
    monkeypatch.setattr("napari_unetseg.core.models.selection.SIDE", {2: 256, 3: 96})
    viewer.open_sample("napari-unetseg", "fluorescent-nuclei")
    viewer.layers.pop()
    widget = dock()
    count = len(viewer.layers)
    compare(qtbot, widget)
    assert {"axon-myelin-2d", "nuclei-2d"} <= set(names(widget))
    assert len(viewer.layers) == count
    nuclei = widget.compare.pictures[names(widget).index("nuclei-2d")]
    assert colours(nuclei) > 500
    assert " × nucleus" in nuclei.toolTip()
    axons = widget.compare.pictures[names(widget).index("axon-myelin-2d")]
    qtbot.mouseClick(axons, Qt.MouseButton.LeftButton)
    assert widget.model.card.name == "axon-myelin-2d"
    assert [picture.isChecked() for picture in widget.compare.pictures] == [
        n == "axon-myelin-2d" for n in names(widget)
    ]
    widget.model.box.setCurrentIndex(0)
    assert [picture.isChecked() for picture in widget.compare.pictures].count(True) == 1


@pytest.mark.usefixtures("warm_child", "only")
def test_what_goes_wrong_with_one_model_does_not_hide_the_others(
    viewer, dock, qtbot, make_model, blocks, notifications
):
    first, broken, last = (make_model(name) for name in ("first", "broken", "last"))
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock(first, broken, last)
    broken.write_bytes(broken.read_bytes()[:-8])
    compare(qtbot, widget)
    assert names(widget) == ["first", "last"]
    assert "broken: " in widget.compare.problems.text()
    assert "cut off" in widget.compare.problems.text()
    assert notifications == []
    assert widget.job.line.text() == "Click a picture to choose its model."


@pytest.mark.usefixtures("warm_child", "only")
def test_the_slice_in_view_is_shown(viewer, dock, qtbot, tiny_model, blocks):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock(tiny_model)
    viewer.dims.set_current_step(0, 4)
    compare(qtbot, widget)
    assert "bright" in widget.compare.pictures[0].toolTip()
    viewer.dims.set_current_step(0, 0)
    compare(qtbot, widget)
    assert "Found here: nothing" in widget.compare.pictures[0].toolTip()
    assert colours(widget.compare.pictures[0]) == 0


@pytest.mark.usefixtures("warm_child", "only")
def test_intensities_are_read_as_those_of_the_whole_image(viewer, dock, qtbot, tiny_model, monkeypatch):
    monkeypatch.setattr("napari_unetseg.core.models.selection.SIDE", {2: 16, 3: 16})
    monkeypatch.setattr("napari_unetseg.core.models.selection.TRIED", 16**3)
    by_range = Normalisation(method="percentile", low=0, high=100)
    model = load_model(tiny_model)
    save_model(tiny_model, replace(model, card=model.card.model_copy(update={"normalisation": by_range})))
    stack = np.full((12, 64, 64), 20, np.uint8)
    stack[:, 30:34, 30:34] = 90  # the brightest that is near the view, and not bright beside the rest
    stack[:, :8, :8] = 250
    viewer.add_image(stack, axis_labels=("z", "y", "x"))
    widget = dock(tiny_model)
    compare(qtbot, widget)
    assert "Found here: nothing" in widget.compare.pictures[0].toolTip()


@pytest.mark.usefixtures("warm_child", "only")
def test_another_layer_takes_the_pictures_away(viewer, dock, qtbot, tiny_model, blocks):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock(tiny_model)
    compare(qtbot, widget)
    assert names(widget) == ["threshold"]
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    assert names(widget) == []


def test_comparing_can_be_cancelled(viewer, dock, qtbot, blocks):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock()
    qtbot.mouseClick(widget.compare.button, Qt.MouseButton.LeftButton)
    assert widget.bridge.is_running
    qtbot.mouseClick(widget.job.button, Qt.MouseButton.LeftButton)
    assert not widget.bridge.is_running
    assert widget.compare.button.isEnabled()
    qtbot.wait(100)
    assert names(widget) == []


def test_without_a_layer_there_is_nothing_to_compare(dock):
    assert not dock().compare.button.isEnabled()


def test_the_voxel_in_the_middle_of_the_view(viewer):
    layer = viewer.add_image(np.zeros((2, 20, 40, 30)), scale=(1, 4, 0.5, 0.5), translate=(0, 100, 10, 20))
    source = LayerSource.of(layer, "TZYX", time=1)
    viewer.dims.set_current_step(1, 7)
    camera = getattr(viewer, "scene", viewer).camera
    camera.center = (10 + 0.5 * 12, 20 + 0.5 * 25)
    assert voxel_in_view(viewer, layer, source) == (7, 12, 25)
    camera.center = (-1000, 1000)
    assert voxel_in_view(viewer, layer, source) == (7, 0, 29)


def test_the_voxel_in_view_of_a_coarser_level(viewer):
    full = np.zeros((8, 64, 64))
    layer = viewer.add_image([full, full[:, ::2, ::2]], multiscale=True)
    viewer.dims.set_current_step(0, 3)
    getattr(viewer, "scene", viewer).camera.center = (40, 20)
    assert voxel_in_view(viewer, layer, LayerSource.of(layer, "ZYX", level=1)) == (3, 20, 10)
