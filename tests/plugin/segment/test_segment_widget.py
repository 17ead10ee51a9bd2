"""The real widget in a real viewer: choose, click, wait, and look at what is on screen."""

from dataclasses import replace

import dask.array
import endless_jobs
import numpy as np
import psutil
import pytest
from docked import docked
from qtpy.QtCore import Qt

from napari_unetseg.core.io.loadsave import load_volume
from napari_unetseg.core.io.samples import list_samples
from napari_unetseg.core.models.appearance import LENGTH
from napari_unetseg.plugin.layers.source import LayerSource, labels_of
from napari_unetseg.plugin.segment.trials import describe_layer
from napari_unetseg.service.process import Worker
from support import PATIENCE, SLACK, gone_within, is_running


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def dock(viewer):
    def make(model=None):
        widget = docked(viewer, "Segment")
        if model is not None:
            widget.model.add_file(model)
        return widget

    return make


def click(qtbot, widget):
    qtbot.mouseClick(widget.job.button, Qt.MouseButton.LeftButton)


def segment(qtbot, widget):
    """Click *Segment* and wait for the end of the job."""
    with qtbot.waitSignal(widget.bridge.ended, timeout=PATIENCE):
        click(qtbot, widget)
        assert widget.job.button.text() == "Cancel"
    assert widget.job.button.text() == "Segment"
    assert widget.job.button.isEnabled()


@pytest.mark.usefixtures("warm_child")
def test_a_stack_is_segmented_in_its_place_and_never_changed(viewer, dock, qtbot, tiny_model, blocks):
    image = viewer.add_image(
        blocks.copy(), name="cells", scale=(2, 0.5, 0.5), translate=(10, 20, 30), units=("um",) * 3,
        contrast_limits=(0, 50), axis_labels=("z", "y", "x"),
    )  # fmt: skip
    widget = dock(tiny_model)
    segment(qtbot, widget)
    assert np.array_equal(image.data, blocks)
    (labels,) = (layer for layer in viewer.layers if layer is not image)
    assert labels.name == "cells (threshold)"
    assert np.array_equal(labels.data, blocks > 127)
    assert labels.scale.tolist() == [2, 0.5, 0.5]
    assert labels.translate.tolist() == [10, 20, 30]
    assert labels.units == image.units
    assert labels.features["name"].tolist() == ["background", "bright"]
    assert labels.get_color(1) == pytest.approx(np.array([0xE6, 0x9F, 0, 255]) / 255, abs=1e-3)


@pytest.mark.usefixtures("warm_child")
def test_the_table_counts_voxels_and_volume(viewer, dock, qtbot, tiny_model, blocks):
    viewer.add_image(blocks, scale=(2, 0.5, 0.5), units=("um",) * 3, axis_labels=("z", "y", "x"))
    widget = dock(tiny_model)
    segment(qtbot, widget)
    row = [widget.table.item(0, column).text() for column in range(4)]
    assert row == ["bright", "", "240", "120"]
    assert widget.table.horizontalHeaderItem(3).text() == "µm³"
    assert widget.table.isColumnHidden(1)


@pytest.mark.usefixtures("warm_child")
def test_objects_are_numbered(viewer, dock, qtbot, tiny_object_model, blocks):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock(tiny_object_model)
    segment(qtbot, widget)
    labels = viewer.layers[-1]
    assert sorted({labels.data[3, 5, 4], labels.data[9, 16, 14]}) == [1, 2]
    assert np.array_equal(labels.data > 0, blocks > 127)
    assert labels.features["name"].tolist() == ["background", "bright", "bright"]
    assert [widget.table.item(0, column).text() for column in range(3)] == ["bright", "2", "240"]
    assert labels_of(labels).are_objects


@pytest.mark.usefixtures("warm_child")
def test_probabilities_come_as_images_beside_the_labels(viewer, dock, qtbot, tiny_model, blocks):
    viewer.add_image(blocks, name="cells", scale=(2, 1, 1), axis_labels=("z", "y", "x"))
    widget = dock(tiny_model)
    widget.write.setCurrentIndex(widget.write.findData("probabilities"))
    segment(qtbot, widget)
    image = viewer.layers["bright: cells (threshold)"]
    assert np.array_equal(image.data > 0.5, blocks > 127)
    assert image.scale.tolist() == [2, 1, 1]
    assert np.array_equal(viewer.layers["cells (threshold)"].data, blocks > 127)


@pytest.mark.usefixtures("warm_child")
def test_the_scale_goes_to_the_model(viewer, dock, qtbot, tiny_model, blocks):
    blocks[6, 12, 9] = 255  # one voxel alone, which half as large an image no longer shows
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock(tiny_model)
    assert widget.settings.scale == 1
    widget.scale.setValue(0.5)
    segment(qtbot, widget)
    found = viewer.layers[-1].data
    assert found.shape == blocks.shape
    assert found[3, 5, 4] == 1
    assert found[6, 12, 9] == 0


