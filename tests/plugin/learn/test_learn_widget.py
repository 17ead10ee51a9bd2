"""A real viewer and a real mouse: paint, see the prediction, revert, save, and find the paint again."""

import os
import signal
import time

import numpy as np
import pytest
import tifffile
from docked import docked
from mouse import stroke

from napari_unetseg.core.annotations.journal import FOLDER, read_journal
from napari_unetseg.core.io.loadsave import load_labels, load_volume
from napari_unetseg.core.io.samples import find_sample
from napari_unetseg.core.models.catalogue import read_card
from support import PATIENCE, waited

SLICES = (14, 17)


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """Images that are in no file have their paint kept here."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")


@pytest.fixture
def crop(tmp_path):
    """A file with 3 slices of 96×96 pixels of the fly's brain, and the membranes in it."""
    sample = find_sample("fly-brain")
    part = (slice(*SLICES), slice(0, 96), slice(0, 96))
    path = tmp_path / "brain.tif"
    tifffile.imwrite(path, load_volume(sample.image).array[0][part], metadata={"axes": "ZYX"}, photometric="minisblack")
    return path, load_labels(sample.labels).array[part]


@pytest.fixture
def viewer(make_napari_viewer, request):
    viewer = make_napari_viewer(show="crop" in request.fixturenames)  # a mouse needs a window
    viewer.window._qt_window.resize(1100, 800)
    return viewer


@pytest.fixture
def dock(viewer):
    def make():
        widget = docked(viewer, "Learn")
        widget.choices.start.box.setCurrentIndex(0)
        widget.choices.minutes.setValue(0)
        return widget

    return make


def finished(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.bridge.is_running, timeout=PATIENCE)


def written(qtbot, widget):
    """Wait until all strokes are in the journal."""
    canvas = widget.paint.canvas
    qtbot.waitUntil(lambda: canvas.last is not None and np.array_equal(canvas.last, data_of(canvas)), timeout=10_000)
    qtbot.waitUntil(lambda: not widget.paint.flow.is_busy, timeout=10_000)


def data_of(canvas):
    return np.asarray(canvas.layer.data).reshape(canvas.target.shape)


def paint(viewer, widget, truth, z, count, seed=0):
    """Some strokes of each kind on one slice, where the reference says."""
    layer = widget.paint.canvas.layer
    layer.brush_size = 3
    viewer.dims.set_point(0, z)
    generator = np.random.default_rng(seed)
    for label in (0, 1):
        viewer.window._qt_window.activateWindow()
        widget.paint._pick(label + 1)
        ys, xs = np.nonzero(truth[z] == label)
        for index in generator.choice(len(ys), count):
            stroke(viewer, (ys[index], xs[index]), (ys[index], min(xs[index] + 1, 95)))


