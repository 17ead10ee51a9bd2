"""DICOM images among what a folder holds: times, echoes, series, segmentations; pixels by what headers say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the custom of the field
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGLosslessSV1, JPEGLSLossless, RLELossless, generate_uid

from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_labels
from napari_unetseg.core.io.selecting import notes_of
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import InputError

CT, MR, ENHANCED_MR, SEG = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "4.1", "66.4"))
VOXELS = np.random.default_rng(0).integers(0, 2000, (5, 6, 7)).astype(np.uint16)
SAGITTAL = [0, 1, 0, 0, 0, -1]
CORONAL = [1, 0, 0, 0, 0, -1]


def dataset(plane: np.ndarray, **elements: Any) -> Dataset:
    """One frame or several, with what every image has; None leaves an element out."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    bits = plane.dtype.itemsize * 8
    known: dict[str, Any] = {
        "SOPClassUID": CT, "SOPInstanceUID": generate_uid(), "SeriesInstanceUID": "1.2.3", "StudyInstanceUID": "1.2",
        "FrameOfReferenceUID": "1.2.9", "Modality": "CT", "SeriesNumber": 1, "InstanceNumber": 1,
        "Rows": plane.shape[-2], "Columns": plane.shape[-1], "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1,
        "PixelRepresentation": int(plane.dtype.kind == "i"), "PixelSpacing": [0.5, 0.7], "SliceThickness": 2,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [10, 20, 30],
        "PixelData": plane.tobytes(),
    }  # fmt: skip
    for name, value in (known | elements).items():
        if value is not None:
            setattr(data, name, value)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return data


def write(path: Path, plane: np.ndarray, **elements: Any) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    dataset(plane, **elements).save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, voxels: np.ndarray = VOXELS, first: int = 0, **elements: Any) -> Path:
    """Slices 2 mm apart along z; an element that is callable is asked for each slice."""
    for k, plane in enumerate(voxels):
        given = {name: value(k) if callable(value) else value for name, value in elements.items()}
        own = {"ImagePositionPatient": [10, 20, 30 + 2 * k], "InstanceNumber": first + k + 1}
        write(folder / f"{first + (k * 3) % len(voxels)}.dcm", plane, **(own | given))
    return folder


def notes(path: Path) -> list[str]:
    return [getattr(note, "code", "") for note in inspect(path).notes]


def at(path: Path, time: int) -> np.ndarray:
    return load_volume(path, Selection(time=time)).array[0]


# times


@pytest.mark.parametrize(
    "element", ["TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", "AcquisitionTime", "ContentTime"]
)
def test_time_points_are_told_apart_by_any_element_of_time(tmp_path: Path, element: str) -> None:
    values = {"AcquisitionTime": ("095900", "100000", "100101"), "ContentTime": ("095900", "100000", "100101")}
    for t, value in enumerate(values.get(element, (2, 10, 30))):
        write_series(tmp_path / "a", VOXELS + 1000 * t, first=5 * ((t + 1) % 3), **{element: value})
    assert (inspect(tmp_path / "a").times, inspect(tmp_path / "a").shape) == (3, (5, 6, 7))
    assert any(note.option == "--time" for note in notes_of(inspect(tmp_path / "a"), Selection()))
    for t in range(3):
        np.testing.assert_array_equal(at(tmp_path / "a", t), VOXELS + 1000 * t)


def test_times_of_a_heart_that_beats_unevenly_are_sorted_at_each_place(tmp_path: Path) -> None:
    for t in range(3):
        write_series(tmp_path / "a", VOXELS + 1000 * t, first=5 * t, TriggerTime=lambda k, t=t: 100 * t + 7 * k)
    assert inspect(tmp_path / "a").times == 3
    np.testing.assert_array_equal(at(tmp_path / "a", 2), VOXELS + 2000)


def test_a_time_point_that_lacks_slices_is_left_out(tmp_path: Path) -> None:
    for t, count in enumerate((5, 5, 3)):
        write_series(tmp_path / "a", VOXELS[:count] + 1000 * t, first=5 * t, TemporalPositionIdentifier=t + 1)
    assert inspect(tmp_path / "a").times == 2
    assert "time-points-left-out" in notes(tmp_path / "a")
    np.testing.assert_array_equal(at(tmp_path / "a", 1), VOXELS + 1000)


