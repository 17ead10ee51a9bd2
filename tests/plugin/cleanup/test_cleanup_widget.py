"""The Clean up widget in a real viewer: steps are previewed, applied to a new layer, and recorded in it."""

import endless_jobs
import numpy as np
import pytest
from docked import docked
from qtpy.QtCore import Qt

from napari_unetseg import api
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.postprocess.apply import clean
from napari_unetseg.core.steps import Crf, Dilate, FillHoles, KeepLargest, Prior, RemoveSmall, steps_from_json
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.plugin.cleanup.widget import ALL_SHOWN, ONE_SHOWN, PREVIEW
from napari_unetseg.plugin.layers.layer_data import labels_layer
from napari_unetseg.plugin.layers.source import METADATA
from napari_unetseg.plugin.parts.step_form import KINDS
from support import PATIENCE

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
    widget = docked(viewer, "Clean up")
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
    box = widget.form["volume"].native
    assert (box.value(), box.suffix()) == (25, " µm³")
    for volume, parts in ((0.6, 2), (4.1, 1), (0.4, 3)):
        preview(qtbot, widget, lambda volume=volume: box.setValue(volume))
        step = RemoveSmall(volume=volume, unit="µm")
        assert widget.list.item(0).text() == f"1. Remove small: volume {volume} µm³"
        assert np.array_equal(viewer.layers[PREVIEW].data, clean(labels, [step]).array)
        left = [bool(viewer.layers[PREVIEW].data[place]) for place in ((6, 17, 17), (3, 15, 15), (1, 2, 2))]
        assert left == [parts == 3, parts >= 2, True]


def add_image(viewer, labels):
    """An image that shows the blocks a voxel wider than the labels have them."""
    from scipy.ndimage import binary_dilation

    wide = binary_dilation(labels.array, np.ones((1, 3, 3))).astype(np.float32)
    return viewer.add_image(wide, name="cells image", scale=labels.grid.spacing, units="um")


def with_slice(labels, changed, z):
    """The labels, with one slice of a changed array."""
    array = labels.array.copy()
    array[z] = changed[z]
    return array


def test_a_crf_is_previewed_on_the_slice_in_view_and_applied_to_all(widget, viewer, labels, qtbot):
    image = add_image(viewer, labels)
    assert widget.context.image.isHidden()
    viewer.dims.set_point(0, 3 * 2.0)
    step = Crf(appearance=9.0, smoothness=0.0)
    preview(qtbot, widget, lambda: add(widget, Crf))
    assert widget.context.image.layer is image
    assert (widget.list.item(0).text(), widget.context.image.isHidden()) == ("1. Follow image (CRF)", False)
    widget.form["smoothness"].native.setValue(0)
    preview(qtbot, widget, lambda: widget.form["appearance"].native.setValue(9))
    assert widget.list.item(0).text() == "1. Follow image (CRF): appearance 9, smoothness 0"
    context = api.cleanup_context(Volume(image.data[None], labels.grid))
    sliced = api.clean(labels, [step.model_copy(update={"per_slice": True})], context).array
    assert (sliced != labels.array).any(axis=(1, 2))[[2, 3, 5]].all()
    assert np.array_equal(viewer.layers[PREVIEW].data, with_slice(labels, sliced, 3))
    preview(qtbot, widget, lambda: viewer.dims.set_point(0, 5 * 2.0))
    assert np.array_equal(viewer.layers[PREVIEW].data, with_slice(labels, sliced, 5))
    assert widget.job.line.text() == ONE_SHOWN
    with qtbot.waitSignal(widget.bridge.ended, timeout=PATIENCE):
        click(qtbot, widget.job.button)
    cleaned = viewer.layers["cells (cleaned)"]
    assert np.array_equal(cleaned.data, api.clean(labels, [step], context).array)
    assert steps_from_json(cleaned.metadata[METADATA]["cleanup"]) == (step,)


