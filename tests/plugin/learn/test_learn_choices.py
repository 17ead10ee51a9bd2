"""The Learn widget in a real viewer: what is trained, and that what was learned on an image waits for one's return."""

import numpy as np
import pytest
from docked import docked

from napari_unetseg.api import segment
from napari_unetseg.core.models.catalogue import read_card
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.plugin.learn.loop import LearnRequest
from support import PATIENCE

INSIDE, OUTSIDE = (3, 5, 4), (3, 16, 4)
"""A voxel of a block of `blocks`, and one of its ground."""


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Images that are in no file have their paint kept here."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=False)


@pytest.fixture
def widget(viewer):
    widget = docked(viewer, "Learn")
    widget.choices.start.box.setCurrentIndex(0)
    widget.choices.minutes.setValue(0)
    return widget


def paint(widget, structure=2):
    """Paint of both kinds without a mouse."""
    widget.paint.add_button.click()
    layer = widget.paint.canvas.layer
    layer.data[3, 4:8, 3:6] = structure
    layer.data[3, 12:20, 3:6] = 1
    return layer


def learn(qtbot, widget):
    widget.bar.button.click()
    finished(qtbot, widget)


def finished(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.bridge.is_running, timeout=PATIENCE)


def test_one_can_start_from_3d_models_too(widget):
    box = widget.choices.start.box
    box.setCurrentIndex(box.findData("hippocampus-3d"))
    assert box.currentText() == "Hippocampus in T1 MR, 3D"
    assert "A 3D start is always trained itself" in widget.choices.more.about.text()


@pytest.mark.usefixtures("warm_child")
def test_the_start_itself_is_trained_and_keeps_its_structures(
    viewer, widget, qtbot, blocks, tiny_model_2d, tmp_path, monkeypatch
):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget.choices.start.add_file(tiny_model_2d)
    widget.choices.minutes.setValue(0.1)
    widget.choices.more.form["keep_structures"].value = True
    paint(widget, structure=3)
    canvas = widget.paint.canvas
    assert canvas.structures.names == {2: "bright"}  # that of the start, before anything of it is painted
    requests: list[LearnRequest] = []
    describe = widget.session._describe
    monkeypatch.setattr(widget.session, "_describe", lambda: requests.append(describe()) or requests[-1])
    learn(qtbot, widget)
    (request,) = requests
    assert (request.settings.keep_structures, request.settings.minutes) == (True, pytest.approx(0.1))
    assert request.start == str(tiny_model_2d)
    version = widget.results.versions.current
    assert version.kind in ("trained U-Net", "model to begin with"), widget.bar.line.text()
    saved = tmp_path / "m.safetensors"
    widget.save(saved)
    finished(qtbot, widget)
    card = read_card(saved)
    assert card.architecture["kind"] == "unet"
    assert card.structures[0].name == "bright"
    again = segment(Volume(blocks[None]), saved, SegmentSettings("cpu", "classes")).labels.array
    np.testing.assert_array_equal(widget.layers.preview.volume, again)


@pytest.mark.usefixtures("warm_child")
def test_paint_and_model_of_an_image_wait_for_ones_return(viewer, widget, qtbot, blocks):
    first = viewer.add_image(blocks, axis_labels=("z", "y", "x"), name="first")
    paint(widget)
    learn(qtbot, widget)
    canvas, found = widget.paint.canvas, widget.layers.preview.volume.copy()
    assert (found[INSIDE], found[OUTSIDE]) == (1, 0)
    qtbot.waitUntil(lambda: not widget.paint.flow.is_busy, timeout=PATIENCE)

    second = viewer.add_image(np.ascontiguousarray(blocks[::-1]), axis_labels=("z", "y", "x"), name="second")
    widget.image.layer_box.choose(second)
    assert widget.paint.canvas is None
    assert widget.bar.line.text() == ""  # what was said was about the first
    assert not widget.paint.offer.restore_button.isVisibleTo(widget)
    paint(widget)
    learn(qtbot, widget)
    assert [version.kind for version in widget.results.versions.versions] == ["light head"]

    widget.image.layer_box.choose(first)
    assert widget.paint.canvas is canvas
    assert widget.results.versions.versions == []
    assert [widget.paint.table.item(row, 2).text() for row in (0, 1)] == ["24", "12"]
    assert "last accepted model" in widget.paint.offer.line.text()
    widget.layers.preview.volume[:] = 0
    widget.paint.offer.restore_button.click()
    finished(qtbot, widget)
    assert [version.kind for version in widget.results.versions.versions] == ["restored"]
    assert np.array_equal(widget.layers.preview.volume, found)
    assert not widget.paint.offer.restore_button.isVisibleTo(widget)
    assert sorted(layer.name for layer in viewer.layers if "learning" in layer.name) == [
        "first (learning)",
        "second (learning)",
    ]

    widget.image.layer_box.choose(second)
    widget.image.layer_box.choose(first)
    learn(qtbot, widget)  # without a click on the offer nothing is lost either
    assert [version.kind for version in widget.results.versions.versions] == ["restored", "light head"]
    assert not widget.paint.offer.restore_button.isVisibleTo(widget)


@pytest.mark.usefixtures("warm_child")
def test_what_ends_after_one_has_left_its_image_is_kept_there_and_not_shown_elsewhere(viewer, widget, qtbot, blocks):
    first = viewer.add_image(blocks, axis_labels=("z", "y", "x"), name="first")
    paint(widget)
    widget.bar.button.click()
    qtbot.waitUntil(
        lambda: "Fitting" in widget.bar.line.text() or bool(widget.results.versions.versions), timeout=PATIENCE
    )
    second = viewer.add_image(np.ascontiguousarray(blocks[::-1]), axis_labels=("z", "y", "x"), name="second")
    widget.image.layer_box.choose(second)
    finished(qtbot, widget)
    assert "learning has stopped" in widget.bar.line.text()
    assert widget.results.versions.versions == []
    assert not widget.session.resumes
    widget.image.layer_box.choose(first)
    assert "last accepted model" in widget.paint.offer.line.text()