@pytest.mark.usefixtures("warm_child")
def test_strokes_become_a_preview_that_can_be_reverted_saved_and_applied(viewer, dock, qtbot, crop, tmp_path):
    path, truth = crop
    (image,) = viewer.open(path, plugin="napari-unetseg")
    before = image.data.copy()
    widget = dock()
    widget.paint.add_button.click()
    layer = widget.paint.canvas.layer
    assert (layer.data.shape, layer.data.dtype, layer.data.any()) == (image.data.shape, np.uint8, False)
    qtbot.wait(200)
    paint(viewer, widget, truth, 1, 15)
    assert set(np.unique(layer.data)) == {0, 1, 2}
    written(qtbot, widget)
    assert np.array_equal(read_journal(tmp_path / FOLDER / "brain.tif.paint").painted, layer.data)

    widget.bar.button.click()
    finished(qtbot, widget)
    (first,) = widget.results.versions.versions
    assert 0 < first.mean_dice <= 1
    assert first.painted == np.count_nonzero(layer.data)
    assert viewer.layers.selection.active is layer
    assert layer.mode == "paint"
    found = widget.layers.preview.layer.data.copy()
    assert dice(found, truth) > 0.4
    shown = widget.paint.table.item(1, 3)
    assert shown.text() == first.expected[1].shown
    assert f"of {first.expected[1].groups} strokes" in shown.toolTip()

    paint(viewer, widget, truth, 0, 10, seed=1)
    widget.bar.button.click()
    finished(qtbot, widget)
    assert [version.number for version in widget.results.versions.versions] == [1, 2]
    assert widget.results.score_plot.isVisible()
    assert len(widget.results.score_plot.canvas.listDataItems()) == 1
    assert not np.array_equal(widget.layers.preview.layer.data, found)
    widget.results.versions.box.setCurrentIndex(0)
    widget.results.versions.revert_button.click()
    finished(qtbot, widget)
    assert widget.results.versions.current == first
    assert np.array_equal(widget.layers.preview.layer.data, found)

    saved = tmp_path / "membranes.safetensors"
    widget.paint.table.item(1, 0).setText("membrane")
    widget.save(saved)
    finished(qtbot, widget)
    card = read_card(saved)
    assert (card.name, card.dimensions, card.structures[0].name) == ("membranes", 3, "membrane")
    assert card.scores[0].value == pytest.approx(first.dice[1], abs=1e-4)
    assert np.array_equal(image.data, before)

    segment = docked(viewer, "Segment")
    segment.layer.layer_box.choose(image)
    segment.model.add_file(saved)
    with qtbot.waitSignal(segment.bridge.returned, timeout=PATIENCE):
        segment.job.button.click()
    assert np.mean(viewer.layers[-1].data == found) > 0.98


def dice(found, truth):
    return 2 * np.sum((found > 0) & (truth > 0)) / (np.sum(found > 0) + np.sum(truth > 0))


@pytest.mark.usefixtures("warm_child")
def test_live_learns_after_a_stroke_and_waits_for_more(viewer, dock, qtbot, crop):
    path, truth = crop
    viewer.open(path, plugin="napari-unetseg")
    widget = dock()
    widget.paint.add_button.click()
    widget.bar.live.setChecked(True)
    qtbot.waitUntil(lambda: "Nothing is painted" in widget.bar.line.text(), timeout=PATIENCE)
    paint(viewer, widget, truth, 1, 15)
    qtbot.waitUntil(lambda: bool(widget.results.versions.versions), timeout=PATIENCE)
    qtbot.waitUntil(lambda: widget.layers.preview is not None and widget.layers.preview.volume.any(), timeout=PATIENCE)
    assert widget.bridge.is_running
    widget.bar.stop_button.click()
    finished(qtbot, widget)
    assert widget.bar.line.text() == "Stopped."


@pytest.mark.usefixtures("warm_child")
def test_kept_paint_is_offered_restored_and_put_aside(viewer, dock, qtbot, crop, tmp_path):
    path, truth = crop
    (image,) = viewer.open(path, plugin="napari-unetseg")
    first = dock()
    first.paint.add_button.click()
    first.paint.tools.add_button.click()
    first.paint.table.item(1, 0).setText("membrane")
    qtbot.wait(200)
    paint(viewer, first, truth, 1, 5)
    written(qtbot, first)
    painted = first.paint.canvas.layer.data.copy()
    viewer.layers.clear()

    (image,) = viewer.open(path, plugin="napari-unetseg")
    second = dock()
    assert "were kept" in second.paint.offer.line.text()
    second.paint.offer.restore_button.click()
    restored = second.paint.canvas
    assert np.array_equal(restored.layer.data, painted)
    assert restored.structures.names == {2: "membrane", 3: "structure 2"}
    finished(qtbot, second)
    assert second.results.versions.versions == []
    assert restored.layer.scale.tolist() == image.scale.tolist()

    second.paint.add_button.click()
    assert not second.paint.canvas.layer.data.any()
    assert np.array_equal(read_journal(tmp_path / FOLDER / "brain.tif.paint.1").painted, painted)


