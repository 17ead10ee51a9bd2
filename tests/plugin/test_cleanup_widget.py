"""The Clean up widget in a real viewer: steps are previewed, applied to a new layer, and recorded in it."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unetseg.core.cleanup import FillHoles, KeepLargest, RemoveSmall, clean, steps_from_json
from napari_unetseg.core.structure import Structure
from napari_unetseg.core.volume import Grid, Labels
from napari_unetseg.plugin.cleanup import PREVIEW, CleanupWidget
from napari_unetseg.plugin.cleanup_steps import KINDS
from napari_unetseg.plugin.layer_data import labels_layer
from napari_unetseg.plugin.layers import METADATA

PATIENCE = 60_000
CELL = Structure(label=1, name="cell", colour="#e69f00")

pytestmark = pytest.mark.usefixtures("warm_child")


@pytest.fixture
def labels():
    """A large block with a hole in it, a part of 8 voxels and one of a single voxel; a voxel has 0.5 µm³."""
    array = np.zeros((8, 20, 20), np.uint8)
    array[1:7, 2:10, 2:10] = 1
    array[3, 5, 5] = 0
    array[2:4, 14:16, 14:16] = 1
    array[6, 17, 17] = 1
    return Labels(array, Grid((2.0, 0.5, 0.5), "µm"), (CELL,), name="cells")


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def widget(viewer, labels, qtbot):
    data, attributes, _ = labels_layer(labels)
    viewer.add_labels(data.copy(), **attributes)
    widget = CleanupWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Clean up")
    qtbot.waitUntil(widget.isVisible)
    return widget


def add(widget, kind):
    """What choosing an entry of the list of steps does."""
    index = 1 + KINDS.index(kind)
    widget.kind_box.setCurrentIndex(index)
    widget.kind_box.activated.emit(index)


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def preview(qtbot, widget, act):
    """Do something and wait for the preview."""
    with qtbot.waitSignal(widget.preview_bridge.ended, timeout=PATIENCE):
        act()


def test_steps_are_previewed_and_undone_and_the_labels_stay(widget, viewer, labels, qtbot):
    preview(qtbot, widget, lambda: add(widget, FillHoles))
    assert np.array_equal(viewer.layers[PREVIEW].data, clean(labels, [FillHoles()]).array)
    preview(qtbot, widget, lambda: add(widget, KeepLargest))
    steps = [FillHoles(), KeepLargest()]
    assert widget.steps == steps
    assert np.array_equal(viewer.layers[PREVIEW].data, clean(labels, steps).array)
    assert (viewer.layers["cells"].visible, viewer.layers[PREVIEW].editable) == (False, False)
    preview(qtbot, widget, lambda: click(qtbot, widget.undo_button))
    assert np.array_equal(viewer.layers[PREVIEW].data, clean(labels, [FillHoles()]).array)
    click(qtbot, widget.undo_button)
    assert [layer.name for layer in viewer.layers] == ["cells"]
    assert viewer.layers["cells"].visible
    assert np.array_equal(viewer.layers["cells"].data, labels.array)


def test_a_parameter_changes_the_preview_in_physical_units(widget, viewer, labels, qtbot):
    preview(qtbot, widget, lambda: add(widget, RemoveSmall))
    box = widget.form.editors["volume"].widget
    assert (box.value(), box.suffix()) == (25, " µm³")
    for volume, parts in ((0.6, 2), (4.1, 1), (0.4, 3)):
        preview(qtbot, widget, lambda volume=volume: box.setValue(volume))
        step = RemoveSmall(volume=volume, unit="µm")
        assert widget.list.item(0).text() == f"1. Remove small: volume {volume} µm³"
        assert np.array_equal(viewer.layers[PREVIEW].data, clean(labels, [step]).array)
        left = [bool(viewer.layers[PREVIEW].data[place]) for place in ((6, 17, 17), (3, 15, 15), (1, 2, 2))]
        assert left == [parts == 3, parts >= 2, True]


def test_apply_adds_a_layer_that_remembers_its_steps(widget, viewer, labels, qtbot):
    widget.live.setChecked(False)
    add(widget, FillHoles)
    add(widget, KeepLargest)
    with qtbot.waitSignal(widget.bridge.ended, timeout=PATIENCE):
        click(qtbot, widget.job.button)
    cleaned = viewer.layers["cells (cleaned)"]
    steps = (FillHoles(), KeepLargest())
    assert np.array_equal(cleaned.data, clean(labels, steps).array)
    assert steps_from_json(cleaned.metadata[METADATA]["cleanup"]) == steps
    assert cleaned.scale.tolist() == [2, 0.5, 0.5]
    assert np.array_equal(viewer.layers["cells"].data, labels.array)
    widget.labels_box.choose(cleaned)
    add(widget, RemoveSmall)
    assert [step["kind"] for step in widget.request().earlier] == ["fill_holes", "keep_largest"]


def test_a_step_that_cannot_be_done_says_why_and_the_button_works_again(widget, viewer, qtbot, notifications):
    widget.live.setChecked(False)
    separate = next(kind for kind in KINDS if "along" in kind.model_fields)
    add(widget, separate)
    widget.form.editors["along"].widget.setCurrentText("edges")
    with qtbot.waitSignal(widget.bridge.failed, timeout=PATIENCE):
        click(qtbot, widget.job.button)
    assert len(notifications) == 1
    assert widget.job.line.text() == notifications[0]
    assert (widget.job.button.text(), widget.job.button.isEnabled()) == ("Apply", True)
    assert len(viewer.layers) == 1
