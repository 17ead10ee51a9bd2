"""A folder with a DICOM series: headers by pydicom, pixels by SimpleITK."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk  # noqa: N813 - the custom of the field
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from napari_unetseg.core.io import orientation
from napari_unetseg.core.io.formats import itk
from napari_unetseg.core.io.source import Part, Source, VolumeInfo, decoding, stack
from napari_unetseg.errors import InputError

TAGS = [
    "SeriesInstanceUID", "SeriesNumber", "Modality", "InstanceNumber", "Rows", "Columns",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "NumberOfFrames",
]  # fmt: skip
UNEVEN = 0.02  # of the usual distance between slices
TILT = 0.5  # degrees: less is rounding


Millimetres = Annotated[float, Field(gt=1e-6, lt=1e6, allow_inf_nan=False)]
Coordinate = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Cosine = Annotated[float, Field(ge=-1.01, le=1.01, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1, le=65535)]


class _Header(BaseModel):
    """What is taken from the header of one image, checked; named as in DICOM (PS3.3 C.7.6.2 and C.7.6.3)."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    path: Path
    Rows: Side
    Columns: Side
    SeriesInstanceUID: str = ""
    Modality: str | None = None
    SeriesNumber: str | None = None
    InstanceNumber: int | None = None
    NumberOfFrames: Annotated[int, Field(ge=1, lt=2**31)] = 1
    ImagePositionPatient: tuple[Coordinate, Coordinate, Coordinate] | None = None
    ImageOrientationPatient: tuple[Cosine, Cosine, Cosine, Cosine, Cosine, Cosine] | None = None
    PixelSpacing: tuple[Millimetres, Millimetres] | None = None
    SliceThickness: Coordinate | None = None

    @field_validator("ImageOrientationPatient")
    @classmethod
    def _is_at_right_angles(cls, cosines: tuple[float, ...] | None) -> tuple[float, ...] | None:
        axes = np.reshape((1, 0, 0, 0, 1, 0) if cosines is None else cosines, (2, 3))
        if not np.allclose(axes @ axes.T, np.eye(2), atol=0.01):
            raise ValueError("expected two directions at right angles")
        return cosines

    @property
    def axes(self) -> npt.NDArray[np.float64]:
        """Directions of rows and columns, shape (2, 3)."""
        return np.reshape(self.ImageOrientationPatient or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (2, 3)).astype(float)

    @property
    def position(self) -> float:
        """Along the normal of the slices, in mm; the instance number where no position is known."""
        if self.ImagePositionPatient is None:
            return float(self.InstanceNumber or 0)
        return float(np.round(np.cross(*self.axes) @ np.array(self.ImagePositionPatient), 4))


def open_source(path: Path) -> Source:
    """Open a series by the headers of its files; of several series the one with most slices, with a note.

    Raises
    ------
    InputError
        If there is no DICOM image, a header does not hold what it must, or the slices of the series differ in size,
        pixel size or orientation.
    """
    if path.is_file():
        return itk.open_source(path)
    series, notes = _series(path)
    headers = max(series.values(), key=_count)
    notes = (*notes, *_other_series(series, headers))
    if len(headers) == 1:
        single = itk.open_source(headers[0].path)
        return replace(single, info=replace(single.info, path=path, notes=(*notes, *single.info.notes)))
    slices, more = _sorted(path, headers)
    affine, spacing_notes = _affine(slices)
    first = itk.open_source(slices[0].path)
    shape = (slices[0].Columns, slices[0].Rows, len(slices))
    transform, size, grid = orientation.read_frame(affine, shape, "mm")
    info = VolumeInfo(
        path=path,
        format="DICOM series",
        shape=size,
        channels=first.info.channels,
        dtype=first.info.dtype,
        grid=grid,
        notes=(*notes, *more, *spacing_notes),
    )
    files = [s.path for s in slices]
    return Source(info, partial(_read, files, shape, transform), unit=first.unit, files=tuple(files))