def test_keys_pick_structures_and_do_not_collide(viewer, dock, qtbot, blocks):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock()
    widget.paint.add_button.click()
    layer = widget.paint.canvas.layer
    keys = {str(binding) for binding in layer.keymap}
    assert keys == {f"Ctrl+{number}" for number in range(1, 10)}
    assert not keys & {
        str(binding) for binding in [*type(layer).class_keymap, *viewer.keymap, *type(viewer).class_keymap]
    }
    layer.mode = "pan_zoom"
    binding = next(b for b in layer.keymap if str(b) == "Ctrl+1")
    layer.keymap[binding](layer)
    assert (layer.selected_label, layer.mode) == (1, "paint")
    assert widget.paint.table.currentRow() == 0


def test_bad_paint_is_one_clear_message(viewer, dock, qtbot, blocks, notifications):
    image = viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock()
    widget.bar.button.click()
    assert "Add a painted layer" in widget.bar.line.text()
    other = viewer.add_labels(np.ones((3, 4, 5), np.uint8))
    widget.paint.layer_box.choose(other)
    widget.bar.button.click()
    assert "(12, 24, 20)" in widget.bar.line.text()
    moved = viewer.add_labels(np.ones(blocks.shape, np.uint8), translate=(0, 5, 0))
    widget.paint.layer_box.choose(moved)
    widget.bar.button.click()
    assert "lies elsewhere" in widget.bar.line.text()
    assert not widget.bridge.is_running
    assert notifications == []
    assert widget.bar.button.isEnabled()
    assert image in viewer.layers


@pytest.mark.usefixtures("warm_child")
@pytest.mark.parametrize(("values", "message"), [((), "Nothing is painted"), ((2,), "Paint some background")])
def test_too_little_paint_is_one_clear_message(viewer, dock, qtbot, blocks, notifications, values, message):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock()
    widget.paint.add_button.click()
    for value in values:
        widget.paint.canvas.layer.data[3, value : value + 3, 2:9] = value
    widget.bar.button.click()
    finished(qtbot, widget)
    assert message in widget.bar.line.text()
    assert len(notifications) == 1
    assert widget.bar.button.isEnabled()


def painted_blocks(viewer, widget, blocks):
    """Paint of both kinds without a mouse."""
    widget.paint.add_button.click()
    layer = widget.paint.canvas.layer
    layer.data[3, 4:8, 3:6] = 2
    layer.data[3, 12:20, 3:6] = 1
    return layer


@pytest.mark.usefixtures("warm_child")
def test_a_renamed_layer_goes_on_and_a_removed_one_stops(viewer, dock, qtbot, blocks):
    image = viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock()
    layer = painted_blocks(viewer, widget, blocks)
    widget.bar.live.setChecked(True)
    image.name, layer.name = "other", "names"
    qtbot.waitUntil(lambda: bool(widget.results.versions.versions), timeout=PATIENCE)
    viewer.layers.remove(layer)
    finished(qtbot, widget)
    assert widget.paint.canvas is None
    widget.paint.layer_box.choose(None)
    assert widget.bar.button.isEnabled()


@pytest.mark.usefixtures("warm_child")
def test_another_image_in_the_layer_begins_anew(viewer, dock, qtbot, blocks):
    image = viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock()
    painted_blocks(viewer, widget, blocks)
    widget.bar.button.click()
    finished(qtbot, widget)
    assert (widget.layers.preview.volume[3, 5, 4], widget.layers.preview.volume[3, 16, 4]) == (1, 0)
    image.data = blocks[::-1].copy()
    assert widget.results.versions.versions == []
    widget.bar.button.click()
    finished(qtbot, widget)
    assert len(widget.results.versions.versions) == 1


@pytest.mark.usefixtures("warm_child")
def test_a_unet_is_trained_on_top_and_kept_only_where_it_is_better(viewer, dock, qtbot, blocks):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock()
    widget.choices.minutes.setValue(0.1)
    painted_blocks(viewer, widget, blocks)
    widget.bar.button.click()
    finished(qtbot, widget)
    kinds = [version.kind for version in widget.results.versions.versions]
    assert kinds[0] == "light head"
    assert kinds[1:] in (["trained U-Net"], ["light head with trees"]) or any(
        said in widget.bar.line.text() for said in ("was taken", "told apart")
    )
    assert widget.results.versions.current == widget.results.versions.versions[-1]


