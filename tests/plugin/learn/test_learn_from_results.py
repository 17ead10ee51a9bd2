"""Results as paint: labels that hold structures are converted, never taken for paint as they are."""

import numpy as np
import pytest

from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.plugin.annotate.layer import paint_of_labels
from support import PATIENCE


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Images that are in no file have their paint kept here."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")


def test_a_result_that_is_chosen_as_painted_layer_becomes_paint_one_higher(
    make_napari_viewer, qtbot, blocks, tiny_model, notifications
):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    segment, learn = (viewer.window.add_plugin_dock_widget("napari-unetseg", name)[1] for name in ("Segment", "Learn"))
    segment.model.add_file(tiny_model)
    segment.job.button.click()
    qtbot.waitUntil(lambda: not segment.bridge.is_running, timeout=PATIENCE)
    result = viewer.layers[-1]
    found = result.data.copy()
    learn.paint.layer_box.choose(result)
    canvas = learn.paint.canvas
    assert canvas.layer is not result
    assert np.array_equal(canvas.layer.data, found + 1)
    assert canvas.structures.names == {2: "bright"}
    assert learn.paint.layer_box.layer is canvas.layer
    assert np.array_equal(result.data, found)
    assert any("one higher" in message for message in notifications)
    learn.paint.layer_box.choose(result)  # again: what was made of it is paint that is put aside, not lost
    assert np.array_equal(learn.paint.canvas.layer.data, found + 1)


def test_objects_are_one_structure_and_a_structure_that_is_absent_keeps_its_name():
    array = np.array([[[0, 5, 9]]], np.uint16)
    cell = Structure(label=1, name="cell", colour="#ff0000")
    painted, structures = paint_of_labels(Labels(array, structures=(cell,), are_objects=True))
    assert painted.tolist() == [[[1, 2, 2]]]
    assert structures.names == {2: "cell"}
    axon, myelin = (Structure(label=n, name=name, colour="#ff0000") for n, name in ((1, "axon"), (2, "myelin")))
    painted, structures = paint_of_labels(Labels(np.array([[[0, 2, 2]]]), structures=(axon, myelin)))
    assert painted.tolist() == [[[1, 3, 3]]]
    assert structures.names == {2: "axon", 3: "myelin"}