def test_a_prior_comes_from_painted_slices(widget, viewer, labels, qtbot):
    add(widget, Prior)
    qtbot.waitUntil(lambda: "Choose a layer of painted slices" in widget.job.line.text(), timeout=PATIENCE)
    assert PREVIEW not in viewer.layers
    painted = np.zeros_like(labels.array)
    painted[[1, 6]] = 1
    painted[[1, 6], 2:10, 2:10] = 2
    paint = viewer.add_labels(painted, name="paint", scale=labels.grid.spacing, units="um")
    preview(qtbot, widget, lambda: widget.context.prior.choose(paint))
    step = Prior(softness=0.2, unit="µm")
    preview(qtbot, widget, lambda: widget.form["softness"].native.setValue(0.2))
    expected = api.clean(labels, [step], api.cleanup_context(painted=Labels(painted, labels.grid))).array
    assert not expected[:, 14:].any()
    z = int(viewer.dims.current_step[0])
    assert np.array_equal(viewer.layers[PREVIEW].data[z], expected[z])
    with qtbot.waitSignal(widget.bridge.ended, timeout=PATIENCE):
        click(qtbot, widget.job.button)
    assert np.array_equal(viewer.layers["cells (cleaned)"].data, expected)
    assert np.array_equal(paint.data, painted)


def test_steps_on_connected_parts_are_previewed_in_all_slices_at_once(widget, viewer, labels, qtbot):
    preview(qtbot, widget, lambda: add(widget, KeepLargest))
    assert widget.job.line.text() == ALL_SHOWN
    with qtbot.assertNotEmitted(widget.preview_bridge.started, wait=600):
        viewer.dims.set_point(0, 2.0)


def test_in_3d_view_all_slices_are_previewed(widget, viewer, labels, qtbot):
    preview(qtbot, widget, lambda: add(widget, Dilate))
    assert widget.job.line.text() == ONE_SHOWN
    preview(qtbot, widget, lambda: setattr(viewer.dims, "ndisplay", 3))
    step = Dilate(distance=0.5, unit="µm")
    assert np.array_equal(viewer.layers[PREVIEW].data, clean(labels, [step]).array)
    assert widget.job.line.text() == ALL_SHOWN


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
    widget.form["along"].native.setCurrentText("edges")
    with qtbot.waitSignal(widget.bridge.failed, timeout=PATIENCE):
        click(qtbot, widget.job.button)
    assert len(notifications) == 1
    assert widget.job.line.text() == notifications[0]
    assert (widget.job.button.text(), widget.job.button.isEnabled()) == ("Apply", True)
    assert len(viewer.layers) == 1


def test_a_preview_that_is_deleted_brings_the_labels_back(widget, viewer, qtbot):
    preview(qtbot, widget, lambda: add(widget, FillHoles))
    assert not viewer.layers["cells"].visible
    viewer.layers.selection.active = viewer.layers[PREVIEW]
    viewer.layers.remove_selected()
    assert viewer.layers["cells"].visible
    assert not widget.live.isChecked()
    assert [layer.name for layer in viewer.layers] == ["cells"]
    preview(qtbot, widget, widget.live.click)
    assert not viewer.layers["cells"].visible


def test_apply_is_off_while_something_has_to_be_chosen_first(widget, viewer, labels, qtbot):
    widget.live.click()  # it does not hang on the preview
    add(widget, Crf)
    assert (widget.job.button.isEnabled(), widget.job.line.text()) == (
        False,
        "Choose the image that the labels should follow.",
    )
    widget.context.image.choose(add_image(viewer, labels))
    assert (widget.job.button.isEnabled(), widget.job.line.text()) == (True, "")
    widget.list.setCurrentRow(0)
    click(qtbot, widget.remove_button)
    assert not widget.job.button.isEnabled()


def test_labels_that_are_removed_end_the_job_and_its_preview(widget, viewer, labels, qtbot, monkeypatch):
    data, attributes, _ = labels_layer(labels)
    with qtbot.waitSignal(widget.preview_bridge.started, timeout=PATIENCE):
        add(widget, FillHoles)
    viewer.layers.remove("cells")  # while its preview is made
    qtbot.waitUntil(lambda: not widget.preview_bridge.is_running, timeout=PATIENCE)
    assert list(viewer.layers) == []
    preview(qtbot, widget, lambda: viewer.add_labels(data.copy(), **{**attributes, "name": "others"}))
    assert [layer.name for layer in viewer.layers] == ["others", PREVIEW]
    monkeypatch.setattr("napari_unetseg.plugin.cleanup.widget.clean_layer", endless_jobs.endless_on_a_layer)
    click(qtbot, widget.job.button)
    assert widget.bridge.is_running
    viewer.layers.remove("others")
    assert not widget.bridge.is_running
    assert widget.job.line.text() == "others was removed: the job has stopped."
    assert [layer.name for layer in viewer.layers if layer.name != PREVIEW] == []
