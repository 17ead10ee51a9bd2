"""The Load volume widget: facts first, then the part that was chosen, in its place."""

import numpy as np
import pytest
import tifffile
from docked import docked
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import save_labels
from napari_unetseg.core.volume import Labels, Structure
from support import PATIENCE

pytestmark = pytest.mark.usefixtures("warm_child")


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def widget(viewer):
    return docked(viewer, "Load volume")


@pytest.fixture
def stack(tmp_path):
    """Two channels, an ImageJ hyperstack of 5×2×16×12, 2 µm × 0.5 µm × 0.5 µm."""
    array = np.arange(5 * 2 * 16 * 12, dtype=np.uint16).reshape(5, 2, 16, 12)
    path = tmp_path / "two.tif"
    tifffile.imwrite(
        path, array, imagej=True, resolution=(2, 2), metadata={"axes": "ZCYX", "spacing": 2.0, "unit": "um"}
    )
    return path, array


def inspect(qtbot, widget, path):
    with qtbot.waitSignal(widget.bridge.ended, timeout=PATIENCE):
        widget.inspect(path)


def load(qtbot, widget):
    with qtbot.waitSignal(widget.bridge.ended, timeout=PATIENCE):
        qtbot.mouseClick(widget.job.button, Qt.MouseButton.LeftButton)


def test_facts_are_shown_before_anything_is_loaded(widget, viewer, qtbot, stack):
    assert not widget.job.button.isEnabled()
    inspect(qtbot, widget, stack[0])
    part = widget.part
    assert "5 × 16 × 12" in part.size.text()
    assert part.type.text().startswith("uint16")
    assert part.spacing.text() == "2 × 0.5 × 0.5 µm"
    assert part.memory.text().startswith("4 kB")
    assert [part.channels.item(i).checkState() for i in range(2)] == [Qt.CheckState.Checked] * 2
    assert not part.time.isVisibleTo(widget)
    assert len(viewer.layers) == 0


def test_all_of_it_is_loaded_by_default(widget, viewer, qtbot, stack):
    path, array = stack
    inspect(qtbot, widget, path)
    load(qtbot, widget)
    assert len(viewer.layers) == 2
    for channel, layer in enumerate(viewer.layers):
        assert np.array_equal(layer.data, array[:, channel])
        assert layer.scale.tolist() == [2, 0.5, 0.5]
        assert {str(unit) for unit in layer.units} == {"micrometer"}


def test_a_crop_of_one_channel_lies_where_it_was_cut(widget, viewer, qtbot, stack):
    path, array = stack
    inspect(qtbot, widget, path)
    widget.part.channels.item(0).setCheckState(Qt.CheckState.Unchecked)
    for crop, (start, stop) in zip(widget.part.crop, ((1, 4), (2, 10), (3, 12)), strict=True):
        crop.start.setValue(start)
        crop.stop.setValue(stop)
    load(qtbot, widget)
    (layer,) = viewer.layers
    assert np.array_equal(layer.data, array[1:4, 1, 2:10, 3:12])
    assert layer.translate.tolist() == [2, 1, 1.5]


def test_a_mended_spacing_is_the_layer_s(widget, viewer, qtbot, stack):
    inspect(qtbot, widget, stack[0])
    widget.part.voxel_size.numbers[0].setValue(3)
    widget.part.voxel_size.unit_box.setCurrentText("nm")
    load(qtbot, widget)
    assert viewer.layers[0].scale.tolist() == [3, 0.5, 0.5]
    assert {str(unit) for unit in viewer.layers[0].units} == {"nanometer"}


def test_labels_of_ours_are_opened_as_labels(widget, viewer, qtbot, tmp_path):
    nucleus = Structure(label=1, name="nucleus", colour="#e69f00")
    path = tmp_path / "l.ome.tif"
    save_labels(path, Labels(np.ones((2, 3, 4), np.uint8), Grid((1.0, 1.0, 1.0), "µm"), (nucleus,)))
    inspect(qtbot, widget, path)
    assert widget.as_labels.isChecked()
    load(qtbot, widget)
    (layer,) = viewer.layers
    assert layer.features["name"].tolist() == ["background", "nucleus"]


def test_a_folder_of_slices_is_a_stack(widget, viewer, qtbot, tmp_path):
    folder = tmp_path / "slices"
    folder.mkdir()
    for z in range(3):
        tifffile.imwrite(folder / f"s{z}.tif", np.full((8, 8), z, np.uint8))
    inspect(qtbot, widget, folder)
    assert "3 × 8 × 8" in widget.part.size.text()
    load(qtbot, widget)
    assert viewer.layers[0].data[:, 0, 0].tolist() == [0, 1, 2]


def test_what_is_dropped_on_it_is_inspected(widget, qtbot, stack):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(stack[0]))])
    event = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    with qtbot.waitSignal(widget.bridge.ended, timeout=PATIENCE):
        widget.dropEvent(event)
    assert widget.part.info is not None
    assert widget.path_line.text() == str(stack[0])


@pytest.mark.parametrize(("name", "content"), [("missing.tif", None), ("text.tif", b"not a tiff"), ("empty.nii", b"")])
def test_bad_input_is_one_line_and_one_notification(
    widget, viewer, qtbot, tmp_path, notifications, stack, name, content
):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    inspect(qtbot, widget, path)
    assert len(notifications) == 1
    assert name in notifications[0]
    assert widget.job.line.text() == notifications[0]
    assert not widget.job.button.isEnabled()
    inspect(qtbot, widget, stack[0])
    assert widget.job.button.isEnabled()


def test_what_cannot_be_loaded_is_said_before_loading(widget, qtbot, stack):
    inspect(qtbot, widget, stack[0])
    part, said = widget.part, widget.job.line.text
    part.crop[1].start.setValue(9)
    part.crop[1].stop.setValue(4)
    assert not widget.job.button.isEnabled()
    assert said() == "Crop y: expected an end after 9; got 4."
    assert part.memory.text().startswith("0 ")
    part.crop[1].stop.setValue(12)
    assert (widget.job.button.isEnabled(), said()) == (True, "")
    for index in range(2):
        part.channels.item(index).setCheckState(Qt.CheckState.Unchecked)
    assert (widget.job.button.isEnabled(), said()) == (False, "Choose at least one channel.")
    part.channels.item(1).setCheckState(Qt.CheckState.Checked)
    load(qtbot, widget)
    assert said() == "Loaded."
    assert widget._viewer.layers[-1].data.shape == (5, 3, 12)
