"""A folder with a DICOM series: headers by pydicom, pixels by SimpleITK."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk  # noqa: N813 - the custom of the field
from pydicom.errors import InvalidDicomError

from napari_unetseg.core.io import orientation
from napari_unetseg.core.io.formats import itk
from napari_unetseg.core.io.source import Part, Source, VolumeInfo, decoding, stack
from napari_unetseg.errors import InputError

TAGS = [
    "SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "Modality", "InstanceNumber", "Rows", "Columns",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "NumberOfFrames",
]  # fmt: skip
UNEVEN = 0.02  # of the usual distance between slices


@dataclass(frozen=True)
class _Slice:
    path: Path
    header: pydicom.Dataset
    position: float
    """Along the normal of the slices, in mm; the instance number where no position is known."""


def open_source(path: Path) -> Source:
    """Open a series by the headers of its files; of several series the one with most slices, with a note.

    Raises
    ------
    InputError
        If there is no DICOM image, or the slices of the series differ in size or orientation.
    """
    if path.is_file():
        return itk.open_source(path)
    series = _series(path)
    headers = max(series.values(), key=_count)
    notes = _other_series(series, headers)
    if len(headers) == 1:
        single = itk.open_source(headers[0][0])
        return replace(single, info=replace(single.info, path=path, notes=(*notes, *single.info.notes)))
    slices, more = _sorted(path, headers)
    affine, spacing_notes = _affine(slices)
    first = itk.open_source(slices[0].path)
    rows, columns = int(slices[0].header.Rows), int(slices[0].header.Columns)
    shape = (columns, rows, len(slices))
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


def _series(folder: Path) -> dict[str, list[tuple[Path, pydicom.Dataset]]]:
    series: dict[str, list[tuple[Path, pydicom.Dataset]]] = defaultdict(list)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            with decoding(path, "DICOM file"):
                header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
        except InputError as error:
            if isinstance(error.__cause__, InvalidDicomError):
                continue  # a folder also holds reports, an index, thumbnails
            raise
        if "Rows" in header:
            series[str(header.get("SeriesInstanceUID", ""))].append((path, header))
    if not series:
        raise InputError(f"{folder} holds no image; expected DICOM files, or slices as TIFF, PNG or JPEG.")
    return series


def _other_series(series: dict[str, Any], taken: list[tuple[Path, pydicom.Dataset]]) -> tuple[str, ...]:
    if len(series) == 1:
        return ()
    names = ", ".join(_describe(headers) for headers in series.values())
    return (f"The folder holds {len(series)} series ({names}); {_describe(taken)} is read.",)


def _describe(headers: list[tuple[Path, pydicom.Dataset]]) -> str:
    first = headers[0][1]
    name = first.get("SeriesDescription") or f"series {first.get('SeriesNumber', '?')}"
    return f"{name!r} of {_count(headers)} slices"


def _count(headers: list[tuple[Path, pydicom.Dataset]]) -> int:
    return sum(int(header.get("NumberOfFrames") or 1) for _, header in headers)


def _sorted(folder: Path, headers: list[tuple[Path, pydicom.Dataset]]) -> tuple[list[_Slice], tuple[str, ...]]:
    kinds = {(int(h.Rows), int(h.Columns), tuple(np.round(_orientation(h), 3))) for _, h in headers}
    if len(kinds) > 1:
        raise InputError(f"{folder} holds slices of {len(kinds)} sizes or orientations in one series; expected one.")
    slices = sorted((_Slice(p, h, _position(h)) for p, h in headers), key=lambda s: s.position)
    unique = [
        s for s, before in zip(slices, [None, *slices], strict=False) if before is None or s.position != before.position
    ]
    if len(unique) == len(slices):
        return slices, ()
    return unique, (f"{len(slices) - len(unique)} slices lie where another one lies and are left out.",)


def _affine(slices: list[_Slice]) -> tuple[orientation.Affine, tuple[str, ...]]:
    """Index (i, j, k) to (right, anterior, superior) in mm (DICOM PS3.3 C.7.6.2.1.1)."""
    header = slices[0].header
    known = "ImagePositionPatient" in header and "ImageOrientationPatient" in header
    dy, dx = (float(v) for v in header.get("PixelSpacing") or (1, 1))
    if known:
        dz, notes = _distance(slices)
    else:
        dz = float(header.get("SliceThickness") or 1)
        notes = ("No slice positions are given: the order of numbers and the slice thickness are taken.",)
    if not header.get("PixelSpacing"):
        notes = (*notes, "No pixel size is given: 1 mm is taken.")
    row, column = _orientation(header).reshape(2, 3)
    lps = np.eye(4)
    lps[:3, :3] = np.stack([row * dx, column * dy, np.cross(row, column) * dz], axis=1)
    lps[:3, 3] = header.ImagePositionPatient if known else 0
    return orientation.RAS_FROM_LPS @ lps, notes


def _distance(slices: list[_Slice]) -> tuple[float, tuple[str, ...]]:
    steps = np.diff([s.position for s in slices])
    usual = float(np.median(steps))
    if np.abs(steps - usual).max() <= UNEVEN * usual:
        return float(steps.mean()), ()
    return usual, (
        f"Slices are missing or unevenly spaced: {steps.min():.3g} to {steps.max():.3g} mm apart; "
        f"{usual:.3g} mm is taken everywhere.",
    )


def _orientation(header: pydicom.Dataset) -> npt.NDArray[np.float64]:
    return np.array(header.get("ImageOrientationPatient") or (1, 0, 0, 0, 1, 0), dtype=float)


def _position(header: pydicom.Dataset) -> float:
    if "ImagePositionPatient" not in header:
        return float(header.get("InstanceNumber") or 0)
    row, column = _orientation(header).reshape(2, 3)
    return float(np.round(np.cross(row, column) @ np.array(header.ImagePositionPatient, dtype=float), 4))


def _read(files: list[Path], shape: tuple[int, ...], transform: npt.NDArray[Any], part: Part) -> npt.NDArray[Any]:
    box = orientation.file_box(transform, part.box, shape)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(f) for f in files[box[2]]])
    with decoding(files[0].parent, "DICOM series"):
        array = sitk.GetArrayFromImage(reader.Execute())
    array = array.reshape(*array.shape[:3], -1)[:, box[1], box[0]]
    channels = [orientation.reorder(array[..., c].T, transform) for c in part.channels]
    return stack(channels)