def test_frames_in_time_of_one_picture_are_times(tmp_path: Path) -> None:
    path = write(
        tmp_path / "cine.dcm", VOXELS, NumberOfFrames=5, FrameTime=40, FrameIncrementPointer=0x00181063, Modality="US",
        ImagePositionPatient=None, ImageOrientationPatient=None,
    )  # fmt: skip
    assert (inspect(path).times, inspect(path).shape) == (5, (1, 6, 7))
    np.testing.assert_array_equal(at(path, 3)[0], VOXELS[3])


# several images


def test_echoes_are_images_of_which_one_is_chosen(tmp_path: Path) -> None:
    for e in range(2):
        write_series(tmp_path / "a", VOXELS + 1000 * e, first=5 * e, EchoTime=4.0 + e, SOPClassUID=MR, Modality="MR")
    with pytest.raises(InputError, match=r"2 images: 0: .*echo time 4 ms, 1: .*echo time 5 ms.*--series"):
        inspect(tmp_path / "a")
    np.testing.assert_array_equal(load_volume(tmp_path / "a", Selection(series="1")).array[0], VOXELS + 1000)


def test_series_are_chosen_by_number_or_uid(tmp_path: Path) -> None:
    write_series(tmp_path / "a", SeriesInstanceUID="1.2.7", SeriesNumber=4)
    write_series(tmp_path / "a", VOXELS[:4] + 1000, first=5, SeriesInstanceUID="1.2.8", SeriesNumber=3)
    for name, shape, value in (("0", 4, 1000), ("1.2.8", 4, 1000), ("1", 5, 0), ("1.2.7", 5, 0)):
        volume = load_volume(tmp_path / "a", Selection(series=name))
        np.testing.assert_array_equal(volume.array[0], VOXELS[:shape] + value)
    for name in ("2", "1.2.9", "-1"):
        with pytest.raises(InputError, match="0: series 3 CT of 4 slices"):
            inspect(tmp_path / "a", series=name)


def test_the_command_lists_series_and_takes_one(tmp_path: Path) -> None:
    write_series(tmp_path / "a", SeriesInstanceUID="1.2.7")
    write_series(tmp_path / "a", VOXELS[:4], first=5, SeriesInstanceUID="1.2.8")

    def info(*options: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "napari_unetseg", "info", str(tmp_path / "a"), "--json", *options]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    refused = info()
    assert (refused.returncode, refused.stderr.strip().count("\n")) == (2, 0)
    assert "--series" in refused.stderr
    assert json.loads(info("--series", "1.2.8").stdout.splitlines()[-1])["shape"] == [4, 6, 7]


@pytest.mark.parametrize(
    "beside",
    [
        {"ImageOrientationPatient": SAGITTAL},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"SeriesInstanceUID": "1.2.4", "ImageType": ["DERIVED", "SECONDARY"]},
        {"SeriesInstanceUID": "1.2.4", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "OT"},
        {"SeriesInstanceUID": "1.2.4", "Modality": "RTIMAGE"},
    ],
)
def test_what_lies_beside_an_image_is_left_out_with_a_note(tmp_path: Path, beside: dict[str, Any]) -> None:
    write_series(tmp_path / "a")
    write_series(tmp_path / "a", VOXELS[:2] + 5000, first=5, **beside)
    np.testing.assert_array_equal(load_volume(tmp_path / "a").array[0], VOXELS)
    assert notes(tmp_path / "a") == ["series-left-out"]


def test_acquisitions_apart_from_each_other_are_two_images(tmp_path: Path) -> None:
    write_series(tmp_path / "a", AcquisitionNumber=1)
    write_series(
        tmp_path / "a", VOXELS[:4], first=5, AcquisitionNumber=2, ImagePositionPatient=lambda k: [10, 20, 83 + 2 * k]
    )
    with pytest.raises(InputError, match="2 images"):
        inspect(tmp_path / "a")
    assert load_volume(tmp_path / "a", Selection(series="1")).grid.origin[0] == 83


