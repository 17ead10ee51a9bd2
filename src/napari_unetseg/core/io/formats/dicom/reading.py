"""DICOM: a file, a DICOMDIR, or a folder with one or several images, read frame by frame by their headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.uid import MediaStorageDirectoryStorage
from scipy import ndimage

from napari_unetseg.core.io import orientation
from napari_unetseg.core.io.formats.dicom import pixels
from napari_unetseg.core.io.formats.dicom.grouping import Frames, Image, choose, images_of
from napari_unetseg.core.io.formats.dicom.headers import Frame, open_dataset, read_frames
from napari_unetseg.core.io.formats.dicom.segments import open_segmentation
from napari_unetseg.core.io.formats.registry import beginning, starts_as_dicom
from napari_unetseg.core.io.source import Part, Source, VolumeInfo, decoding
from napari_unetseg.core.notes import Note
from napari_unetseg.core.settings import Selection
from napari_unetseg.errors import InputError

UNEVEN = 0.02  # of the usual distance between slices
TILT = 0.5  # degrees: less is rounding
AIR = -1000.0  # Hounsfield units
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stack:
    """Where the slices of an image lie, and the planes that are made of them.

    Parameters
    ----------
    affine : (4, 4)
        Index (i, j, k) to (right, anterior, superior) in mm.
    shape : (i, j, k)
    notes : tuple of Note
    unit : str
        ``mm``, or ``pixel`` where nothing tells a size.
    moved : tuple of (down, across), or ()
        How far each slice is shifted on the canvas, in pixels; empty where slices are taken as they are.
    """

    affine: orientation.Affine
    shape: tuple[int, int, int]
    notes: tuple[Note, ...] = ()
    unit: str = "mm"
    moved: tuple[tuple[float, float], ...] = ()


def open_source(path: Path, selection: Selection = Selection()) -> Source:  # noqa: B008 - it is frozen
    """Open a file or folder by the headers of its frames.

    Time points of one image are read one by one; what lies beside an image (scouts, segmentations, captures) is left
    out with a note.

    Raises
    ------
    InputError
        If there is no DICOM image, a header does not hold what it must, or there are several images and
        `selection.series` names none of them.
    """
    frames, notes = _frames_at(path)
    image, more = choose(path, images_of(frames), selection.series)
    notes = (*notes, *more)
    if image.first.is_segmentation:
        return open_segmentation(path, image.times[0], notes)
    stack = _straight(image.times[0], resample=selection.resample)
    return _source(path, image, stack, notes)


def _source(path: Path, image: Image, stack: Stack, notes: tuple[Note, ...]) -> Source:
    transform, size, grid = orientation.read_frame(stack.affine, stack.shape, "mm")
    if stack.unit == "pixel":
        grid = orientation.without_unit(grid)
    every = [frame for time in image.times for frame in time]
    if any(frame.PhotometricInterpretation == pixels.INVERTED for frame in every):
        notes = (*notes, pixels.WHITE_IS_ZERO)
    info = VolumeInfo(
        path=path,
        format="DICOM" if path.is_file() else "DICOM series",
        shape=size,
        channels=pixels.channels_of(image.first),
        dtype=pixels.dtype_of(every),
        grid=grid,
        times=len(image.times),
        notes=(*notes, *stack.notes),
    )
    read = partial(_read, image.times, stack, transform, info.dtype)
    return Source(info, read, unit=info.nbytes // size[0], files=tuple(dict.fromkeys(f.path for f in every)))


def _frames_at(path: Path) -> tuple[list[Frame], tuple[Note, ...]]:
    """All frames at a path, and notes on what is none."""
    files, lost = _files(path)
    frames, others = read_frames(files)
    if not frames:
        expected = "expected DICOM files, or slices as TIFF, PNG or JPEG" if path.is_dir() else "expected pixels"
        raise InputError(f"{path} holds no image; {expected}.")
    notes = list[Note]()
    if others:
        text = f"{others} DICOM files hold no image, or are damaged, and are left out."
        notes.append(Note(text, "no-image-left-out"))
    if lost:
        notes.append(Note(f"{lost} files that the DICOMDIR lists are not there.", "files-missing"))
    pictures = sum(p.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff") for p in files)
    if pictures and path.is_dir():
        notes.append(Note(f"{pictures} pictures beside the DICOM files are left out.", "pictures-left-out"))
    return frames, tuple(notes)


def _files(path: Path) -> tuple[list[Path], int]:
    """The files to look at, and how many of those that a DICOMDIR lists are missing."""
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file()), 0
    with decoding(path, "DICOM file"):
        if not starts_as_dicom(beginning(path)):
            raise InputError(f"{path} is no DICOM file. Is it damaged? Copy it again.")
        index = open_dataset(path, stop_before_pixels=True, specific_tags=["DirectoryRecordSequence"])
        if index.file_meta.get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage:
            return [path], 0
        names = [record.get("ReferencedFileID") for record in index.get("DirectoryRecordSequence") or ()]
        listed = [path.parent.joinpath(*([n] if isinstance(n, str) else n)) for n in names if n]
    inside = path.parent.resolve()
    there = [p for p in listed if p.is_file() and p.resolve().is_relative_to(inside)]
    return there, len(listed) - len(there)


def _straight(slices: Frames, resample: bool | None) -> Stack:
    """The stack of slices; those that are shifted against each other are moved, unless `resample` is False."""
    first = slices[0]
    dz, notes = _distance(slices)
    size, unit, more = _pixel_size(first)
    dy, dx = size
    row, column = first.axes
    normal, origin = np.cross(row, column), np.array(first.ImagePositionPatient or (0.0, 0.0, 0.0))
    step = normal * dz
    shape, moved = (first.Columns, first.Rows, len(slices)), tuple[tuple[float, float], ...]()
    places = [np.array(s.ImagePositionPatient) - origin for s in slices if s.ImagePositionPatient is not None]
    shifts = np.array([(place @ column / dy, place @ row / dx) for place in places])
    angle = _tilt(places, normal)
    if angle >= TILT and resample is not False:
        low, high = np.floor(shifts.min(0)).astype(int), np.ceil(shifts.max(0)).astype(int)
        shape = (first.Columns + int(high[1] - low[1]), first.Rows + int(high[0] - low[0]), len(slices))
        _check_canvas(first, shape)
        origin = origin + column * dy * low[0] + row * dx * low[1]
        moved = tuple((float(v), float(u)) for v, u in shifts - low)
        text = (
            f"The slices are shifted against each other, by {angle:.1f}° (a tilted gantry, a sheared grid): they are "
            "resampled to a straight grid. --no-resample reads them as they are."
        )
        more = (*more, Note(text, "tilt-resampled", "--no-resample"))
    elif angle >= TILT:
        step = places[-1] / (len(slices) - 1)
        text = f"The slices are shifted against each other, by {angle:.1f}° (a tilted gantry): the grid is sheared."
        more = (*more, Note(text, "grid-sheared", "--resample"))
    lps = np.eye(4)
    lps[:3, :3] = np.stack([row * dx, column * dy, step], axis=1)
    lps[:3, 3] = origin
    return Stack(orientation.RAS_FROM_LPS @ lps, shape, (*notes, *more), unit, moved)


def _check_canvas(first: Frame, shape: tuple[int, int, int]) -> None:
    if max(shape[0] / first.Columns, shape[1] / first.Rows) > 4:
        raise InputError(
            f"{first.path.parent} holds slices that are shifted by {shape[0] - first.Columns} × "
            f"{shape[1] - first.Rows} pixels against each other; expected slices above each other. Read them as they "
            "are by --no-resample."
        )


def _pixel_size(frame: Frame) -> tuple[tuple[float, float], str, tuple[Note, ...]]:
    """Down and across, the unit, and a note where it is not that of the patient."""
    if frame.PixelSpacing:
        return frame.PixelSpacing, "mm", ()
    if frame.NominalScannedPixelSpacing:
        note = Note("The pixel size is that of the scanned film.", "spacing-of-the-film", "--spacing")
        return frame.NominalScannedPixelSpacing, "mm", (note,)
    if frame.ImagerPixelSpacing:
        text = "The pixel size is that at the detector: the body is nearer to the source, and smaller than it says."
        return frame.ImagerPixelSpacing, "mm", (Note(text, "spacing-at-the-detector", "--spacing"),)
    if frame.ImagePositionPatient is not None:
        return (1.0, 1.0), "mm", (Note("No pixel size is given: 1 mm is taken.", "spacing-assumed", "--spacing"),)
    return (1.0, 1.0), "pixel", (Note("No pixel size is given: it is not known.", "spacing-unknown", "--spacing"),)


def _distance(slices: Sequence[Frame]) -> tuple[float, tuple[Note, ...]]:
    """From slice to slice in mm, and a note where it is assumed or uneven."""
    first = slices[0]
    thickness = abs(first.SpacingBetweenSlices or 0) or abs(first.SliceThickness or 0) or 1.0
    if len(slices) == 1:
        return abs(first.SliceThickness or 0) or 1.0, ()
    if first.ImagePositionPatient is None:
        text = "No slice positions are given: the order of numbers and the slice thickness are taken."
        return thickness, (Note(text, "positions-assumed", "--spacing"),)
    steps = np.diff([s.along for s in slices])
    usual = float(np.median(steps))
    if np.abs(steps - usual).max() <= UNEVEN * usual:
        return float(steps.mean()), ()
    text = (
        f"Slices are missing or unevenly spaced: {steps.min():.3g} to {steps.max():.3g} mm apart; "
        f"{usual:.3g} mm is taken everywhere."
    )
    return usual, (Note(text, "slices-missing", "--spacing"),)


def _tilt(places: Sequence[Vector], normal: Vector) -> float:
    """By how many degrees the line from the first to the last slice leans."""
    if len(places) < 2:
        return 0.0
    along = float(places[-1] @ normal)
    return float(np.degrees(np.arctan2(np.linalg.norm(places[-1] - along * normal), abs(along))))


def _read(
    times: tuple[Frames, ...], stack: Stack, transform: npt.NDArray[Any], dtype: np.dtype[Any], part: Part
) -> npt.NDArray[Any]:
    i, j, k = orientation.file_box(transform, part.box, stack.shape)
    frames = times[part.time][k]
    moved = stack.moved[k] or [None] * len(frames)
    channels = list(part.channels)
    planes = [
        (plane if move is None else _moved(plane, move, stack.shape, frame))[channels, j, i]
        for plane, move, frame in zip(pixels.read_planes(frames, dtype), moved, frames, strict=True)
    ]
    array = np.stack(planes, axis=-1)  # (c, j, i, k)
    return np.stack([orientation.reorder(channel.transpose(1, 0, 2), transform) for channel in array])


def _moved(
    plane: npt.NDArray[Any], move: tuple[float, float], shape: tuple[int, int, int], frame: Frame
) -> npt.NDArray[Any]:
    """A slice (c, j, i) on the canvas, shifted by part of a pixel: linear between pixels, air or 0 around."""
    fill = AIR if frame.Modality == "CT" and plane.dtype.kind in "if" else 0.0
    canvas = [
        ndimage.affine_transform(
            channel.astype(np.float64), np.ones(2), offset=[-m for m in move], output_shape=(shape[1], shape[0]),
            order=1, cval=fill,
        )
        for channel in plane
    ]  # fmt: skip
    made = np.stack(canvas)
    return (np.rint(made) if plane.dtype.kind in "iu" else made).astype(plane.dtype)