def _series(folder: Path) -> tuple[dict[str, list[_Header]], tuple[str, ...]]:
    """The headers of each series, and a note where there is DICOM without an image."""
    series, others = defaultdict[str, list[_Header]](list), 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            with decoding(path, "DICOM file"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of values that are checked below
                dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
                fields = {tag: _plain(dataset.get(tag)) for tag in TAGS}
        except MemoryError as error:
            raise InputError(f"{path}: an element of its DICOM header declares more than the memory holds.") from error
        except InputError as error:
            if isinstance(error.__cause__, InvalidDicomError):
                continue  # a folder also holds reports, an index, thumbnails
            raise
        if fields["Rows"] is not None or fields["Columns"] is not None:
            header = _header(path, fields)
            series[header.SeriesInstanceUID].append(header)
        elif path.name != "DICOMDIR":
            others += 1
    if not series:
        raise InputError(f"{folder} holds no image; expected DICOM files, or slices as TIFF, PNG or JPEG.")
    return series, (f"{others} DICOM files hold no image, or are damaged, and are left out.",) if others else ()


def _plain(value: Any) -> Any:
    """A header's value as plain Python; None where there is none."""
    if isinstance(value, MultiValue):
        return [_plain(part) for part in value]
    if value is None or value == "":
        return None
    return value if isinstance(value, int) else float(value) if isinstance(value, (float, Decimal)) else str(value)


def _header(path: Path, fields: dict[str, Any]) -> _Header:
    try:
        return _Header.model_validate({"path": path} | {name: v for name, v in fields.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        got = "" if first["type"] == "missing" else f"; got {first['input']!r}"
        raise InputError(
            f"{path}: the DICOM element {first['loc'][0]} does not fit: {first['msg']}{got}. Is the file damaged?"
        ) from error


def _other_series(series: dict[str, list[_Header]], taken: list[_Header]) -> tuple[str, ...]:
    if len(series) == 1:
        return ()
    names = ", ".join(_describe(headers) for headers in series.values())
    return (f"The folder holds {len(series)} series ({names}); {_describe(taken)} is read.",)


def _describe(headers: list[_Header]) -> str:
    """Number and modality alone: descriptions are free text, and may name the patient."""
    first = headers[0]
    words = ("series", first.SeriesNumber or "without a number", first.Modality or "")
    return f"{' '.join(str(word) for word in words if word)} of {_count(headers)} slices"


def _count(headers: list[_Header]) -> int:
    return sum(header.NumberOfFrames for header in headers)


def _sorted(folder: Path, headers: list[_Header]) -> tuple[list[_Header], tuple[str, ...]]:
    kinds = {(h.Rows, h.Columns, *np.round([*h.axes.ravel(), *(h.PixelSpacing or ())], 3).tolist()) for h in headers}
    if len(kinds) > 1:
        raise InputError(
            f"{folder} holds slices of {len(kinds)} sizes, pixel sizes or orientations in one series; expected one."
        )
    placed = sum(header.ImagePositionPatient is not None for header in headers)
    if 0 < placed < len(headers):
        raise InputError(f"{folder} holds {len(headers) - placed} slices without a position in a series that has them.")
    slices = sorted(headers, key=lambda header: header.position)
    before = [None, *(s.position for s in slices)]
    unique = [s for s, other in zip(slices, before, strict=False) if s.position != other]
    if len(unique) == len(slices):
        return slices, ()
    return unique, (f"{len(slices) - len(unique)} slices lie where another one lies and are left out.",)


def _affine(slices: list[_Header]) -> tuple[orientation.Affine, tuple[str, ...]]:
    """Index (i, j, k) to (right, anterior, superior) in mm (DICOM PS3.3 C.7.6.2.1.1)."""
    header = slices[0]
    origin, notes = header.ImagePositionPatient, tuple[str, ...]()
    dy, dx = header.PixelSpacing or (1.0, 1.0)
    if origin is not None and len(slices) > 1:
        dz, notes = _distance(slices)
        notes += _tilt(slices)
    else:
        dz = abs(header.SliceThickness or 0) or 1.0
        notes = ("No slice positions are given: the order of numbers and the slice thickness are taken.",)
    if not header.PixelSpacing:
        notes = (*notes, "No pixel size is given: 1 mm is taken.")
    row, column = header.axes
    lps = np.eye(4)
    lps[:3, :3] = np.stack([row * dx, column * dy, np.cross(row, column) * dz], axis=1)
    lps[:3, 3] = origin or 0
    return orientation.RAS_FROM_LPS @ lps, notes


def _distance(slices: list[_Header]) -> tuple[float, tuple[str, ...]]:
    steps = np.diff([s.position for s in slices])
    usual = float(np.median(steps))
    if np.abs(steps - usual).max() <= UNEVEN * usual:
        return float(steps.mean()), ()
    return usual, (
        f"Slices are missing or unevenly spaced: {steps.min():.3g} to {steps.max():.3g} mm apart; "
        f"{usual:.3g} mm is taken everywhere.",
    )


def _tilt(slices: list[_Header]) -> tuple[str, ...]:
    """A note where slices do not lie above each other, as with a tilted gantry."""
    first, last = (np.array(s.ImagePositionPatient) for s in (slices[0], slices[-1]))
    normal = np.cross(*slices[0].axes)
    along = float((last - first) @ normal)
    angle = np.degrees(np.arctan2(np.linalg.norm(last - first - along * normal), abs(along)))
    if angle < TILT:
        return ()
    return (
        f"The slices are shifted against each other, by {angle:.1f}° (a tilted gantry): they are read as if they lay "
        "above each other. Resample the series first where positions or shapes across slices matter.",
    )


def _read(files: list[Path], shape: tuple[int, ...], transform: npt.NDArray[Any], part: Part) -> npt.NDArray[Any]:
    box = orientation.file_box(transform, part.box, shape)
    wanted = [str(file) for file in files[box[2]]]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(wanted)
    with decoding(files[0].parent, "DICOM series"):
        array = sitk.GetArrayFromImage(reader.Execute())
    if array.shape[:3] != (len(wanted), shape[1], shape[0]):
        raise InputError(
            f"{files[0].parent}: the slices hold {array.shape[:3]} voxels (z, y, x), and their headers tell of "
            f"{(len(wanted), shape[1], shape[0])}. Is a file damaged?"
        )
    array = array.reshape(*array.shape[:3], -1)[:, box[1], box[0]]
    channels = [orientation.reorder(array[..., c].T, transform) for c in part.channels]
    return stack(channels)