@pytest.mark.usefixtures("warm_child")
def test_a_picture_is_segmented_flat(viewer, dock, qtbot, tiny_model_2d, blocks):
    viewer.add_image(blocks[3], scale=(0.5, 0.25), units=("um", "um"))
    widget = dock(tiny_model_2d)
    assert not widget.layer.voxel_size.numbers[0].isVisibleTo(widget)
    segment(qtbot, widget)
    labels = viewer.layers[-1]
    assert np.array_equal(labels.data, blocks[3] > 127)
    assert labels.scale.tolist() == [0.5, 0.25]
    assert widget.table.item(0, 3).text() == "3.75"


@pytest.mark.usefixtures("warm_child")
def test_a_colour_picture_is_taken_by_its_luminance(viewer, dock, qtbot, tiny_model_2d, blocks):
    viewer.add_image(np.stack([blocks[3]] * 3, axis=-1), rgb=True)
    widget = dock(tiny_model_2d)
    assert widget.layer.channel_box.count() == 0
    segment(qtbot, widget)
    assert np.array_equal(viewer.layers[-1].data, blocks[3] > 127)


@pytest.mark.usefixtures("warm_child")
def test_the_chosen_channel_of_a_layer_with_a_channel_axis_is_taken(viewer, dock, qtbot, tiny_model, blocks):
    viewer.add_image(np.stack([np.zeros_like(blocks), blocks], axis=1), axis_labels=("z", "c", "y", "x"))
    widget = dock(tiny_model)
    assert widget.layer.axes_box.currentData() == "ZCYX"
    widget.layer.channel_box.setCurrentIndex(1)
    segment(qtbot, widget)
    labels = viewer.layers[-1]
    assert labels.data.shape == (12, 2, 24, 20)
    assert np.array_equal(labels.data[:, 0], blocks > 127)


@pytest.mark.usefixtures("warm_child")
def test_the_time_point_on_screen_is_taken(viewer, dock, qtbot, tiny_model, blocks):
    series = np.stack([np.zeros_like(blocks), np.zeros_like(blocks), blocks, np.zeros_like(blocks), blocks * 0])
    viewer.add_image(series, scale=(5, 2, 1, 1), axis_labels=("t", "z", "y", "x"))
    widget = dock(tiny_model)
    viewer.dims.set_current_step(0, 2)
    segment(qtbot, widget)
    labels = viewer.layers[-1]
    assert np.array_equal(labels.data, (blocks > 127)[None])
    assert labels.translate.tolist() == [10, 0, 0, 0]


