"""NRRD and MetaImage, as SimpleITK and 3D Slicer write and read them."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the custom of the field
from scipy.spatial.transform import Rotation

from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_labels
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.errors import InputError

rng = np.random.default_rng(0)
OBLIQUE = Rotation.from_euler("xyz", (0.2, -0.3, 0.1)).as_matrix() @ np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]])


def image(array: np.ndarray, direction: np.ndarray = OBLIQUE, is_vector: bool = False) -> sitk.Image:
    made = sitk.GetImageFromArray(array, isVector=is_vector)
    made.SetSpacing((0.5, 1.5, 3.0))
    made.SetOrigin((10, -20, 30))
    made.SetDirection(direction.ravel().tolist())
    return made


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("direction", [np.eye(3), np.diag([-1.0, 1, -1]), OBLIQUE])
def test_labels_lie_on_their_image(suffix: str, direction: np.ndarray, tmp_path: Path) -> None:
    made = image(rng.integers(0, 255, (4, 5, 6), dtype=np.uint8), direction)
    path = tmp_path / f"image{suffix}"
    sitk.WriteImage(made, str(path))
    volume = load_volume(path)
    for name in ("labels.nrrd", "labels.nii.gz"):
        save_labels(tmp_path / name, Labels(volume.array[0], volume.grid))
        labels = sitk.ReadImage(str(tmp_path / name))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(labels), sitk.GetArrayFromImage(made))
        for geometry in ("GetOrigin", "GetSpacing", "GetDirection"):
            np.testing.assert_allclose(getattr(labels, geometry)(), getattr(made, geometry)(), atol=1e-5)


def test_the_standard_orientation_is_left_as_it_is(tmp_path: Path) -> None:
    array = rng.normal(size=(4, 5, 6)).astype(np.float32)
    sitk.WriteImage(image(array, np.eye(3)), str(tmp_path / "image.mha"))
    volume = load_volume(tmp_path / "image.mha")
    np.testing.assert_array_equal(volume.array[0], array)
    assert (volume.grid.spacing, volume.grid.unit, volume.grid.origin) == ((3, 1.5, 0.5), "mm", (30, -20, 10))
    assert inspect(tmp_path / "image.mha").dtype == np.float32
    crop = load_volume(tmp_path / "image.mha", Selection(crop=((1, 3), (2, 4), (0, 5))))
    np.testing.assert_array_equal(crop.array[0], array[1:3, 2:4, 0:5])


def test_vectors_are_channels(tmp_path: Path) -> None:
    array = rng.integers(0, 255, (4, 5, 6, 2), dtype=np.int16)
    sitk.WriteImage(image(array, np.eye(3), is_vector=True), str(tmp_path / "image.nrrd"))
    np.testing.assert_array_equal(load_volume(tmp_path / "image.nrrd").array, np.moveaxis(array, -1, 0))


def test_a_flat_image(tmp_path: Path) -> None:
    array = rng.integers(0, 255, (5, 6), dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "image.mha"))
    np.testing.assert_array_equal(load_volume(tmp_path / "image.mha").array, array[None, None])


def test_slicer_finds_segments_by_name_and_colour(tmp_path: Path) -> None:
    structures = (
        Structure(label=1, name="tumour", colour="#ff0000"),
        Structure(label=4, name="left kidney", colour="#336699"),
    )
    save_labels(tmp_path / "a.seg.nrrd", Labels(np.array([[[0, 1], [4, 0]]], np.uint8), structures=structures))
    keys = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))
    assert keys.GetMetaData("Segment1_Name") == "left kidney"
    assert keys.GetMetaData("Segment1_LabelValue") == "4"
    np.testing.assert_allclose(
        [float(v) for v in keys.GetMetaData("Segment1_Color").split()], (0.2, 0.4, 0.6), atol=1e-6
    )
    assert keys.GetMetaData("Segment0_Extent") == "0 1 0 1 0 0"
    assert load_labels(tmp_path / "a.seg.nrrd").structures == structures


def test_segments_written_by_slicer(tmp_path: Path) -> None:
    made = sitk.GetImageFromArray(np.array([[[0, 1], [2, 0]]], np.uint8))
    for i, (name, value) in enumerate([("lung", 2), ("heart", 1)]):
        made.SetMetaData(f"Segment{i}_Name", name)
        made.SetMetaData(f"Segment{i}_LabelValue", str(value))
        made.SetMetaData(f"Segment{i}_Color", "1 0.5 0")
    sitk.WriteImage(made, str(tmp_path / "a.seg.nrrd"))
    found = load_labels(tmp_path / "a.seg.nrrd").structures
    assert [(s.name, s.label, s.colour) for s in found] == [("lung", 2, "#ff8000"), ("heart", 1, "#ff8000")]


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.97])
def test_a_file_cut_off_is_refused(suffix: str, compress: bool, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    sitk.WriteImage(image(rng.integers(0, 255, (20, 20, 20), dtype=np.uint8)), str(path), useCompression=compress)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=f"image{suffix}"):
        load_volume(path)
