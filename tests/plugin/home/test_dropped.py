"""Files that are dropped on the window: napari asks for a reader, unless the home was told that ours is the one."""

import numpy as np
import pytest
import tifffile
from docked import docked
from napari.settings import get_settings
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def stack(tmp_path):
    """A file of 2 × 0.5 × 0.5 µm."""
    path = tmp_path / "stack.ome.tif"
    size = {f"PhysicalSize{axis}": step for axis, step in zip("ZYX", (2, 0.5, 0.5), strict=True)}
    tifffile.imwrite(path, np.zeros((3, 8, 8), np.uint8), ome=True, metadata={"axes": "ZYX", **size})
    return path


@pytest.fixture
def asked(monkeypatch):
    """The files for which napari asks for a reader, in place of the dialog, which would wait for ever."""
    files = []
    monkeypatch.setattr("napari._qt.qt_viewer.handle_gui_reading", lambda paths, *_, **__: files.extend(paths))
    return files


def drop(viewer, path):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    event = QDropEvent(QPointF(10, 10), Qt.DropAction.CopyAction, mime, buttons, keys)
    viewer.window._qt_viewer.dropEvent(event)


def test_napari_asks_for_a_reader_until_ours_is_ticked_in_the_home(viewer, stack, asked, qtbot):
    get_settings().plugins.extension2reader = {"*.csv": "napari", "*.nii": "another"}
    home = docked(viewer, "Home")
    assert not home.dropped.isChecked()
    drop(viewer, stack)
    assert (asked, list(viewer.layers)) == ([str(stack)], [])
    home.dropped.click()
    asked.clear()
    drop(viewer, stack)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1)
    assert asked == []
    assert tuple(viewer.layers[0].scale) == (2, 0.5, 0.5)
    assert get_settings().plugins.extension2reader["*.csv"] == "napari"


def test_the_tick_is_taken_back_and_other_readers_stay(viewer):
    get_settings().plugins.extension2reader = {"*.csv": "napari"}
    home = docked(viewer, "Home")
    home.dropped.click()
    assert get_settings().plugins.extension2reader["*.nii.gz"] == "napari-unetseg"
    assert "*.png" not in get_settings().plugins.extension2reader
    home.dropped.click()
    assert get_settings().plugins.extension2reader == {"*.csv": "napari"}