def test_slices_that_are_there_twice_are_read_once(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    (tmp_path / "a" / "copy.dcm").write_bytes((tmp_path / "a" / "2.dcm").read_bytes())
    np.testing.assert_array_equal(load_volume(tmp_path / "a").array[0], VOXELS)
    assert notes(tmp_path / "a") == ["slices-repeated"]


# files


def test_files_without_the_beginning_or_a_suffix_are_read(tmp_path: Path) -> None:
    for number, path in enumerate(sorted(write_series(tmp_path / "a").iterdir())):
        if number % 2:
            pydicom.dcmread(path).save_as(path, enforce_file_format=False)
            data = pydicom.dcmread(path)
            del data.file_meta
            data.preamble = None
            data.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
        path.rename(path.with_suffix(""))
    np.testing.assert_array_equal(load_volume(tmp_path / "a").array[0], VOXELS)
    for name in ("0", "1"):
        assert inspect(tmp_path / "a" / name).shape == (1, 6, 7)


def test_pictures_beside_a_series_are_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a" / "preview.jpg")
    np.testing.assert_array_equal(load_volume(tmp_path / "a").array[0], VOXELS)
    assert notes(tmp_path / "a") == ["pictures-left-out"]


def test_a_dicomdir_names_the_files(tmp_path: Path) -> None:
    from pydicom.fileset import FileSet

    files = FileSet()
    for number, path in enumerate(write_series(tmp_path / "a", PatientID="1", PatientName="a").iterdir()):
        data = pydicom.dcmread(path)
        data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20200101", "101010", "1", str(number)
        files.add(data)
    files.write(tmp_path / "b")
    np.testing.assert_array_equal(load_volume(tmp_path / "b" / "DICOMDIR").array[0], VOXELS)
    np.testing.assert_array_equal(load_volume(tmp_path / "b").array[0], VOXELS)


# frames of one file


def enhanced(order: list[int], slopes: list[float] | None = None, times: int = 1) -> dict[str, Any]:
    """Functional groups of frames that lie at these places."""
    frames = []
    for number, k in enumerate(order):
        frame, place, content, values = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [10, 20, 30 + 3 * k]
        content.TemporalPositionIndex = number * times // len(order) + 1
        values.RescaleSlope, values.RescaleIntercept = (slopes or [1] * len(order))[number], 0
        frame.PlanePositionSequence, frame.FrameContentSequence = Sequence([place]), Sequence([content])
        frame.PixelValueTransformationSequence = Sequence([values])
        frames.append(frame)
    shared, size, axes = Dataset(), Dataset(), Dataset()
    size.PixelSpacing, size.SliceThickness = [0.5, 0.7], 3
    axes.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([size]), Sequence([axes])
    return {
        "SOPClassUID": ENHANCED_MR, "Modality": "MR", "NumberOfFrames": len(order),
        "PerFrameFunctionalGroupsSequence": Sequence(frames), "SharedFunctionalGroupsSequence": Sequence([shared]),
        "PixelSpacing": None, "ImagePositionPatient": None, "ImageOrientationPatient": None, "SliceThickness": None,
    }  # fmt: skip


def test_frames_out_of_order_are_sorted(tmp_path: Path) -> None:
    order = [2, 0, 4, 1, 3]
    volume = load_volume(write(tmp_path / "a.dcm", VOXELS[order], **enhanced(order)))
    np.testing.assert_array_equal(volume.array[0], VOXELS)
    np.testing.assert_allclose((volume.grid.spacing, volume.grid.origin), ((3, 0.5, 0.7), (30, 20, 10)))


def test_frames_have_slopes_of_their_own(tmp_path: Path) -> None:
    slopes = [1, 0.5, 0.25, 2, 3]
    volume = load_volume(write(tmp_path / "a.dcm", VOXELS, **enhanced(list(range(5)), slopes)))
    np.testing.assert_allclose(volume.array[0], VOXELS * np.array(slopes)[:, None, None])


def test_frames_of_two_times_are_told_apart(tmp_path: Path) -> None:
    both = np.concatenate([VOXELS, VOXELS + 1000])
    path = write(tmp_path / "a.dcm", both, **enhanced([*range(5), *range(5)], times=2))
    assert (inspect(path).times, inspect(path).shape) == (2, (5, 6, 7))
    np.testing.assert_array_equal(at(path, 1), VOXELS + 1000)


# values


def test_slopes_of_slices_are_real_numbers_where_one_is(tmp_path: Path) -> None:
    slopes = np.array([1, 0.25, 0.00024, 2.5, 3])
    folder = write_series(tmp_path / "a", RescaleSlope=lambda k: float(slopes[k]), RescaleIntercept=lambda k: -k)
    volume = load_volume(folder)
    assert volume.array.dtype == inspect(folder).dtype == np.float32
    expected = VOXELS * slopes[:, None, None] - np.arange(5)[:, None, None]
    np.testing.assert_allclose(volume.array[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("bits", "intercept", "dtype"), [(12, -1024, "int16"), (16, -1024, "int32"), (16, 0, "uint16")]
)
def test_whole_numbers_stay_whole(tmp_path: Path, bits: int, intercept: int, dtype: str) -> None:
    folder = write_series(tmp_path / "a", RescaleIntercept=intercept, RescaleSlope=1, BitsStored=bits, HighBit=bits - 1)
    assert load_volume(folder).array.dtype == inspect(folder).dtype == np.dtype(dtype)
    np.testing.assert_array_equal(load_volume(folder).array[0], VOXELS.astype(int) + intercept)


def test_signed_numbers_and_white_is_zero(tmp_path: Path) -> None:
    signed = VOXELS.astype(np.int16) - 900
    np.testing.assert_array_equal(load_volume(write_series(tmp_path / "a", signed)).array[0], signed)
    white = write_series(tmp_path / "b", BitsStored=12, HighBit=11, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(load_volume(white).array[0], 4095 - VOXELS.astype(int))
    assert notes(white) == ["white-is-zero"]


def test_colours_and_palettes(tmp_path: Path) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (6, 7, 3)).astype(np.uint8)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    path = write(tmp_path / "a.dcm", rgb[..., 0], **colour, PixelData=rgb.tobytes())
    np.testing.assert_array_equal(load_volume(path).array[:, 0], np.moveaxis(rgb, -1, 0))
    assert inspect(path).channels == ("red", "green", "blue")
    indices, table = VOXELS[0].astype(np.uint8), np.random.default_rng(2).integers(0, 256, (3, 256)).astype(np.uint16)
    lookup: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, values in zip(("Red", "Green", "Blue"), table, strict=True):
        lookup[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        lookup[f"{name}PaletteColorLookupTableData"] = (values << 8).tobytes()
    path = write(tmp_path / "b.dcm", indices, **lookup)
    np.testing.assert_array_equal(load_volume(path).array[:, 0], table[:, indices])


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1, JPEGLSLossless])
def test_compressed_slices_are_read_whole(tmp_path: Path, syntax: str) -> None:
    for k, plane in enumerate(VOXELS):
        data = dataset(plane, ImagePositionPatient=[10, 20, 30 + 2 * k], InstanceNumber=k + 1, RescaleIntercept=-1024)
        data.RescaleSlope = 1
        if syntax == RLELossless:
            data.compress(RLELossless)
        else:
            encode = imagecodecs.ljpeg_encode if syntax == JPEGLosslessSV1 else imagecodecs.jpegls_encode
            data.PixelData = encapsulate([encode(plane)])
            data["PixelData"].VR = "OB"
            data.file_meta.TransferSyntaxUID = syntax
        data.save_as(tmp_path / f"{k}.dcm", enforce_file_format=True)
    array = load_volume(tmp_path).array[0]
    np.testing.assert_array_equal(array, VOXELS.astype(int) - 1024)
    if syntax == RLELossless:  # which SimpleITK does not read as pydicom writes it
        return
    reference = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path)))
    np.testing.assert_array_equal(array, sitk.GetArrayFromImage(reference))