@pytest.mark.usefixtures("warm_child")
def test_segmenting_again_adds_another_layer(viewer, dock, qtbot, tiny_model, blocks):
    viewer.add_image(blocks, name="cells", axis_labels=("z", "y", "x"))
    widget = dock(tiny_model)
    segment(qtbot, widget)
    segment(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells (threshold)", "cells (threshold) [1]"]


def test_the_layer_box_follows_the_viewer(viewer, dock, blocks):
    widget = dock()
    assert not widget.job.button.isEnabled()
    assert "Open an image" in widget.layer.about.text()
    first = viewer.add_image(blocks, name="first")
    viewer.add_labels(blocks // 200)
    second = viewer.add_image(blocks, name="second")
    box = widget.layer.layer_box
    assert [box.itemText(i) for i in range(box.count())] == ["second", "first"]
    assert box.layer is second
    viewer.layers.selection.active = first
    assert box.layer is first
    first.name = "renamed"
    assert box.currentText() == "renamed"
    viewer.layers.remove(first)
    assert box.layer is second


@pytest.mark.parametrize("sample", list_samples(), ids=lambda sample: sample.name)
def test_a_model_is_proposed_by_what_the_layer_looks_like(viewer, dock, sample):
    viewer.add_image(load_volume(sample.image).array[0].squeeze())
    assert dock().model.card.name == sample.model


def test_a_lazy_layer_is_not_computed_for_a_proposal(viewer):
    source = LayerSource.of(viewer.add_image(np.zeros((8, 64, 64), np.uint8)))
    assert [len(descriptor) for descriptor in describe_layer(source)] == [LENGTH] * 3
    assert describe_layer(replace(source, data=dask.array.from_array(source.data))) is None


def test_the_model_s_card_is_shown(dock, tiny_model):
    widget = dock(tiny_model)
    about = widget.model.about.text()
    assert "Bright voxels." in about
    assert "#e69f00" in about
    assert "bright" in about


def test_a_forecast_comes_by_itself(viewer, dock, qtbot, tiny_model, blocks, warm_child):
    viewer.show()
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock(tiny_model)
    qtbot.waitUntil(lambda: widget.forecast.text().startswith("About "), timeout=PATIENCE)
    assert widget.forecast.text().endswith(" on cpu")


def test_a_broken_model_is_one_notification_and_the_button_works_again(
    viewer, dock, qtbot, tiny_model, blocks, notifications, warm_child
):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock(tiny_model)
    whole = tiny_model.read_bytes()
    tiny_model.write_bytes(whole[: len(whole) // 2])
    segment(qtbot, widget)
    assert len(notifications) == 1
    assert "cut off" in notifications[0]
    assert "cut off" in widget.job.line.text()
    assert len(viewer.layers) == 1
    tiny_model.write_bytes(whole)
    segment(qtbot, widget)
    assert len(viewer.layers) == 2
    assert len(notifications) == 1


def test_a_file_that_is_no_model_is_refused_when_it_is_chosen(dock, tmp_path, notifications):
    path = tmp_path / "model.pt"
    path.write_bytes(b"\x80\x02}q\x00.")
    widget = dock()
    count = widget.model.box.count()
    widget.model.add_file(path)
    assert widget.model.box.count() == count
    assert len(notifications) == 1
    assert "never a pickle" in notifications[0]


def start(qtbot, widget):
    with qtbot.waitSignal(
        widget.bridge.progressed, timeout=PATIENCE, check_params_cb=lambda p: p.stage == "Predicting"
    ):
        click(qtbot, widget)


@pytest.fixture
def busy(viewer, dock, qtbot, tiny_model, blocks, monkeypatch):
    """A widget in the middle of a job in its own child that does not end by itself."""
    monkeypatch.setattr("napari_unetseg.plugin.segment.widget.segment_layer", endless_jobs.endless_on_a_layer)
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock(tiny_model)
    start(qtbot, widget)
    return widget


def test_a_real_segmentation_is_cancelled_within_two_seconds(viewer, dock, qtbot, tiny_model):
    viewer.add_image(np.zeros((64, 512, 512), np.uint8), axis_labels=("z", "y", "x"))
    widget = dock(tiny_model)
    widget.flips.setChecked(True)
    start(qtbot, widget)
    pid = widget.bridge.pid
    click(qtbot, widget)
    assert not widget.bridge.is_running
    assert gone_within(pid, 2)
    assert len(viewer.layers) == 1


def test_progress_is_shown_while_it_runs(busy):
    assert busy.job.progress.isVisibleTo(busy)
    assert busy.job.progress.maximum() == 100
    assert busy.job.line.text() == "Predicting, 2 min left…"


def test_cancel_ends_the_job_within_two_seconds(busy, viewer, qtbot):
    pid = busy.bridge.pid
    click(qtbot, busy)
    assert not busy.bridge.is_running
    assert busy.job.button.text() == "Segment"
    assert busy.job.line.text() == "Cancelled."
    assert gone_within(pid, 2)
    qtbot.wait(100)
    assert len(viewer.layers) == 1


def test_the_activity_dock_shows_the_job_and_cancels_it(busy, qtbot):
    from napari.utils.progress import progress

    (bar,) = progress._all_instances
    assert bar.desc.startswith("Segmenting: predicting")
    pid = busy.bridge.pid
    with qtbot.waitSignal(busy.bridge.ended, timeout=int(SLACK * 1000)):
        bar.cancel()
    assert not progress._all_instances
    assert gone_within(pid, 2)


def test_a_killed_child_is_one_notification_and_the_button_works_again(busy, qtbot, notifications):
    with qtbot.waitSignal(busy.bridge.failed, timeout=PATIENCE):
        psutil.Process(busy.bridge.pid).kill()
    assert len(notifications) == 1
    assert "probably for lack of memory" in notifications[0]
    assert busy.job.button.text() == "Segment"
    assert busy.job.button.isEnabled()


def test_closing_the_viewer_in_the_middle_ends_everything(busy, viewer, qtbot):
    pid = busy.bridge.pid
    viewer.close()
    qtbot.waitUntil(lambda: not is_running(pid), timeout=int(SLACK * 2000))
    assert not is_running(pid)


def test_taking_the_widget_out_of_its_dock_ends_its_job(busy, viewer):
    pid = busy.bridge.pid
    viewer.window.remove_dock_widget(busy)
    assert gone_within(pid, 2)


def test_without_a_job_there_is_no_child(dock):
    assert dock().bridge.pid is None
    assert Worker().pid is None


def test_a_job_stops_when_its_image_is_removed(viewer, busy, qtbot):
    pid, other = busy.bridge.pid, viewer.add_image(np.zeros((4, 4), np.uint8), name="other")
    viewer.layers.remove(other)
    assert busy.bridge.is_running
    viewer.layers.remove(viewer.layers[0])
    assert not busy.bridge.is_running
    assert busy.job.line.text().endswith(" was removed: the job has stopped.")
    assert gone_within(pid, 2)
    qtbot.wait(300)
    assert list(viewer.layers) == []
    viewer.add_image(np.zeros((4, 4), np.uint8), name="next")  # whose removal means nothing to the job that is over
    viewer.layers.remove("next")
    assert busy.job.line.text().endswith(" was removed: the job has stopped.")
