"""napari's own Open, Save and Open Sample."""

import nibabel as nib
import numpy as np
import pytest
import tifffile
from napari.layers import Labels as LabelsLayer
from scipy.spatial.transform import Rotation

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import load_labels, save_labels
from napari_unetseg.core.io.samples import list_samples
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.errors import InputError, OutputError
from napari_unetseg.plugin.layers.layer_data import labels_layer
from napari_unetseg.plugin.layers.reader import get_reader, read
from napari_unetseg.plugin.layers.writer import write_labels

NUCLEUS = Structure(label=1, name="nucleus", colour="#e69f00")
AFFINE = np.array([[0.0, -1.5, 0, 10], [0.9, 0, 0, -20], [0, 0, 2, 30], [0, 0, 0, 1]])
AFFINE[:3, :3] = Rotation.from_euler("x", 0.1).as_matrix() @ AFFINE[:3, :3]
"""Rotated, flipped and slightly oblique."""


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


def test_open_keeps_spacing_and_unit(viewer, tmp_path):
    path = tmp_path / "s.tif"
    array = np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7)
    tifffile.imwrite(
        path, array, imagej=True, resolution=(2, 2), metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    )
    (layer,) = viewer.open(path, plugin="napari-unetseg")
    assert np.array_equal(layer.data, array)
    assert layer.scale.tolist() == [2, 0.5, 0.5]
    assert {str(unit) for unit in layer.units} == {"micrometer"}


def test_open_takes_all_time_points(viewer, tmp_path):
    path = tmp_path / "t.tif"
    array = np.arange(3 * 4 * 6 * 7, dtype=np.uint8).reshape(3, 4, 6, 7)
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "TZYX"})
    (layer,) = viewer.open(path, plugin="napari-unetseg")
    assert np.array_equal(layer.data, array)


def test_open_shows_a_colour_picture_as_one(viewer, tmp_path):
    path = tmp_path / "c.tif"
    array = np.arange(6 * 7 * 3, dtype=np.uint8).reshape(6, 7, 3)
    tifffile.imwrite(path, array, photometric="rgb")
    (layer,) = viewer.open(path, plugin="napari-unetseg")
    assert layer.rgb
    assert np.array_equal(layer.data, array)


def test_labels_of_a_nifti_go_back_where_it_lies(viewer, tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (4, 5, 6)).astype(np.uint8)
    nifti = nib.Nifti1Image(image, AFFINE)
    nifti.header.set_xyzt_units("mm")
    nib.save(nifti, tmp_path / "i.nii.gz")
    (layer,) = viewer.open(tmp_path / "i.nii.gz", plugin="napari-unetseg")
    from napari_unetseg.plugin.layers.source import LayerSource

    source = LayerSource.of(layer, "ZYX")
    labels = Labels((source.volume().array[0] > 127).astype(np.uint8), source.grid, (NUCLEUS,))
    data, attributes = source.labels(labels, "l")
    viewer.add_labels(data, **attributes)
    (written,) = viewer.layers["l"].save(str(tmp_path / "l.nii.gz"), plugin="napari-unetseg")
    back = nib.load(written)
    assert np.allclose(back.affine, AFFINE, atol=1e-5)
    assert np.array_equal(np.asarray(back.dataobj), image > 127)


@pytest.mark.parametrize("suffix", [".ome.tif", ".nii.gz", ".ome.zarr", ".nrrd"])
def test_saved_labels_are_read_back(viewer, tmp_path, suffix):
    array = np.arange(24).reshape(2, 3, 4) % 2
    data, attributes, _ = labels_layer(Labels(array.astype(np.uint8), Grid((2.0, 0.5, 0.5), "µm"), (NUCLEUS,)))
    layer = viewer.add_labels(data, **attributes)
    (written,) = layer.save(str(tmp_path / f"l{suffix}"), plugin="napari-unetseg")
    back = load_labels(written)
    assert np.array_equal(back.array, array)
    assert back.grid.spacing_in("µm") == pytest.approx((2, 0.5, 0.5))


def test_saved_labels_open_as_labels_with_their_names(viewer, tmp_path):
    path = tmp_path / "l.ome.tif"
    save_labels(path, Labels(np.ones((2, 3, 4), np.uint8), Grid((1.0, 1.0, 1.0), "µm"), (NUCLEUS,)))
    (layer,) = viewer.open(path, plugin="napari-unetseg")
    assert isinstance(layer, LabelsLayer)
    assert layer.features["name"].tolist() == ["background", "nucleus"]


def test_labels_that_no_program_of_ours_made_can_be_saved(tmp_path):
    path = str(tmp_path / "painted.tif")
    write_labels(path, np.ones((3, 4), np.int64), {"scale": (2.0, 3.0), "name": "painted"})
    assert load_labels(path).array.tolist() == [[[1] * 4] * 3]


def test_a_time_series_of_labels_is_refused(tmp_path):
    with pytest.raises(OutputError, match="one time point"):
        write_labels(str(tmp_path / "l.tif"), np.ones((3, 2, 4, 4), np.uint8), {})
    assert list(tmp_path.iterdir()) == []


def test_a_persons_folder_is_not_replaced_by_labels(tmp_path):
    target = tmp_path / "precious.zarr"
    target.mkdir()
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="did not write"):
        write_labels(str(target), np.ones((2, 4, 4), np.uint8), {})
    assert (target / "thesis.txt").read_text() == "mine"


def test_a_folder_that_holds_no_image_is_left_to_others(tmp_path):
    assert get_reader(str(tmp_path)) is None


def test_a_damaged_file_is_told_in_one_line(tmp_path):
    path = tmp_path / "text.tif"
    path.write_text("not a tiff")
    with pytest.raises(InputError, match=r"text\.tif"):
        read(str(path))


@pytest.mark.parametrize("sample", [sample.name for sample in list_samples()])
def test_samples_open_with_their_reference_labels_hidden(viewer, sample):
    image, labels = viewer.open_sample("napari-unetseg", sample)
    assert image.data.shape == labels.data.shape
    assert np.allclose(image.scale, labels.scale)
    assert labels.data.max() > 0
    assert image.visible
    assert not labels.visible


def test_a_folder_of_ours_that_is_not_right_is_told_by_our_own_sentence(tmp_path):
    folder = tmp_path / "broken.zarr"
    folder.mkdir()
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    reader = get_reader(str(folder))
    assert reader is not None
    with pytest.raises(InputError, match="a Zarr group without an image"):
        reader(str(folder))