# places


@pytest.mark.parametrize("orientation", [SAGITTAL, CORONAL, [1, 0, 0, 0, 1, 0]])
def test_a_single_slice_is_a_picture_in_its_plane(tmp_path: Path, orientation: list[float]) -> None:
    path = write(tmp_path / "a.dcm", VOXELS[0], ImageOrientationPatient=orientation)
    volume = load_volume(path)
    np.testing.assert_array_equal(volume.array[0, 0], VOXELS[0])
    assert volume.grid.spacing == pytest.approx((2, 0.5, 0.7))
    assert volume.grid.scanner is not None
    affine, reference = np.array(volume.grid.scanner.affine), sitk.ReadImage(str(path))
    for row, column in ((0, 0), (5, 6)):
        place = np.array(reference.TransformIndexToPhysicalPoint((column, row, 0)))
        np.testing.assert_allclose((affine @ [0, row, column, 1])[:3], place * [-1, -1, 1], atol=1e-6)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_labels_of_a_sagittal_slice_lie_where_it_does(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / "a.dcm", VOXELS[0], ImageOrientationPatient=SAGITTAL)
    volume = load_volume(path)
    save_labels(tmp_path / f"l{suffix}", Labels(volume.array[0].astype(np.uint16), volume.grid))
    image, written = sitk.ReadImage(str(path)), sitk.ReadImage(str(tmp_path / f"l{suffix}"))
    placed = sitk.Resample(written, image, sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(placed), sitk.GetArrayFromImage(image))
    np.testing.assert_array_equal(load_labels(tmp_path / f"l{suffix}").array, volume.array[0])


