"""Files are read in boxes and time points as if they were loaded; Zarr is written in boxes, whole or not at all."""

import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
import zarr

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.formats.zarr_chunks import ZarrSink
from napari_unetseg.core.io.lazy import open_labels, open_volume
from napari_unetseg.core.io.loadsave import (
    label_sink,
    load_labels,
    load_volume,
    save_labels,
    save_volume,
    volume_sink,
)
from napari_unetseg.core.models.card import Normalisation
from napari_unetseg.core.models.normalisation import count_not_finite, normaliser
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.core.voxels import blocks, partition
from napari_unetseg.errors import InputError, OutputError, SettingsError

RANDOM = np.random.default_rng(0)
GRID = Grid((2.0, 0.5, 0.5), "µm", (1.0, 2.0, 3.0))
IMAGE = Volume(RANDOM.normal(size=(2, 7, 33, 41)).astype(np.float32), GRID, ("a", "b"))
LABELS = RANDOM.integers(0, 3, (7, 33, 41), dtype=np.uint8)
STRUCTURES = (Structure(label=1, name="cell", colour="#ff0000"), Structure(label=2, name="wall", colour="#00ff00"))
FILES = ["a.zarr", "a.ome.tif", "a.nii", "a.nii.gz"]


def recomposed(source, most=500):
    parts = [(box, source.read(box)) for box in blocks(source, most)]
    whole = np.zeros((*parts[0][1].shape[:-3], *source.shape), np.result_type(*(part for _, part in parts)))
    for box, part in parts:
        whole[(..., *(slice(*span) for span in box))] = part
    return whole


@pytest.mark.parametrize("name", FILES)
def test_boxes_of_a_file_are_those_of_what_is_loaded(name, tmp_path):
    save_volume(tmp_path / name, IMAGE)
    selection = Selection(channels=(1,), crop=((1, 6), (3, 30), (0, 40)))
    for asked in (Selection(), selection):
        source, loaded = open_volume(tmp_path / name, asked), load_volume(tmp_path / name, asked)
        assert (source.shape, source.grid, source.channels) == (loaded.shape, loaded.grid, loaded.channels)
        assert (source.dtype, source.name, source.is_2d) == (loaded.dtype, loaded.name, loaded.is_2d)
        np.testing.assert_array_equal(recomposed(source), loaded.array)
    assert loaded.shape == (5, 27, 40)


def test_a_format_without_boxes_is_loaded_once_and_not_sent_along(tmp_path):
    save_volume(tmp_path / "a.nii.gz", IMAGE)
    source = open_volume(tmp_path / "a.nii.gz")
    first = source.read(((0, 1), (0, 2), (0, 2)))
    assert np.shares_memory(first, source.read(((0, 1), (0, 2), (0, 2))))
    again = pickle.loads(pickle.dumps(source))
    assert len(pickle.dumps(source)) < IMAGE.array.nbytes / 10
    np.testing.assert_array_equal(recomposed(again), IMAGE.array)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("method", ["percentile", "zscore"])
