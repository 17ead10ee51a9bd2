"""Cleaning in boxes gives what cleaning the whole gives; what needs the whole says so."""

import math

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.lazy import open_labels
from napari_unetseg.core.io.loadsave import label_sink, load_labels, save_labels
from napari_unetseg.core.postprocess.apply import clean
from napari_unetseg.core.postprocess.in_boxes import iter_clean_into
from napari_unetseg.core.progress import finish
from napari_unetseg.core.steps import Crf, Dilate, Erode, FillHoles, KeepLargest, NumberParts, RemoveSmall, Smooth
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.core.voxels import ArraySink
from napari_unetseg.errors import SettingsError

STRUCTURES = tuple(Structure(label=i, name=f"s{i}", colour="#ff0000") for i in (1, 2, 3))


def blobs(*shape):
    """Rough structures with holes, on voxels that are no cubes."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 4, [-(-n // 4) for n in shape])
    array = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)[tuple(slice(n) for n in shape)].astype(np.uint8)
    array[random.random(shape) < 0.2] = 0
    return Labels(array, Grid((2.0, 1.0, 1.0), "µm"), STRUCTURES)


class Watched:
    """Labels that remember the largest box that was read of them."""

    def __init__(self, labels):
        self.labels, self.largest = labels, 0

    def __getattr__(self, name):
        return getattr(self.labels, name)

    def read(self, box):
        self.largest = max(self.largest, math.prod(stop - start for start, stop in box))
        return self.labels.read(box)


LOCAL = [
    (Dilate(distance=2.0, unit="µm"),),
    (Erode(distance=1.5, unit="µm", structures=(1, 3)),),
    (Smooth(radius=1.0, unit="µm"),),
    (FillHoles(per_slice=True),),
    (Erode(distance=1, unit="pixel"), Dilate(distance=2, unit="pixel", structures=(2,))),
]


@pytest.mark.parametrize("steps", LOCAL)
@pytest.mark.parametrize("shape", [(24, 20, 25), (1, 30, 25)])
def test_boxes_give_what_the_whole_gives(steps, shape, monkeypatch):
    labels = blobs(*shape)
    expected = clean(labels, steps).array
    assert (expected != labels.array).any()
    monkeypatch.setattr("napari_unetseg.core.voxels.BLOCK", 600)
    watched, found = Watched(labels), np.full(shape, 9, np.uint8)
    cleaned = finish(iter_clean_into(ArraySink(found), watched, steps))
    np.testing.assert_array_equal(found, expected)
    assert (cleaned.structures, cleaned.notes) == (STRUCTURES, ())
    assert shape[0] == 1 or watched.largest < found.size


@pytest.mark.parametrize("steps", [(RemoveSmall(volume=40, unit="µm"),), (KeepLargest(),), (FillHoles(),)])
def test_what_needs_connected_parts_gathers_and_says_so(steps):
    labels = blobs(9, 20, 25)
    found = np.zeros(labels.shape, np.uint8)
    cleaned = finish(iter_clean_into(ArraySink(found), labels, steps))
    np.testing.assert_array_equal(found, clean(labels, steps).array)
    assert "in memory" in cleaned.notes[0]
    assert steps[0].kind.replace("_", " ") in cleaned.notes[0]


def test_numbered_parts_are_objects():
    labels = Labels(np.array([[[2, 2, 0, 2, 1, 2]]], np.uint8), structures=STRUCTURES)
    found = np.zeros(labels.shape, np.uint16)
    cleaned = finish(iter_clean_into(ArraySink(found), labels, (NumberParts(structures=(2,)),)))
    assert (cleaned.are_objects, [s.name for s in cleaned.structures]) == (True, ["s2"])
    assert found.ravel().tolist() == [1, 1, 0, 2, 0, 3]


def test_from_zarr_to_zarr(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unetseg.core.io.formats.ome_zarr.CHUNK", (4, 8, 8))
    monkeypatch.setattr("napari_unetseg.core.voxels.BLOCK", 600)
    labels, steps = blobs(13, 20, 25), (Dilate(distance=2.0, unit="µm"),)
    save_labels(tmp_path / "in.zarr", labels)
    source = open_labels(tmp_path / "in.zarr")
    with label_sink(tmp_path / "out.zarr", source, source.structures) as sink:
        finish(iter_clean_into(sink, source, steps))
    np.testing.assert_array_equal(load_labels(tmp_path / "out.zarr").array, clean(labels, steps).array)


def test_a_step_that_needs_more_than_labels_is_refused():
    labels = blobs(5, 12, 12)
    with pytest.raises(SettingsError):
        finish(iter_clean_into(ArraySink(labels.array.copy()), labels, (Crf(),)))
