"""Sheared grids: told in a note, with volumes right, and straight on request."""

import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the custom of the field

from napari_unetseg.core.io.lazy import open_volume
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume
from napari_unetseg.core.notes import as_note
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Volume
from napari_unetseg.errors import InputError

SHEAR = np.array([[-2.0, 0.0, -1.0, 5.0], [0.0, -2.0, -2.0, 6.0], [0.0, 0.0, 3.0, 7.0], [0, 0, 0, 1]])
"""Each slice is half a voxel further left and one voxel further back than the one below."""
STRAIGHTEN = Selection(resample=True)
rng = np.random.default_rng(0)


def write(path: Path, array: np.ndarray, affine: np.ndarray = SHEAR) -> Path:
    """An array (i, j, k) at an affine to (right, anterior, superior)."""
    if path.suffix == ".nii":
        image = nib.Nifti1Image(array, affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, path)
        return path
    lps, made = np.diag([-1, -1, 1, 1.0]) @ affine, sitk.GetImageFromArray(array.T)
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    made.SetSpacing(sizes.tolist())
    made.SetDirection((lps[:3, :3] / sizes).ravel().tolist())
    made.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(made, str(path))
    return path


def codes(path: Path) -> list[str]:
    return [as_note(note).code for note in inspect(path).notes]


def voxel_at(volume: Volume, place: np.ndarray) -> np.ndarray:
    assert volume.grid.scanner is not None
    return np.linalg.solve(np.array(volume.grid.scanner.affine), [*place, 1])[:3]


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_a_sheared_grid_is_told_and_its_volumes_are_right(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}", np.ones((4, 5, 6), np.uint8))
    assert codes(path) == ["grid-sheared"]
    with pytest.warns(UserWarning, match="sheared"):
        volume = load_volume(path)
    assert volume.shape == (6, 5, 4)
    np.testing.assert_allclose(volume.grid.spacing, (3, 2, 2), rtol=1e-6)
    assert np.prod(volume.grid.spacing) == pytest.approx(abs(np.linalg.det(SHEAR)))


@pytest.mark.parametrize("lean", [0.0, 0.005])
def test_rounding_is_no_shear(lean: float, tmp_path: Path) -> None:
    affine = np.array([[-2.0, 0, 0, 5], [0, -2, 3 * lean, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    assert codes(write(tmp_path / "a.nrrd", np.ones((4, 5, 6), np.uint8), affine)) == []


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_a_straightened_image_has_its_values_where_they_were(suffix: str, tmp_path: Path) -> None:
    array = rng.integers(-1000, 3000, (6, 7, 5)).astype(np.int16)
    path = write(tmp_path / f"a{suffix}", array)
    with pytest.warns(UserWarning, match="resampled to a straight one"):
        volume = load_volume(path, STRAIGHTEN)
    assert (volume.shape, volume.dtype) == ((5, 11, 8), np.int16)  # shifted by up to 4 along y and 2 along x
    affine = np.array(volume.grid.scanner.affine)
    np.testing.assert_allclose(affine[:3, :3].T @ affine[:3, :3], np.diag([9, 4, 4]), atol=1e-5)
    np.testing.assert_allclose(volume.grid.spacing, (3, 2, 2), rtol=1e-6)
    for i, j, k in np.ndindex(array.shape):
        z, y, x = voxel_at(volume, (SHEAR @ [i, j, k, 1])[:3])
        if k % 2 == 0:  # whole voxels
            assert volume.array[0, round(z), round(y), round(x)] == array[i, j, k]
        elif i < 5:  # between this one and the next
            middle = array[i : i + 2, j, k].mean()
            assert volume.array[0, round(z), round(y), round(x + 0.5)] == pytest.approx(middle, abs=0.5)
    box = load_volume(path, Selection(resample=True, crop=((1, 4), (2, 9), (0, 5))))
    np.testing.assert_array_equal(box.array, volume.array[:, 1:4, 2:9, 0:5])
    np.testing.assert_allclose(voxel_at(volume, np.array(box.grid.scanner.affine)[:3, 3]), (1, 2, 0), atol=1e-5)


def test_straightened_labels_keep_their_numbers(tmp_path: Path) -> None:
    array = rng.choice(np.array([0, 1, 7, 200], np.uint8), (6, 7, 5))
    path = write(tmp_path / "a.nii", array)
    with pytest.warns(UserWarning, match="straight"):
        labels = load_labels(path, STRAIGHTEN)
    assert labels.shape == (5, 11, 8)
    assert set(np.unique(labels.array)) == {0, 1, 7, 200}
    np.testing.assert_array_equal(np.sort(labels.array[0].ravel())[-42:], np.sort(array[..., 0].ravel()))


def test_times_and_channels_are_straightened_one_by_one(tmp_path: Path) -> None:
    array = rng.normal(size=(4, 5, 3, 2, 2)).astype(np.float32)
    path = write(tmp_path / "a.nii", array)
    with pytest.warns(UserWarning, match="straight"):
        volume = load_volume(path, Selection(resample=True, time=1, channels=(1,)))
    np.testing.assert_allclose(volume.array[0, 0, :5, :4], array[:, :, 0, 1, 1].T)


def test_another_process_reads_a_straightened_file_too(tmp_path: Path) -> None:
    volume = open_volume(write(tmp_path / "a.nii", np.ones((4, 5, 3), np.uint8)), STRAIGHTEN)
    box = ((0, 2), (1, 5), (0, 3))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(volume)).read(box), volume.read(box))


def test_a_grid_that_is_all_shear_is_not_straightened(tmp_path: Path) -> None:
    affine = np.array([[1.0, 0, 0, 0], [0, 1, 0.9, 0], [0, 0, 0.01, 0], [0, 0, 0, 1]])
    path = write(tmp_path / "a.nii", np.ones((3, 3, 30), np.uint8), affine)
    with pytest.raises(InputError, match=r"so sheared .* --no-resample"):
        load_volume(path, STRAIGHTEN)