def tilted(folder: Path, shift: float) -> Path:
    return write_series(
        folder, VOXELS.astype(np.int16), ImagePositionPatient=lambda k: [10, 20 + shift * k, 30 + 2 * k]
    )


def test_a_tilted_series_is_resampled_to_a_straight_grid(tmp_path: Path) -> None:
    folder = tilted(tmp_path / "a", 0.25)  # half a pixel a slice
    volume = load_volume(folder)
    assert volume.shape == (5, 8, 7)
    assert notes(folder) == ["tilt-resampled"]
    for k in range(5):
        down = k // 2
        if k % 2 == 0:
            np.testing.assert_array_equal(volume.array[0, k, down : down + 6], VOXELS[k])
            np.testing.assert_array_equal(volume.array[0, k, :down], -1000)
        else:
            middle = (VOXELS[k, 1:].astype(float) + VOXELS[k, :-1]) / 2
            np.testing.assert_allclose(volume.array[0, k, down + 1 : down + 6], middle, atol=0.5)
    crop = load_volume(folder, Selection(crop=((1, 4), (2, 7), (1, 5))))
    np.testing.assert_array_equal(crop.array, volume.array[:, 1:4, 2:7, 1:5])


@pytest.mark.parametrize("shift", [0.5, -0.75])
def test_a_tilted_series_keeps_its_sheared_grid_on_request(tmp_path: Path, shift: float) -> None:
    volume = load_volume(tilted(tmp_path / "a", shift), Selection(resample=False))
    np.testing.assert_array_equal(volume.array[0], VOXELS)
    assert volume.grid.scanner is not None
    last = np.array(volume.grid.scanner.affine) @ [4, 0, 0, 1]
    np.testing.assert_allclose(last[:3], [-10, -20 - 4 * shift, 38])


@pytest.mark.parametrize("shift", [0.5, -0.75])
def test_every_slice_of_a_straightened_series_lies_at_its_position(tmp_path: Path, shift: float) -> None:
    volume = load_volume(tilted(tmp_path / "a", shift))
    assert volume.grid.scanner is not None
    inverse = np.linalg.inv(np.array(volume.grid.scanner.affine))
    for k in (0, 2, 4):
        z, y, x = (inverse @ [-10, -20 - shift * k, 30 + 2 * k, 1])[:3]
        assert (z, x) == (pytest.approx(k), pytest.approx(0, abs=1e-9))
        assert volume.array[0, k, round(y), 0] == VOXELS[k, 0, 0]


