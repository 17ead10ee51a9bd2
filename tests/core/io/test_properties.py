"""Random volumes in medical formats: what one library writes, the other reads, each voxel at its place in the world."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the custom of the field
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nibabel.orientations import aff2axcodes
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

from napari_unetseg.core.grid import Grid, ScannerFrame
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_labels, save_series, save_volume
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import InputError
from support import random_voxels

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
NIFTI_UNITS = {"mm": ("mm", 1.0), "micron": ("µm", 1e-3), "meter": ("m", 1e3)}
IN_MM = {"nm": 1e-6, "µm": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1e3}
INTEGERS = ["u1", "i1", "u2", "i2", "u4", "i4", "i8"]
quick = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],  # to shrink an example that fails would take minutes
)
shapes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(2, 6)).flatmap(st.permutations).map(tuple)
seeds = st.integers(0, 2**32 - 1)
Affine = np.ndarray


@st.composite
def affines(draw: st.DrawFn, *, shear: bool = False) -> Affine:
    """Index to position: any rotation, flips, sizes that differ by a hundred, and a shear of up to half a voxel."""
    turns = [draw(st.sampled_from([0.0, 90.0, -180.0])) + draw(st.sampled_from([0.0, 7.0, 33.0])) for _ in range(3)]
    flips = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    sizes = draw(st.tuples(*[st.floats(0.1, 10.0)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turns, degrees=True).as_matrix() * flips * sizes
    if shear:
        lean = draw(st.tuples(*[st.sampled_from([-0.5, 0.0, 0.25])] * 2, st.sampled_from([-0.3, 0.1, 0.4])))
        affine[:3, :3] = affine[:3, :3] @ np.array([[1, lean[0], lean[1]], [0, 1, lean[2]], [0, 0, 1]])
    affine[:3, 3] = draw(st.tuples(*[st.floats(-300.0, 300.0)] * 3))
    return affine


def assert_same_world(array: np.ndarray, affine: Affine, other: np.ndarray, other_affine: Affine) -> None:
    """Each voxel of `array`, corners and all, has the value that the other library has at its place."""
    assert sorted(array.shape) == sorted(other.shape)
    index = np.indices(array.shape).reshape(3, -1)
    world = affine[:3, :3] @ index + affine[:3, 3:]
    found = np.linalg.solve(other_affine[:3, :3], world - other_affine[:3, 3:])
    np.testing.assert_allclose(found, found.round(), atol=5e-3)
    np.testing.assert_array_equal(array.ravel(), other[tuple(found.round().astype(int))])


def frame_of(grid: Grid) -> Affine:
    """The affine of a grid that was read, after a look at what it says of itself."""
    assert grid.scanner is not None
    affine = np.array(grid.scanner.affine)
    right, anterior, superior = affine[:3, 3] / IN_MM[grid.unit]
    np.testing.assert_allclose(grid.origin, (superior, -anterior, -right), rtol=1e-6, atol=1e-9)
    lengths, volume = np.linalg.norm(affine[:3, :3], axis=0), abs(np.linalg.det(affine[:3, :3]))
    np.testing.assert_allclose(np.prod(grid.spacing) * IN_MM[grid.unit] ** 3, volume, rtol=1e-6)
    if np.isclose(np.prod(lengths), volume, rtol=1e-6):  # at right angles
        np.testing.assert_allclose(np.array(grid.spacing) * IN_MM[grid.unit], lengths, rtol=1e-6)
    return affine


def grid_of(affine: Affine, unit: str, codes: tuple[str, ...]) -> Grid:
    """A grid whose index (z, y, x) lies by `affine`, in mm; its file has the axes `codes`."""
    z, y, x = np.linalg.norm(affine[:3, :3], axis=0) / IN_MM[unit]
    right, anterior, superior = affine[:3, 3] / IN_MM[unit]
    frame = ScannerFrame(tuple(map(tuple, affine.tolist())), codes)
    return Grid((z, y, x), unit, (superior, -anterior, -right), frame)


def itk_affine(image: sitk.Image) -> Affine:
    """Index to position (right, anterior, superior), by where ITK says that voxels lie."""
    origin, *ends = (image.TransformIndexToPhysicalPoint(row) for row in [(0, 0, 0), *np.eye(3, dtype=int).tolist()])
    lps = np.eye(4)
    lps[:3] = np.column_stack([*(np.subtract(end, origin) for end in ends), origin])
    return RAS_FROM_LPS @ lps


def assert_itk_lies_so(path: Path, array: np.ndarray, affine: Affine) -> None:
    image = sitk.ReadImage(str(path))
    assert_same_world(array, affine, sitk.GetArrayFromImage(image).T, itk_affine(image))


@quick
@given(
    shape=shapes, dtype=st.sampled_from([*INTEGERS, "u8", "f4", "f8"]), seed=seeds, affine=affines(),
    unit=st.sampled_from([*NIFTI_UNITS]), times=st.integers(1, 3), channels=st.integers(1, 3),
    form=st.sampled_from(["sform", "qform", "both"]), kind=st.sampled_from([nib.Nifti1Image, nib.Nifti2Image]),
    suffix=st.sampled_from([".nii", ".nii.gz"]), big=st.booleans(),
)  # fmt: skip
def test_what_nibabel_writes_lies_where_it_says(
    shape, dtype, seed, affine, unit, times, channels, form, kind, suffix, big, tmp_path: Path
) -> None:
    array = random_voxels((*shape, times, channels), dtype, seed)
    stored = array[..., 0] if channels == 1 else array
    header = kind.header_class(endianness=">" if big else "<")
    image = kind(stored[..., 0] if (times, channels) == (1, 1) else stored, affine, header, dtype=array.dtype)
    image.set_sform(affine, code=1 if form != "qform" else 0)
    image.set_qform(affine, code=1 if form != "sform" else 0)
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, tmp_path / f"a{suffix}")
    info = inspect(tmp_path / f"a{suffix}")
    name, in_mm = NIFTI_UNITS[unit]
    assert (info.times, len(info.channels), info.dtype, info.grid.unit) == (times, channels, dtype, name)
    assert info.notes == ()
    reference = np.diag([in_mm] * 3 + [1.0]) @ nib.load(tmp_path / f"a{suffix}").affine
    for time in range(times):
        volume = load_volume(tmp_path / f"a{suffix}", Selection(time=time))
        for c in range(channels):
            assert_same_world(volume.array[c], frame_of(volume.grid), array[..., time, c], reference)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
@quick
@given(
    shape=shapes, dtype=st.sampled_from(["u1", "u2", "u4"]), seed=seeds, affine=affines(shear=True), file=affines(),
    unit=st.sampled_from([*IN_MM]),
)  # fmt: skip
def test_labels_lie_for_other_libraries_where_their_image_lies(
    suffix, shape, dtype, seed, affine, file, unit, tmp_path: Path
) -> None:
    array, path = random_voxels(shape, dtype, seed), tmp_path / f"a{suffix}"
    save_labels(path, Labels(array, grid_of(affine, unit, aff2axcodes(file))))
    if suffix == ".nii.gz":
        image = nib.load(path)
        in_mm = NIFTI_UNITS[image.header.get_xyzt_units()[0]][1]
        assert_same_world(array, affine, np.asarray(image.dataobj), np.diag([in_mm] * 3 + [1.0]) @ image.affine)
        assert aff2axcodes(image.affine) == aff2axcodes(file)
    if suffix == ".nrrd":  # ITK takes mm for whatever a NIfTI says, and no shear of it
        assert_itk_lies_so(path, array, affine)
    got = load_labels(path)
    assert got.grid.unit == unit
    assert_same_world(got.array, frame_of(got.grid), array, affine)


@quick
@given(
    shape=shapes, dtype=st.sampled_from([*INTEGERS, "f4", "f8"]), seed=seeds, affine=affines(shear=True),
    unit=st.sampled_from([*IN_MM]), times=st.integers(1, 3), channels=st.integers(1, 3),
)  # fmt: skip
def test_images_lie_for_nibabel_where_they_lie_here(
    shape, dtype, seed, affine, unit, times, channels, tmp_path: Path
) -> None:
    array, path = random_voxels((times, channels, *shape), dtype, seed), tmp_path / "a.nii"
    names = ("T1", "T2", "FLAIR")[:channels]
    frames = [Volume(each, grid_of(affine, unit, ("L", "P", "S")), names) for each in array]
    if times == 1:
        save_volume(path, frames[0])
    else:
        save_series(path, frames)
    image = nib.load(path)
    in_mm = NIFTI_UNITS[image.header.get_xyzt_units()[0]][1]
    stored = np.asarray(image.dataobj)
    stored = stored.reshape(*stored.shape[:3], times, channels)
    assert inspect(path).channels == names
    for time, c in np.ndindex(times, channels):
        assert_same_world(array[time, c], affine, stored[..., time, c], np.diag([in_mm] * 3 + [1.0]) @ image.affine)
        got = load_volume(path, Selection(time=time, channels=(c,), resample=False))
        assert_same_world(got.array[0], frame_of(got.grid), array[time, c], affine)


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
@quick
@given(
    shape=shapes, dtype=st.sampled_from([*INTEGERS, "u8", "f4", "f8"]), seed=seeds, affine=affines(),
    channels=st.integers(1, 4), packed=st.booleans(),
)  # fmt: skip
def test_what_simpleitk_writes_lies_where_it_says(
    suffix, shape, dtype, seed, affine, channels, packed, tmp_path: Path
) -> None:
    array, path = random_voxels((*shape, channels), dtype, seed), tmp_path / f"a{suffix}"
    image = sitk.GetImageFromArray(array[..., 0] if channels == 1 else array, isVector=channels > 1)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(sizes.tolist())
    image.SetDirection((affine[:3, :3] / sizes).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    sitk.WriteImage(image, str(path), useCompression=packed)
    reference, volume = itk_affine(sitk.ReadImage(str(path))), load_volume(path)
    assert (inspect(path).notes, volume.grid.unit, volume.dtype) == ((), "mm", dtype)
    for c in range(channels):
        assert_same_world(volume.array[c], frame_of(volume.grid), array[..., c].T, reference)


def write_dicom(
    folder: Path, array: np.ndarray, lps: Affine, line: tuple[float, float], order: np.random.Generator
) -> None:
    """Slices (t, k, rows, columns) as CT, index (column, row, k) at `lps`, under names in any order."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (dx, dy, dz), names = np.linalg.norm(lps[:3, :3], axis=0), order.permutation(array.shape[0] * array.shape[1])
    for n, (time, k) in enumerate(np.ndindex(array.shape[:2])):
        data, plane = Dataset(), array[time, k]
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID, data.SOPInstanceUID, data.Modality = CTImageStorage, generate_uid(), "CT"
        data.SeriesInstanceUID, data.StudyInstanceUID, data.FrameOfReferenceUID = "1.2.3", "1.2", "1.2.9"
        data.InstanceNumber, data.TemporalPositionIdentifier, data.SeriesNumber = int(names[n]) + 1, time + 1, 1
        data.Rows, data.Columns = plane.shape
        data.PixelSpacing, data.SliceThickness = [f"{dy:.10g}", f"{dx:.10g}"], f"{dz:.10g}"
        data.ImageOrientationPatient = [f"{v:.10f}" for v in (lps[:3, :2] / (dx, dy)).T.ravel()]
        data.ImagePositionPatient = [f"{v:.9f}" for v in (lps @ [0, 0, k, 1])[:3]]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        bits = plane.dtype.itemsize * 8
        data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
        data.PixelRepresentation = int(plane.dtype.kind == "i")
        data.RescaleSlope, data.RescaleIntercept = line
        data.PixelData = plane.tobytes() + b"\0" * (plane.nbytes % 2)
        data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = CTImageStorage, "1.2.4"
        data.save_as(folder / f"{names[n]}.dcm", enforce_file_format=True)