def test_a_killed_child_is_told_and_the_next_click_works(viewer, dock, qtbot, blocks, notifications):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"))
    widget = dock()
    layer = painted_blocks(viewer, widget, blocks)
    widget.bar.live.setChecked(True)
    qtbot.waitUntil(lambda: bool(widget.results.versions.versions), timeout=PATIENCE)
    qtbot.waitUntil(lambda: "Waiting" in widget.bar.line.text(), timeout=PATIENCE)
    os.kill(widget.bridge.pid, signal.SIGKILL)
    widget.bar.button.click()
    finished(qtbot, widget)
    assert "SIGKILL" in widget.bar.line.text()
    assert len(notifications) == 1
    assert np.count_nonzero(layer.data) == 36
    widget.bar.live.setChecked(False)
    widget.bar.button.click()
    finished(qtbot, widget)
    assert [version.kind for version in widget.results.versions.versions] == ["restored", "light head"]


def test_paint_is_on_the_disk_within_two_seconds(viewer, dock, qtbot, crop):
    path, _ = crop
    viewer.open(path, plugin="napari-unetseg")
    widget = dock()
    widget.paint.add_button.click()
    layer = widget.paint.canvas.layer
    qtbot.wait(1000)
    widget.paint._pick(2)
    stroke(viewer, (40, 40), (40, 50))
    began = time.monotonic() - waited("self")
    journal = path.parent / FOLDER / "brain.tif.paint"
    qtbot.waitUntil(lambda: np.array_equal(read_journal(journal).painted, layer.data), timeout=10_000)
    assert time.monotonic() - waited("self") - began < 2
    assert layer.data.any()


@pytest.mark.usefixtures("warm_child")
def test_uncertainty_is_shown_while_it_is_asked_for(viewer, dock, qtbot, blocks):
    image = viewer.add_image(blocks, axis_labels=("z", "y", "x"), scale=(2, 1, 1), translate=(5, 0, 3))
    widget = dock()
    painted_blocks(viewer, widget, blocks)
    widget.bar.button.click()
    finished(qtbot, widget)
    assert not widget.layers.uncertainty_view.is_shown
    active = viewer.layers.selection.active
    widget.guides.uncertainty_check.setChecked(True)
    layer = widget.layers.uncertainty_view.layer
    assert viewer.layers.selection.active is active
    assert (layer.data.shape, layer.data.dtype) == (blocks.shape, np.uint8)
    assert layer.scale.tolist() == image.scale.tolist()
    assert layer.translate.tolist() == image.translate.tolist()
    assert layer.data.any()
    assert widget.image.layer_box._index(layer) == -1
    viewer.layers.remove(layer)
    widget.bar.button.click()
    finished(qtbot, widget)
    assert widget.layers.uncertainty_view.is_shown
    widget.guides.uncertainty_check.setChecked(False)
    assert not widget.layers.uncertainty_view.is_shown


@pytest.mark.usefixtures("warm_child")
def test_where_next_goes_to_an_unpainted_slice_along_the_axis_in_view(viewer, dock, qtbot, blocks):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"), scale=(2, 1, 1), translate=(5, 0, 3))
    widget = dock()
    widget.guides.next_button.click()
    assert "painted layer" in widget.bar.line.text()
    painted_blocks(viewer, widget, blocks)
    widget.bar.button.click()
    finished(qtbot, widget)
    written(qtbot, widget)
    viewer.dims.set_current_step(0, 3)
    widget.guides.next_button.click()
    z = round((viewer.dims.point[0] - 5) / 2)
    assert z != 3
    assert f"Slice {z} along z" in widget.bar.line.text()
    viewer.dims.order = (1, 0, 2)
    widget.guides.next_button.click()
    y = round(viewer.dims.point[1])
    assert y not in (*range(4, 8), *range(12, 20))
    assert f"Slice {y} along y" in widget.bar.line.text()
    assert round((viewer.dims.point[0] - 5) / 2) == z


