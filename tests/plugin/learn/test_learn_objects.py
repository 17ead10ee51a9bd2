"""*Number objects* in a real viewer: what is learned is seen as objects in *Clean up*, and saved models number them."""

import numpy as np
import pytest
from docked import docked
from skimage.draw import disk

from napari_unetseg.api import segment
from napari_unetseg.core.io.loadsave import load_volume
from napari_unetseg.core.models.catalogue import read_card
from napari_unetseg.core.steps import Separate
from napari_unetseg.core.volume import Volume
from napari_unetseg.plugin.cleanup.widget import PREVIEW
from napari_unetseg.plugin.parts.docks import menu_name
from support import PATIENCE

pytestmark = pytest.mark.usefixtures("data_folder")
CENTRES = ((24, 22), (24, 43), (70, 28), (70, 49))
"""Of discs (radius 11): two pairs that touch."""


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """An image that is in no file has its paint kept here."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")


@pytest.fixture
def pairs():
    """A picture (96, 96) of two pairs of discs that touch."""
    picture = np.random.default_rng(0).integers(10, 30, (96, 96)).astype(np.uint8)
    for centre in CENTRES:
        picture[disk(centre, 11)] += 180
    return picture


@pytest.fixture
def learned(make_napari_viewer, qtbot, pairs):
    """A viewer whose *Learn* has learned the discs, and the widget."""
    viewer = make_napari_viewer(show=True)
    viewer.add_image(pairs, name="pairs")
    widget = docked(viewer, "Learn")
    widget.choices.start.box.setCurrentIndex(0)
    widget.choices.minutes.setValue(0)
    widget.paint.add_button.click()
    layer = widget.paint.canvas.layer
    for y, x in ((5, 5), (5, 80), (50, 10), (50, 70), (90, 90)):
        layer.paint((y, x), 1)
    for y, x in CENTRES:
        layer.paint((y, x), 2)
    widget.bar.button.click()
    qtbot.waitUntil(lambda: bool(widget.results.versions.versions), timeout=PATIENCE)
    qtbot.waitUntil(lambda: not widget.bridge.is_running, timeout=PATIENCE)
    return viewer, widget


def objects(labels):
    return len(np.unique(labels)) - 1


def test_objects_are_previewed_and_numbered_by_the_saved_model(learned, qtbot, pairs, tmp_path):
    viewer, learn = learned
    finishing = learn.results.finishing
    assert finishing.isVisibleTo(learn)
    assert not finishing.look_button.isVisibleTo(learn)
    finishing.check.click()
    assert finishing.line.text() == "Saved models do: Separate: along distance, depth 1 pixel."
    finishing.look_button.click()

    cleanup = viewer.window.dock_widgets[menu_name("Clean up")]
    assert cleanup.labels_box.layer.name == "pairs (learning)"
    qtbot.waitUntil(lambda: any(layer.name == PREVIEW for layer in viewer.layers), timeout=20_000)
    assert objects(viewer.layers[PREVIEW].data) == 4
    cleanup.form["depth"].value = 0.5
    cleanup.keep_button.click()
    assert finishing.steps == (Separate(depth=0.5),)
    assert finishing.line.text() == "Saved models do: Separate: along distance, depth 0.5 pixel."

    saved = tmp_path / "discs.safetensors"
    learn.save(saved)
    qtbot.waitUntil(saved.is_file, timeout=PATIENCE)
    qtbot.waitUntil(lambda: not learn.bridge.is_running, timeout=PATIENCE)
    assert read_card(saved).cleanup == (Separate(depth=0.5),)
    found = segment(Volume(pairs[None, None], name="pairs"), saved).labels
    assert (found.are_objects, objects(found.array)) == (True, 4)


def test_the_tick_stays_when_learning_begins_anew_and_goes_with_the_image(learned):
    viewer, learn = learned
    learn.results.finishing.check.click()
    learn.choices.start.box.setCurrentIndex(1)  # to begin with another model: there are no versions any more
    assert learn.results.versions.versions == []
    assert learn.results.finishing.steps == (Separate(),)
    other = viewer.add_image(np.zeros((96, 96), np.uint8), name="other")
    learn.image.layer_box.choose(other)
    assert learn.results.finishing.steps == ()


def test_without_the_tick_models_find_structures(learned, qtbot, pairs, tmp_path):
    _, learn = learned
    learn.results.finishing.check.click()
    learn.results.finishing.check.click()
    saved = tmp_path / "discs.safetensors"
    learn.save(saved)
    qtbot.waitUntil(saved.is_file, timeout=PATIENCE)
    assert read_card(saved).cleanup == ()
    assert not segment(Volume(pairs[None, None], name="pairs"), saved).labels.are_objects


def test_the_command_learns_a_model_that_numbers_objects(command, pairs, tmp_path):
    import tifffile

    image, paint, model, out = (tmp_path / name for name in ("i.tif", "p.tif", "m.safetensors", "o.tif"))
    painted = np.zeros(pairs.shape, np.uint8)
    painted[:, :6] = 1
    for y, x in CENTRES:
        painted[disk((y, x), 11)] = 2
    tifffile.imwrite(image, pairs, photometric="minisblack")
    tifffile.imwrite(paint, painted, photometric="minisblack")
    learned = command("finetune", image, "--painted", paint, "-o", model, "--steps", 0, "--step", "separate depth=0.5")
    assert learned.code == 0, learned.err
    assert read_card(model).cleanup == (Separate(depth=0.5),)
    found = command("segment", image, "-m", model, "-o", out, "--json")
    assert found.json["objects"] == 4
    assert load_volume(out).array.max() == 4
    refused = command("finetune", image, "--painted", paint, "-o", model, "--step", "cut", "--overwrite")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
