"""Images that no model was made for, as *Segment* meets them: it says so, and offers what to do."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unetseg.core.io.loadsave import load_volume
from napari_unetseg.core.io.samples import find_sample
from support import PATIENCE

LINE = "No bundled model was made for such images. Nearest: nuclei-2d."


@pytest.fixture
def stripes():
    return np.repeat(128 + 100 * np.sin(np.arange(96) / 3)[None], 96, 0).astype(np.uint8)


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def segment(viewer):
    return viewer.window.add_plugin_dock_widget("napari-unetseg", "Segment")[1]


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def choose_again(qtbot, box):
    """Open the list and take the entry that is chosen already, by keys."""
    box.showPopup()
    qtbot.keyClick(box.view(), Qt.Key.Key_Return)


def test_the_line_and_the_offers_are_shown_and_segment_waits_for_a_choice(viewer, segment, qtbot, stripes):
    viewer.add_image(stripes)
    assert segment.model.warning.text().splitlines()[0] == LINE
    assert segment.model.warning.isVisible()
    assert segment.model.learn.isVisible()
    assert segment.compare.button.isEnabled()
    assert segment.model.card.name == "nuclei-2d"
    assert not segment.job.button.isEnabled()
    click(qtbot, segment.job.button)
    assert not segment.bridge.is_running
    choose_again(qtbot, segment.model.box)
    assert segment.model.warning.isHidden()
    assert segment.model.learn.isHidden()
    assert segment.job.button.isEnabled()


def test_learn_comes_to_the_front(viewer, segment, qtbot, stripes):
    viewer.add_image(stripes)
    click(qtbot, segment.model.learn)
    assert any("Learn" in name for name in viewer.window.dock_widgets)
    click(qtbot, segment.model.learn)
    assert sum("Learn" in name for name in viewer.window.dock_widgets) == 1


def test_an_image_of_ours_is_segmented_at_one_click_and_the_line_follows_the_layer(viewer, segment, stripes):
    ours = viewer.add_image(load_volume(find_sample("hippocampus").image).array[0])
    assert segment.model.card.name == "hippocampus-3d"
    assert segment.model.warning.isHidden()
    assert segment.job.button.isEnabled()
    viewer.add_image(stripes)
    assert not segment.job.button.isEnabled()
    viewer.layers.selection.active = ours
    assert segment.model.warning.isHidden()
    assert segment.job.button.isEnabled()
    viewer.layers.clear()
    assert segment.model.warning.isHidden()


@pytest.mark.usefixtures("warm_child")
def test_a_model_file_is_a_choice_by_hand(viewer, segment, qtbot, tiny_model_2d, stripes):
    viewer.add_image(stripes)
    segment.model.add_file(tiny_model_2d)
    assert segment.model.warning.isHidden()
    click(qtbot, segment.job.button)
    qtbot.waitUntil(lambda: not segment.bridge.is_running, timeout=PATIENCE)
    assert len(viewer.layers) == 2