@pytest.mark.usefixtures("warm_child")
def test_the_model_is_applied_to_other_layers_and_files(viewer, dock, qtbot, blocks, tmp_path):
    viewer.add_image(blocks, axis_labels=("z", "y", "x"), name="mine")
    turned = np.ascontiguousarray(blocks[:, ::-1])
    other = viewer.add_image(turned, axis_labels=("z", "y", "x"), name="other", scale=(2, 1, 1))
    for name in ("one.tif", "two.tif"):
        tifffile.imwrite(tmp_path / name, turned, metadata={"axes": "ZYX"}, photometric="minisblack")
    (tmp_path / "broken.tif").write_bytes(b"no image")
    widget = dock()
    widget.image.layer_box.choose(viewer.layers["mine"])
    assert not widget.results.apply.isVisible()
    painted_blocks(viewer, widget, blocks)
    widget.bar.button.click()
    finished(qtbot, widget)
    actions = {action.text(): action for action in widget.results.apply.menu().actions()}
    assert "other" in actions
    assert not {"mine", "mine (uncertainty)"} & set(actions)
    with qtbot.waitSignal(widget.results.apply.bridge.returned, timeout=PATIENCE):
        actions["other"].trigger()
    layer = viewer.layers[-1]
    assert layer.name == "other (learned)"
    assert layer.scale.tolist() == other.scale.tolist()
    assert (layer.data[3, 24 - 6, 4], layer.data[3, 24 - 17, 4]) == (1, 0)

    out = tmp_path / "out"
    out.mkdir()
    with qtbot.waitSignal(widget.results.apply.bridge.returned, timeout=PATIENCE):
        widget.results.apply.apply_to_files([tmp_path / "one.tif", tmp_path / "broken.tif", tmp_path / "two.tif"], out)
    assert sorted(path.name for path in out.iterdir()) == ["one-learned.ome.tif", "two-learned.ome.tif"]
    assert np.array_equal(load_labels(out / "two-learned.ome.tif").array, layer.data)
    assert "2 done" in widget.results.apply.job.line.text()
    assert "broken.tif" in widget.results.apply.job.line.text()
    with qtbot.waitSignal(widget.results.apply.bridge.returned, timeout=PATIENCE):
        widget.results.apply.apply_to_files([tmp_path / "one.tif"], None)
    assert (tmp_path / "one-learned.ome.tif").is_file()


@pytest.mark.usefixtures("warm_child")
def test_one_learns_from_two_painted_images(viewer, dock, qtbot, blocks):
    """Background is painted on one image, the structure on the other."""
    first = viewer.add_image(blocks, axis_labels=("z", "y", "x"), name="first")
    widget = dock()
    widget.paint.add_button.click()
    painted = widget.paint.canvas
    painted.layer.data_setitem(tuple(np.array(np.nonzero(box(blocks, 12, 20)))), 1)
    written(qtbot, widget)
    assert widget.others.list.count() == 0

    second = viewer.add_image(np.ascontiguousarray(blocks[::-1]), axis_labels=("z", "y", "x"), name="second")
    widget.image.layer_box.choose(second)
    assert widget.paint.canvas is None
    widget.paint.add_button.click()
    widget.paint.canvas.layer.data_setitem(tuple(np.array(np.nonzero(box(blocks, 4, 8)))), 2)
    written(qtbot, widget)
    widget.bar.button.click()
    finished(qtbot, widget)
    assert "Paint some background" in widget.bar.line.text()
    widget.others.tick(painted)
    widget.bar.button.click()
    finished(qtbot, widget)
    assert widget.results.versions.current.painted == 24 + 12
    assert (widget.layers.preview.volume[8, 5, 4], widget.layers.preview.volume[8, 16, 4]) == (1, 0)

    viewer.layers.selection.active = painted.layer
    assert widget.image.layer_box.layer is first
    assert widget.paint.canvas is painted
    assert [canvas.image for canvas in widget.paint.others()] == [second]
    viewer.layers.remove(second)
    assert widget.others.list.count() == 0


def box(like, start, stop):
    """Marks one slice of the painted columns."""
    where = np.zeros(like.shape, bool)
    where[8, start:stop, 3:6] = True
    return where