def test_intensities_of_a_file_are_measured_as_in_memory(name, method, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unetseg.core.models.normalisation.SAMPLE", 1000)
    monkeypatch.setattr("napari_unetseg.core.voxels.BLOCK", 400)
    array = IMAGE.array.copy()
    array[0, 2, 3, 4:6] = np.nan
    save_volume(tmp_path / name, Volume(array, GRID))
    source, loaded = open_volume(tmp_path / name), load_volume(tmp_path / name)
    for mix in (None, np.array([[0.25, 0.75]])):
        of_file, of_array = (normaliser(s, Normalisation(method=method), mix) for s in (source, loaded))
        for field in ("offset", "scale", "fill"):
            np.testing.assert_array_equal(getattr(of_file, field), getattr(of_array, field))
    assert count_not_finite(source) == 2


def test_a_huge_volume_is_measured_at_some_places_the_same_ones_wherever_it_is_kept(tmp_path, monkeypatch):
    for name, value in {"MOST_READ": 1000, "SAMPLE": 4000, "BLOCKS": 60}.items():
        monkeypatch.setattr(f"napari_unetseg.core.models.normalisation.{name}", value)
    save_volume(tmp_path / "a.zarr", IMAGE)
    of_file, of_array = (normaliser(s, Normalisation()) for s in (open_volume(tmp_path / "a.zarr"), IMAGE))
    np.testing.assert_array_equal(of_file.offset, of_array.offset)
    low, high = np.percentile(IMAGE.array, (Normalisation().low, Normalisation().high), axis=(1, 2, 3))
    np.testing.assert_allclose(of_file.offset, low, rtol=0.15)
    np.testing.assert_allclose(of_file.offset + 1 / of_file.scale, high, rtol=0.15)


@pytest.mark.parametrize("name", FILES)
def test_labels_are_read_in_boxes(name, tmp_path):
    save_labels(tmp_path / name, Labels(LABELS, GRID, STRUCTURES))
    source = open_labels(tmp_path / name)
    np.testing.assert_array_equal(recomposed(source), LABELS)
    assert [s.name for s in source.structures] == ["cell", "wall"]
    assert (source.grid.spacing, source.are_objects) == (GRID.spacing, False)


def test_labels_of_two_channels_or_of_fractions_are_refused(tmp_path):
    save_volume(tmp_path / "a.zarr", IMAGE)
    with pytest.raises(InputError, match="2 channels"):
        open_labels(tmp_path / "a.zarr")
    source = open_labels(tmp_path / "a.zarr", Selection(channels=(0,)))
    with pytest.raises(InputError, match="not whole"):
        source.read(((0, 1), (0, 1), (0, 1)))


MOVIE = RANDOM.integers(0, 255, (4, 3, 5, 6), dtype=np.uint8)  # t, z, y, x


def movie(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".nii"):
        nib.save(nib.Nifti1Image(MOVIE.transpose(3, 2, 1, 0), np.diag([-1, -1, 1, 1])), path)
    elif name.endswith(".zarr"):
        zarr.create_array(str(path), data=MOVIE[:, None], chunks=(1, 1, 2, 5, 6))  # t, c, z, y, x
    elif name.startswith("imagej"):
        tifffile.imwrite(path, MOVIE, imagej=True, metadata={"axes": "TZYX"})
    else:
        tifffile.imwrite(path, MOVIE, ome=True, metadata={"axes": "TZYX"})
    return path


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["a.ome.tif", "imagej.tif", "a.zarr", "a.nii"])
def test_time_points_are_read_when_they_are_asked_for(name, tmp_path):
    path = movie(tmp_path, name)
    crop = ((1, 3), (0, 5), (2, 4))
    loaded, source = load_volume(path, Selection(time=1, crop=crop)), open_volume(path, Selection(crop=crop))
    assert (loaded.time, loaded.times, source.time, source.times) == (1, 4, 0, 4)
    for time in (3, 1, 0):
        expected = MOVIE[time, 1:3, :, 2:4][None]
        np.testing.assert_array_equal(loaded.at(time).array, expected)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(loaded)).at(time).array, expected)
        np.testing.assert_array_equal(source.at(time).read(((0, 2), (0, 5), (0, 2))), expected)
        assert source.at(time).load().time == loaded.at(time).time == time
    with pytest.raises(SettingsError, match="time point of 0 to 3"):
        source.at(4)


@pytest.mark.parametrize("size", [(4, 16, 16), (3, 10, 41), (7, 33, 41), (1, 1, 50)])
@pytest.mark.parametrize("seed", range(2))
def test_labels_written_in_any_order_are_those_written_at_once(size, seed, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unetseg.core.io.formats.ome_zarr.CHUNK", (4, 16, 16))
    monkeypatch.setattr("napari_unetseg.core.io.formats.ome_zarr.COARSEST", 12)
    boxes = list(partition(LABELS.shape, size, 1))
    with label_sink(tmp_path / "boxes.zarr", IMAGE, STRUCTURES) as sink:
        for index in np.random.default_rng(seed).permutation(len(boxes)):
            sink.write(boxes[index], LABELS[tuple(slice(*span) for span in boxes[index])])
    save_labels(tmp_path / "once.zarr", Labels(LABELS, GRID, STRUCTURES))
    for level in range(3):
        boxed, once = (load_labels(tmp_path / f"{name}.zarr", Selection(level=level)) for name in ("boxes", "once"))
        np.testing.assert_array_equal(boxed.array, once.array)
        assert (boxed.grid, boxed.structures) == (once.grid, once.structures)


def test_probabilities_are_written_in_boxes(tmp_path):
    with volume_sink(tmp_path / "p.zarr", IMAGE, ("a", "b")) as sink:
        for box in blocks(IMAGE, 999):
            sink.write(box, IMAGE.read(box))
    loaded = load_volume(tmp_path / "p.zarr")
    np.testing.assert_array_equal(loaded.array, IMAGE.array)
    assert (loaded.channels, loaded.grid) == (IMAGE.channels, IMAGE.grid)


def test_what_did_not_come_whole_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="did not get all"), label_sink(tmp_path / "a.zarr", IMAGE, STRUCTURES) as sink:
        sink.write(((0, 7), (0, 33), (0, 40)), LABELS[..., :40])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match=r"\.zarr"), label_sink(tmp_path / "a.tif", IMAGE, STRUCTURES):
        pass


def test_a_chunk_is_on_disk_when_it_is_whole_and_boxes_may_come_again(tmp_path):
    array = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=(4, 8, 8), dtype="u1", chunks=(4, 4, 4), config={"write_empty_chunks": True}
    )
    sink = ZarrSink(array)
    chunk = tmp_path / "a.zarr/c/0/0/0"
    top, bottom = ((0, 2), (0, 4), (0, 4)), ((2, 4), (0, 4), (0, 4))
    for value in (1, 2):
        sink.write(top, np.full((2, 4, 4), value))
        assert (sink.waiting, chunk.exists()) == (1, value == 2)
        sink.write(bottom, np.full((2, 4, 4), value))
        assert (sink.waiting, chunk.exists()) == (0, True)
        assert (np.asarray(array[:, :4, :4]) == value).all()
    with pytest.raises(ValueError, match="3 chunks"):
        sink.finish()