@quick
@given(
    shape=shapes, dtype=st.sampled_from(["u1", "u2", "i2"]), seed=seeds, affine=affines(), times=st.integers(1, 2),
    line=st.sampled_from([(1.0, 0.0), (1.0, -1024.0), (0.5, 3.0)]),
)  # fmt: skip
def test_dicom_lies_where_pydicom_and_simpleitk_say(shape, dtype, seed, affine, times, line, tmp_path: Path) -> None:
    array, folder = random_voxels((times, *shape), dtype, seed), tmp_path / "series"
    write_dicom(folder, array, affine, line, np.random.default_rng(seed))
    assert (inspect(folder).times, inspect(folder).notes) == (times, ())
    for time in range(times):
        volume = load_volume(folder, Selection(time=time))
        inverse = np.linalg.inv(frame_of(volume.grid))
        slices = [pydicom.dcmread(path) for path in folder.iterdir()]
        for each in (s for s in slices if s.TemporalPositionIdentifier == time + 1):
            row, column = np.reshape(each.ImageOrientationPatient, (2, 3)).astype(float)
            down, across = map(float, each.PixelSpacing)
            for r, c in np.ndindex(each.Rows, each.Columns):
                lps = np.array(each.ImagePositionPatient, float) + row * across * c + column * down * r
                index = (inverse @ RAS_FROM_LPS @ [*lps, 1])[:3]
                np.testing.assert_allclose(index, index.round(), atol=5e-3)
                expected = each.pixel_array[r, c] * line[0] + line[1]
                assert volume.array[(0, *index.round().astype(int))] == expected
    if times == 1 and array.shape[2] > 1:  # slices of one row are stacked by ITK along y
        image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
        assert_same_world(volume.array[0], frame_of(volume.grid), sitk.GetArrayFromImage(image).T, itk_affine(image))


@pytest.mark.parametrize("suffix", [".nii", ".nrrd"])
def test_complex_numbers_are_refused_as_such(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.Image((3, 4, 5), sitk.sitkComplexFloat32), str(path))
    with pytest.raises(InputError, match=r"holds complex numbers; expected whole or real ones"):
        inspect(path)


@pytest.mark.parametrize("suffix", [".nii", ".ome.tif", ".ome.zarr"])
def test_time_points_on_different_grids_are_refused(suffix: str, tmp_path: Path) -> None:
    frames = [Volume(np.ones((1, 2, 3, 4)), Grid((size, 1, 1), "mm")) for size in (1, 2)]
    with pytest.raises(InputError, match=r"on one grid; that of time 1 is another one"):
        save_series(tmp_path / f"a{suffix}", frames)
    assert list(tmp_path.iterdir()) == []
