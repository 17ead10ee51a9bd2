"""Two windows on one image: who paints is said, the choice is the user's, and no stroke of either is lost.

The other window is a program of its own that paints until it is killed (see `painter`).
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from mouse import stroke
from qtpy.QtWidgets import QApplication

from napari_unetseg.core.annotations.journal import FOLDER, read_journal
from napari_unetseg.core.annotations.journal_writer import Journal
from support import PATIENCE

PROGRAM = Path(__file__).parents[1] / "painter.py"
SHAPE = (3, 96, 96)
HOLDER = """
import sys, time
from pathlib import Path
from napari_unetseg.core.annotations.journal_writer import Journal
with Journal(Path(sys.argv[1]), (3, 96, 96)):
    print("open", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, np.zeros(SHAPE, np.uint8), metadata={"axes": "ZYX"}, photometric="minisblack")
    return path


@pytest.fixture
def other(image, qtbot):
    """Another napari that paints on the image."""
    said = image.with_name("said")
    program = subprocess.Popen([sys.executable, str(PROGRAM), str(image), "1", str(said)])
    qtbot.waitUntil(lambda: said.exists() and len(said.read_text().splitlines()) > 2, timeout=PATIENCE)
    qtbot.wait(2000)  # its strokes are on the disk by then
    yield program
    program.kill()
    program.wait()


@pytest.fixture
def widget(make_napari_viewer, image, request):
    request.getfixturevalue("other")
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")
    viewer.open(image, plugin="napari-unetseg")
    return widget


def paint_here(viewer, widget, qtbot):
    """A stroke of the mouse, and until it is on the disk."""
    viewer.dims.set_point(0, 2)
    widget.paint.canvas.layer.brush_size = 4
    viewer.window._qt_window.activateWindow()
    stroke(viewer, (90, 70), (90, 80))
    qtbot.wait(300)
    qtbot.waitUntil(lambda: not widget.paint.flow.is_busy, timeout=PATIENCE)


def ended(program):
    """Let the other window paint no more."""
    program.kill()
    program.wait()


def viewer_of(widget):
    return widget.paint._viewer


def test_who_paints_is_said_and_may_be_taken_over(widget, other, image, qtbot):
    offer, viewer, journal = widget.paint.offer, viewer_of(widget), (image.parent / FOLDER / "cells.tif.paint")
    assert f"process {other.pid} on this computer" in offer.line.text()
    assert [b.text() for b in (offer.restore_button, offer.read_button, offer.copy_button) if b.isVisibleTo(offer)] == [
        "Take over",
        "Read only",
        "Own copy",
    ]
    offer.restore_button.click()
    taken = widget.paint.canvas.layer.data.copy()
    assert taken.any()
    paint_here(viewer, widget, qtbot)
    copy = image.parent / FOLDER / "cells.tif.paint.1"
    qtbot.waitUntil(copy.exists, timeout=PATIENCE)  # the other window goes on in a copy of its own
    qtbot.wait(1000)
    ended(other)
    ours, theirs = read_journal(journal).painted, read_journal(copy).painted
    assert np.array_equal(ours, widget.paint.canvas.layer.data)
    assert (ours != taken).any()
    assert (theirs[taken > 0] > 0).all()  # with all that it had painted before
    assert np.count_nonzero(theirs) > np.count_nonzero(taken)


def test_an_own_copy_leaves_the_paint_to_the_other_window(widget, other, image, qtbot):
    viewer = viewer_of(widget)
    widget.paint.offer.copy_button.click()
    assert widget.paint.journal.name == "cells.tif.paint.1"
    paint_here(viewer, widget, qtbot)
    mine = widget.paint.canvas.layer.data.copy()
    ended(other)
    assert np.array_equal(read_journal(image.parent / FOLDER / "cells.tif.paint.1").painted, mine)
    assert not np.array_equal(read_journal(image.parent / FOLDER / "cells.tif.paint").painted, mine)


def test_read_only_paint_cannot_be_painted_on(widget, other, image, qtbot):
    widget.paint.offer.read_button.click()
    layer = widget.paint.canvas.layer
    before = layer.data.copy()
    assert before.any()
    assert not layer.editable
    viewer = viewer_of(widget)
    viewer.window._qt_window.activateWindow()
    stroke(viewer, (90, 70), (90, 80))
    qtbot.wait(300)
    assert np.array_equal(layer.data, before)
    assert widget.paint.journal is None
    ended(other)
    assert sorted(file.name for file in (image.parent / FOLDER).glob("cells.tif.paint*")) == ["cells.tif.paint"]


def test_new_paint_beside_another_window_is_kept_in_a_file_of_its_own_and_all_is_offered_again(
    widget, other, image, qtbot, make_napari_viewer
):
    viewer = viewer_of(widget)
    widget.paint.add_button.click()
    assert widget.paint.journal.name == "cells.tif.paint.1"
    QApplication.processEvents()
    paint_here(viewer, widget, qtbot)
    mine = widget.paint.canvas.layer.data.copy()
    assert mine.any()
    ended(other)
    viewer.layers.clear()
    viewer.open(image, plugin="napari-unetseg")
    box = widget.paint.offer.places_box
    assert sorted(box.itemData(row).name for row in range(box.count())) == ["cells.tif.paint", "cells.tif.paint.1"]
    box.setCurrentIndex([box.itemData(row).name for row in range(2)].index("cells.tif.paint.1"))
    assert "were kept" in widget.paint.offer.line.text()
    widget.paint.offer.restore_button.click()
    assert np.array_equal(widget.paint.canvas.layer.data, mine)


def test_who_begins_to_paint_after_the_offer_is_not_taken_over_unasked(make_napari_viewer, image, qtbot):
    journal, painted = (image.parent / FOLDER / "cells.tif.paint"), np.ones(SHAPE, np.uint8)
    with Journal(journal, SHAPE) as first:
        first.record(painted)
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")
    viewer.open(image, plugin="napari-unetseg")
    offer = widget.paint.offer
    assert offer.restore_button.text() == "Restore paint"
    program = subprocess.Popen([sys.executable, "-c", HOLDER, str(journal)], stdout=subprocess.PIPE, text=True)
    assert program.stdout.readline() == "open\n"
    offer.restore_button.click()
    assert widget.paint.canvas is None
    assert offer.restore_button.text() == "Take over"
    program.kill()
    program.communicate()
    offer.restore_button.click()
    assert np.array_equal(widget.paint.canvas.layer.data, painted)
