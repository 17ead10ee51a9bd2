"""DICOM series: order, geometry and rescaling come from the headers; gaps are told."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the custom of the field
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

from napari_unetseg.core.io.loadsave import inspect, load_volume, save_labels
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import InputError

VOXELS = np.random.default_rng(0).integers(0, 2000, (6, 5, 7)).astype(np.uint16)
AXIAL = np.eye(3)
SAGITTAL = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
OBLIQUE = Rotation.from_euler("xyz", (0.2, -0.1, 0.3)).as_matrix()


def write_series(
    folder: Path,
    voxels: np.ndarray = VOXELS,
    direction: np.ndarray = AXIAL,
    positions: list[float] | None = None,
    description: str = "abdomen",
) -> Path:
    """Write slices, in random order of their file names; rows of `direction` are row, column and normal (LPS)."""
    folder.mkdir(exist_ok=True)
    series = generate_uid()
    names = np.random.default_rng(1).permutation(len(voxels))
    positions = positions if positions is not None else [2.5 * k for k in range(len(voxels))]
    for k, (plane, position) in enumerate(zip(voxels, positions, strict=True)):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{description}{names[k]}.dcm"
        data = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.SeriesDescription, data.Modality = series, description, "CT"
        data.StudyInstanceUID, data.FrameOfReferenceUID = series, series
        data.PatientName, data.PatientID, data.InstanceNumber = "phantom", "0", k + 1
        data.Rows, data.Columns = plane.shape
        data.PixelSpacing = [0.5, 0.75]
        data.SliceThickness = 2.5
        data.ImageOrientationPatient = direction[:2].ravel().round(12).tolist()
        data.ImagePositionPatient = (np.array([10, 20, 30]) + direction[2] * position).round(9).tolist()
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.PixelData = plane.tobytes()
        data.save_as(path, enforce_file_format=True)
    return folder


def test_an_axial_series(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct")
    (folder / "readme.txt").write_text("not an image")
    info, volume = inspect(folder), load_volume(folder)
    assert (info.shape, info.format, info.notes) == ((6, 5, 7), "DICOM series", ())
    np.testing.assert_array_equal(volume.array[0], VOXELS.astype(int) - 1024)
    np.testing.assert_allclose(volume.grid.spacing, (2.5, 0.5, 0.75))
    assert volume.grid.unit == "mm"
    np.testing.assert_allclose(volume.grid.origin, (30, 20, 10))
    assert volume.array.dtype == info.dtype
    crop = load_volume(folder, Selection(crop=((1, 4), (2, 5), (3, 6))))
    np.testing.assert_array_equal(crop.array, volume.array[:, 1:4, 2:5, 3:6])


@pytest.mark.parametrize("direction", [AXIAL, SAGITTAL, OBLIQUE])
def test_labels_lie_on_the_series_that_simpleitk_reads(direction: np.ndarray, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", direction=direction)
    volume = load_volume(folder)
    save_labels(tmp_path / "labels.nii.gz", Labels((volume.array[0] + 1024).astype(np.uint16), volume.grid))
    reference = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    labels = sitk.Resample(
        sitk.ReadImage(str(tmp_path / "labels.nii.gz")), reference, sitk.Transform(), sitk.sitkNearestNeighbor
    )
    np.testing.assert_array_equal(sitk.GetArrayFromImage(labels), sitk.GetArrayFromImage(reference) + 1024)


def test_a_missing_slice_is_told(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", VOXELS[[0, 1, 3, 4, 5]], positions=[0, 2.5, 7.5, 10, 12.5])
    with pytest.warns(UserWarning, match=r"2\.5 to 5 mm apart"):
        volume = load_volume(folder)
    np.testing.assert_allclose(volume.grid.spacing, (2.5, 0.5, 0.75))
    assert volume.shape == (5, 5, 7)


def test_of_several_series_the_largest_is_read(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", VOXELS[:2], description="scout")
    write_series(tmp_path / "ct", description="thorax")
    with pytest.warns(UserWarning, match=r"CT of 2 slices, .* CT of 6 slices, 5 × 7 is read") as told:
        assert load_volume(tmp_path / "ct").shape == (6, 5, 7)
    assert "thorax" not in str(told[0].message)  # a description is free text, and may name the patient


def test_repeated_slices_are_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", VOXELS[[0, 1, 1, 2]], positions=[0, 2.5, 2.5, 5])
    with pytest.warns(UserWarning, match="1 slices"):
        assert load_volume(tmp_path / "ct").shape == (3, 5, 7)


def test_a_slice_of_another_size_is_left_out_and_told(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct")
    path = next(folder.glob("*.dcm"))
    data = pydicom.dcmread(path)
    data.Rows, data.PixelData = 4, VOXELS[0, :4].tobytes()
    data.save_as(path)
    info = inspect(folder)
    assert info.shape[1:] == (5, 7)
    assert info.notes[0].code == "series-left-out"
    assert "1 slices, 4 × 7" in info.notes[0]


def test_a_slice_cut_off_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct")
    path = sorted(folder.glob("*.dcm"))[2]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError):
        load_volume(folder)


def test_a_single_file(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", VOXELS[:1])
    for path in (folder, next(folder.glob("*.dcm"))):
        volume = load_volume(path)
        np.testing.assert_array_equal(volume.array[0], VOXELS[:1].astype(int) - 1024)
        np.testing.assert_allclose(volume.grid.spacing[1:], (0.5, 0.75))


def change(folder: Path, number: int, **elements: object) -> Path:
    """Give one slice of a series other elements; None removes one."""
    path = sorted(folder.iterdir())[number]
    data = pydicom.dcmread(path)
    for name, value in elements.items():
        if value is None:
            delattr(data, name)
        else:
            with pydicom.config.disable_value_validation():
                setattr(data, name, value)
    with pydicom.config.disable_value_validation():
        data.save_as(path)
    return path


@pytest.mark.parametrize(
    ("element", "value"),
    [
        ("Columns", None),
        ("PixelSpacing", [0.0, 0.0]),
        ("PixelSpacing", [0.5]),
        ("PixelSpacing", ["nan", "nan"]),
        ("ImagePositionPatient", [1.0, 2.0]),
        ("ImagePositionPatient", ["nan", 0.0, 0.0]),
        ("ImagePositionPatient", ["1e300", 0.0, 0.0]),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1]),
        ("NumberOfFrames", "-1"),
    ],
)
def test_an_element_that_cannot_be_is_named(element: str, value: object, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct")
    path = change(folder, 2, **{element: value})
    with pytest.raises(InputError, match=element) as caught:
        inspect(folder)
    assert str(path) in str(caught.value)


def test_a_slice_of_another_pixel_size_is_left_out_and_one_without_a_position_refused(tmp_path: Path) -> None:
    change(write_series(tmp_path / "sizes"), 2, PixelSpacing=[1.0, 1.5])
    assert inspect(tmp_path / "sizes").grid.spacing[1:] == (0.5, 0.75)
    assert inspect(tmp_path / "sizes").notes[0].code == "series-left-out"
    change(write_series(tmp_path / "places"), 2, ImagePositionPatient=None)
    with pytest.raises(InputError, match="1 slices without a position"):
        inspect(tmp_path / "places")


def test_a_tilted_gantry_and_what_holds_no_image_are_told(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct")
    assert inspect(folder).notes == ()
    for number, path in enumerate(sorted(folder.iterdir())):
        position = list(pydicom.dcmread(path).ImagePositionPatient)
        position[1] += 0.5 * (position[2] - 30) / 2.5
        change(folder, number, ImagePositionPatient=position)
    (told,) = inspect(folder).notes
    assert "shifted against each other, by 11.3°" in told
    report = pydicom.dcmread(sorted(folder.iterdir())[0])
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    report.save_as(folder / "report.dcm")
    assert any("1 DICOM files hold no image" in note for note in inspect(folder).notes)
