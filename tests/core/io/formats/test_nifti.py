"""Labels lie on their image voxel for voxel, whatever the affine, as nibabel and SimpleITK see it."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the custom of the field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.orientations import aff2axcodes
from scipy.spatial.transform import Rotation

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_labels
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import InputError

SHAPE = (5, 6, 7)
affines = st.builds(
    lambda angles, order, signs, sizes, place: _affine(angles, order, signs, sizes, place),
    st.tuples(*[st.floats(-0.6, 0.6)] * 3),
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from([-1, 1])] * 3),
    st.tuples(*[st.floats(0.2, 5)] * 3),
    st.tuples(*[st.floats(-300, 300)] * 3),
)


def _affine(angles, order, signs, sizes, place) -> np.ndarray:
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", angles).as_matrix()
    affine[:3, :3] = rotation @ (np.eye(3)[:, order] * np.array(signs)) * np.array(sizes)
    affine[:3, 3] = place
    return affine


def write(path: Path, array: np.ndarray, affine: np.ndarray, unit: str = "mm") -> Path:
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return path


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=affines)
def test_labels_lie_on_their_image(affine: np.ndarray, tmp_path: Path) -> None:
    array = np.arange(np.prod(SHAPE), dtype=np.uint8).reshape(SHAPE)
    image_path = write(tmp_path / "image.nii.gz", array, affine)
    volume = load_volume(image_path)
    save_labels(tmp_path / "labels.nii.gz", Labels(volume.array[0], volume.grid))
    image, labels = nib.load(image_path), nib.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(labels.dataobj), array)
    np.testing.assert_allclose(labels.affine, image.affine, rtol=1e-6, atol=1e-6)
    itk_image, itk_labels = (sitk.ReadImage(str(tmp_path / n)) for n in ("image.nii.gz", "labels.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(itk_labels), sitk.GetArrayFromImage(itk_image))
    for geometry in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(itk_labels, geometry)(), getattr(itk_image, geometry)(), atol=2e-5)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=affines)
def test_memory_runs_to_superior_posterior_left(affine: np.ndarray, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 1000, SHAPE, dtype=np.int16)
    volume = load_volume(write(tmp_path / "image.nii", array, affine))
    assert volume.grid.scanner is not None
    frame = np.array(volume.grid.scanner.affine)
    assert aff2axcodes(frame) == ("S", "P", "L")
    assert volume.grid.scanner.file_codes == aff2axcodes(affine)
    np.testing.assert_allclose(volume.grid.spacing, np.linalg.norm(frame[:3, :3], axis=0))
    stored = nib.load(tmp_path / "image.nii").affine
    for zyx in np.ndindex(volume.shape):  # each voxel lies where the file says that its value lies
        ijk = np.linalg.solve(stored, frame @ [*zyx, 1])[:3].round().astype(int)
        assert volume.array[(0, *zyx)] == array[tuple(ijk)]


def test_labels_of_a_crop_lie_inside_the_image(tmp_path: Path) -> None:
    affine = _affine((0.3, -0.2, 0.1), (2, 0, 1), (1, -1, 1), (1.5, 0.5, 3), (10, 20, 30))
    array = np.arange(np.prod(SHAPE), dtype=np.uint8).reshape(SHAPE)
    path = write(tmp_path / "image.nii.gz", array, affine)
    z, y, x = inspect(path).shape
    volume = load_volume(path, Selection(crop=((1, z), (2, y - 1), (1, x - 2))))
    save_labels(tmp_path / "crop.nii.gz", Labels(volume.array[0], volume.grid))
    crop = nib.load(tmp_path / "crop.nii.gz")
    stored = nib.load(path).affine
    for ijk in np.ndindex(crop.shape):
        whole = np.linalg.solve(stored, crop.affine @ [*ijk, 1])[:3].round().astype(int)
        assert crop.dataobj[ijk] == array[tuple(whole)]


def test_a_sheared_affine_is_kept(tmp_path: Path) -> None:
    affine = np.array([[1.0, 0.4, 0, 5], [0, 1, 0, 6], [0, 0.2, 2, 7], [0, 0, 0, 1]])
    volume = load_volume(write(tmp_path / "image.nii", np.ones(SHAPE, np.uint8), affine))
    save_labels(tmp_path / "labels.nii", Labels(volume.array[0], volume.grid))
    labels = nib.load(tmp_path / "labels.nii")
    np.testing.assert_array_equal(labels.affine, affine.astype(np.float32))
    assert (labels.header["qform_code"], labels.header["sform_code"]) == (0, 1)


def test_both_forms_are_written_for_a_rigid_affine(tmp_path: Path) -> None:
    save_labels(tmp_path / "labels.nii", Labels(np.ones((2, 3, 4), np.int64), Grid((3, 2, 1), "mm")))
    header = nib.load(tmp_path / "labels.nii").header
    assert (header["qform_code"], header["sform_code"]) == (1, 1)
    assert header.get_data_dtype() == np.uint8
    assert header.get_data_shape() == (4, 3, 2)
    np.testing.assert_allclose(header.get_zooms(), (1, 2, 3))


@pytest.mark.parametrize(("code", "unit"), [("mm", "mm"), ("micron", "µm"), ("meter", "m"), ("unknown", "mm")])
def test_units(code: str, unit: str, tmp_path: Path) -> None:
    grid = load_volume(write(tmp_path / "image.nii", np.ones(SHAPE, np.uint8), np.diag([1, 2, 3, 1.0]), code)).grid
    assert (grid.spacing, grid.unit) == ((3, 2, 1), unit)
    save_labels(tmp_path / "labels.nii", Labels(np.ones((7, 6, 5), np.uint8), grid))
    labels = nib.load(tmp_path / "labels.nii")
    np.testing.assert_allclose(labels.affine, np.diag([1, 2, 3, 1.0]))
    assert labels.header.get_xyzt_units()[0] == ("mm" if code == "unknown" else code)


@pytest.mark.parametrize("affine", [np.diag([np.nan, 1, 1, 1]), np.diag([1.0, 1, 0, 1]), np.zeros((4, 4))])
def test_a_senseless_affine_warns_and_counts_as_unit_spacing(affine: np.ndarray, tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones(SHAPE, np.uint8), None)
    image.header.set_sform(affine, code=1)
    path = tmp_path / "image.nii"
    nib.Nifti1Image(np.ones(SHAPE, np.uint8), None, image.header).to_filename(path)
    header = bytearray(path.read_bytes())
    header[252:256] = np.array([0, 1], np.int16).tobytes()
    header[280:328] = affine[:3].astype(np.float32).tobytes()
    path.write_bytes(header)
    with pytest.warns(UserWarning, match="singular"):
        volume = load_volume(path)
    assert (volume.grid.spacing, volume.grid.unit) == ((1, 1, 1), "mm")
    assert "singular" in inspect(path).notes[0]


@pytest.mark.parametrize(("size", "words"), [(0.0, "voxel size of 0"), (-2.0, "negative voxel size")])
def test_a_senseless_spacing_is_mended_in_a_note_and_prints_nothing_itself(
    size: float, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "image.nii"
    nib.save(nib.Nifti1Image(np.ones((4, 3, 2), np.uint8), np.eye(4)), path)
    header = bytearray(path.read_bytes())
    header[80:92] = np.array([size, size, 1], "<f4").tobytes()  # pixdim 1 to 3
    header[252:256] = bytes(4)  # no orientation
    path.write_bytes(header)
    with pytest.warns(UserWarning, match=words):
        volume = load_volume(path)
    assert volume.grid.spacing == (1, abs(size) or 1, abs(size) or 1)
    assert capfd.readouterr() == ("", "")


def test_the_fourth_axis_is_time(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    path = write(tmp_path / "image.nii", array, np.diag([-1, -1, 1, 1.0]))
    assert (inspect(path).times, inspect(path).shape) == (2, (5, 4, 3))
    np.testing.assert_array_equal(load_volume(path, Selection(time=1)).array[0], array[..., 1].T)


def test_the_fifth_axis_is_channels(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(3, 4, 5, 1, 2)).astype(np.float32)
    volume = load_volume(write(tmp_path / "image.nii", array, np.diag([-1, -1, 1, 1.0])))
    np.testing.assert_array_equal(volume.array, array[:, :, :, 0].T)


def test_colour_and_scaled_and_flat_images(tmp_path: Path) -> None:
    flip = np.diag([-1, -1, 1, 1.0])
    rgb = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 3), dtype=np.uint8)
    packed = rgb.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    colour = load_volume(write(tmp_path / "rgb.nii", packed, flip))
    assert colour.is_colour
    np.testing.assert_array_equal(colour.array, rgb.T)
    scaled = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), flip)
    scaled.header.set_slope_inter(0.5, -10)
    nib.save(scaled, tmp_path / "scaled.nii")
    got = load_volume(tmp_path / "scaled.nii").array
    assert got.dtype == inspect(tmp_path / "scaled.nii").dtype == np.float32
    np.testing.assert_array_equal(got[0], np.asanyarray(nib.load(tmp_path / "scaled.nii").dataobj).T)
    flat = load_volume(write(tmp_path / "flat.nii", np.arange(12, dtype=np.uint8).reshape(3, 4), flip))
    np.testing.assert_array_equal(flat.array[0, 0], np.arange(12).reshape(3, 4).T)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_off_is_refused(suffix: str, share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 20, 20), dtype=np.uint8)
    path = write(tmp_path / f"image{suffix}", noise, np.eye(4))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"image\.nii"):
        load_volume(path)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 20, 20), dtype=np.uint8)
    path = write(tmp_path / "image.nii.gz", noise, np.eye(4))
    raw = bytearray(gzip.decompress(path.read_bytes()))
    packed = bytearray(gzip.compress(bytes(raw), compresslevel=0))
    packed[-100] ^= 0xFF  # a voxel changed on the way: only the checksum tells
    path.write_bytes(packed)
    with pytest.raises(InputError):
        load_volume(path)


def test_labels_of_whole_reals_are_taken_and_others_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.nii", np.full((2, 2, 2), 3.0, np.float32), np.eye(4))
    assert load_labels(whole).array.dtype == np.uint8
    assert load_labels(whole).array.max() == 3
    for name, value in {"half": 0.5, "nan": np.nan, "inf": np.inf, "negative": -1.0}.items():
        path = write(tmp_path / f"{name}.nii", np.full((2, 2, 2), value, np.float32), np.eye(4))
        with pytest.raises(InputError):
            load_labels(path)
        np.testing.assert_array_equal(load_volume(path).array, value)  # an image may hold anything


def test_a_spacing_given_by_the_user_reaches_the_affine(tmp_path: Path) -> None:
    path = write(
        tmp_path / "image.nii",
        np.ones(SHAPE, np.uint8),
        _affine((0.2, 0, 0), (0, 1, 2), (-1, -1, 1), (1, 2, 3), (4, 5, 6)),
    )
    volume = load_volume(path, Selection(spacing=(6, 1, 1)))
    assert (volume.grid.spacing, volume.grid.unit) == ((6, 1, 1), "mm")
    save_labels(tmp_path / "labels.nii", Labels(volume.array[0], volume.grid))
    labels = nib.load(tmp_path / "labels.nii").affine
    np.testing.assert_allclose(np.linalg.norm(labels[:3, :3], axis=0), (1, 1, 6), rtol=1e-6)
    directions = [a[:3, :3] / np.linalg.norm(a[:3, :3], axis=0) for a in (labels, nib.load(path).affine)]
    np.testing.assert_allclose(*directions, atol=1e-6)
    np.testing.assert_allclose(labels[:3, 3], (4, 5, 6), rtol=1e-6)