@pytest.mark.parametrize(
    ("element", "spacing", "unit", "code"),
    [
        ("ImagerPixelSpacing", (0.2, 0.1), "mm", "spacing-at-the-detector"),
        ("NominalScannedPixelSpacing", (0.3, 0.4), "mm", "spacing-of-the-film"),
        (None, (1, 1), "pixel", "spacing-unknown"),
    ],
)
def test_pixel_sizes_of_projections(tmp_path: Path, element: str | None, spacing: Any, unit: str, code: str) -> None:
    absent = dict.fromkeys(("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness"))
    given = {element: list(spacing)} if element else {}
    path = write(tmp_path / "a.dcm", VOXELS[0], Modality="DX", **absent, **given)
    grid = inspect(path).grid
    assert (grid.spacing[1:], grid.unit, notes(path)) == (spacing, unit, [code])


# segmentations


def segmentation(masks: dict[int, np.ndarray], **elements: Any) -> dict[str, Any]:
    """A SEG with a frame for each slice of a segment that is not empty."""
    found = enhanced([0])
    frames, planes = [], []
    for segment, mask in masks.items():
        for k in np.flatnonzero(mask.any(axis=(1, 2))):
            frame, place, which = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient, which.ReferencedSegmentNumber = [10, 20, 30 + 2 * int(k)], segment
            frame.PlanePositionSequence, frame.SegmentIdentificationSequence = Sequence([place]), Sequence([which])
            frames.append(frame)
            planes.append(mask[k])
    segments = []
    for number in masks:
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel = number, f"organ {number}"
        segment.RecommendedDisplayCIELabValue = [65535, 32896, 32896]  # white
        segments.append(segment)
    bits = np.packbits(np.array(planes).ravel(), bitorder="little").tobytes()
    return found | {
        "SOPClassUID": SEG, "Modality": "SEG", "SegmentationType": "BINARY", "SegmentSequence": Sequence(segments),
        "NumberOfFrames": len(frames), "PerFrameFunctionalGroupsSequence": Sequence(frames), "BitsAllocated": 1,
        "BitsStored": 1, "HighBit": 0, "PixelData": bits + b"\0" * (len(bits) % 2), "SeriesInstanceUID": "1.2.5",
    } | elements  # fmt: skip


def masks() -> dict[int, np.ndarray]:
    one, two = np.zeros((5, 6, 7), bool), np.zeros((5, 6, 7), bool)
    one[0:4, 1:3, 1:4], two[1:5, 4:6, 2:6] = True, True
    one[2] = False
    return {1: one, 2: two}


def test_a_segmentation_is_labels_on_its_own_grid(tmp_path: Path) -> None:
    path = write(tmp_path / "seg.dcm", VOXELS[0], **segmentation(masks()))
    labels = load_labels(path)
    np.testing.assert_array_equal(labels.array, masks()[1] + 2 * masks()[2])
    assert [(s.label, s.name, s.colour) for s in labels.structures] == [
        (1, "organ 1", "#ffffff"), (2, "organ 2", "#ffffff"),
    ]  # fmt: skip
    np.testing.assert_allclose((labels.grid.spacing, labels.grid.origin), ((2, 0.5, 0.7), (30, 20, 10)))
    assert "segmentation" in notes(path)


def test_slices_without_a_segment_are_empty(tmp_path: Path) -> None:
    mask = masks()[1]
    labels = load_labels(write(tmp_path / "seg.dcm", VOXELS[0], **segmentation({3: mask})))
    np.testing.assert_array_equal(labels.array, 3 * mask[:4])


def test_a_segmentation_beside_an_image_is_left_out_and_can_be_chosen(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    write(tmp_path / "a" / "seg.dcm", VOXELS[0], **segmentation(masks()))
    np.testing.assert_array_equal(load_volume(tmp_path / "a").array[0], VOXELS)
    assert notes(tmp_path / "a") == ["series-left-out"]
    labels = load_labels(tmp_path / "a", Selection(series="1.2.5"))
    np.testing.assert_array_equal(labels.array, masks()[1] + 2 * masks()[2])


def test_the_higher_of_two_segments_in_one_place_is_taken_and_told(tmp_path: Path) -> None:
    over = masks()[1]
    path = write(tmp_path / "seg.dcm", VOXELS[0], **segmentation({1: over, 2: over}))
    with pytest.warns(UserWarning, match="18 voxels belong to several segments"):
        labels = load_labels(path)
    assert np.unique(labels.array).tolist() == [0, 2]
