"""Segmentations in DICOM: segments as labels on their own grid, with names and colours."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.color import lab2rgb

from napari_unetseg.core.io import orientation
from napari_unetseg.core.io.formats.dicom import pixels
from napari_unetseg.core.io.formats.dicom.headers import LABEL_MAP, Frame, open_dataset
from napari_unetseg.core.io.legend import Legend
from napari_unetseg.core.io.source import Part, Source, VolumeInfo, decoding
from napari_unetseg.core.notes import Note
from napari_unetseg.core.volume import Structure, default_channels, default_colour
from napari_unetseg.errors import InputError

Frames = tuple[Frame, ...]
Place = tuple[Frame, int]
"""A frame and the slice that it lies in."""
MOST_SLICES = 65535
ODD = 0.05  # of the distance between slices


def open_segmentation(path: Path, frames: Frames, notes: tuple[Note, ...]) -> Source:
    """Open a segmentation as labels; slices in which nothing is drawn may be left out of the file.

    Raises
    ------
    InputError
        If a frame has no position or segment, or positions lie on no grid.
    """
    first = frames[0]
    is_map = first.SOPClassUID == LABEL_MAP
    if any(f.ImagePositionPatient is None or (f.ReferencedSegmentNumber is None and not is_map) for f in frames):
        raise InputError(f"{path} is a DICOM segmentation of frames without a position or a segment; expected both.")
    dz, count, places = _slices(path, frames)
    (dy, dx), (row, column) = first.pixel or (1.0, 1.0), first.axes
    lowest = min(frames, key=lambda frame: frame.along)
    lps = np.eye(4)
    lps[:3, :3] = np.stack([row * dx, column * dy, np.cross(row, column) * dz], axis=1)
    lps[:3, 3] = lowest.ImagePositionPatient or 0
    shape = (first.Columns, first.Rows, count)
    transform, size, grid = orientation.read_frame(orientation.RAS_FROM_LPS @ lps, shape, "mm")
    threshold, structures, most = _described(first)
    if threshold:
        note = f"Segments are fractions here: a voxel belongs to one from {threshold} of {2 * threshold} on."
        notes = (*notes, Note(note, "fractions-cut"))
    if not first.pixel:
        notes = (*notes, Note("No pixel size is given: 1 mm is taken.", "spacing-assumed", "--spacing"))
    dtype = np.dtype(np.uint8 if most < 256 else np.uint16)
    notes = (*notes, Note("It is a DICOM segmentation: its segments are read as labels.", "segmentation"))
    info = VolumeInfo(path, "DICOM segmentation", size, default_channels(1), dtype, grid, notes=notes)
    read = partial(_read, places, is_map, threshold, shape, transform, dtype)
    files = tuple(dict.fromkeys(frame.path for frame in frames))
    return Source(info, read, Legend(structures=structures), chunk=None, unit=info.nbytes, files=files)


def _slices(path: Path, frames: Frames) -> tuple[float, int, tuple[Place, ...]]:
    """The distance between slices, their number, and the one that each frame lies in."""
    along = np.array([frame.along for frame in frames])
    apart = np.diff(np.unique(np.round(along - along.min(), 3)))
    declared = abs(frames[0].SpacingBetweenSlices or 0)
    step = float(apart.min()) if len(apart) else declared or abs(frames[0].SliceThickness or 0) or 1.0
    if declared and len(apart) and np.all(np.abs(apart / declared - np.round(apart / declared)) < ODD):
        step = declared
    index = (along - along.min()) / step
    if np.abs(index - np.round(index)).max() > ODD * max(1, len(apart)) or index.max() >= MOST_SLICES:
        raise InputError(f"{path} is a DICOM segmentation whose slices are unevenly spaced; expected an even grid.")
    whole = np.round(index).astype(int)
    return step, int(whole.max()) + 1, tuple(zip(frames, whole.tolist(), strict=True))


def _described(first: Frame) -> tuple[int, tuple[Structure, ...], int]:
    """The number from which on a fraction counts (0: none are), the structures, and the largest label."""
    with decoding(first.path, "DICOM segmentation"):
        dataset = open_dataset(first.path, stop_before_pixels=True)
        threshold = 0
        if dataset.get("SegmentationType") == "FRACTIONAL":
            threshold = max(1, int(dataset.get("MaximumFractionalValue") or 255) // 2)
        structures = tuple(_structures(dataset.get("SegmentSequence") or []))
    return threshold, structures, max((s.label for s in structures), default=MOST_SLICES)


def _structures(segments: Iterable[Any]) -> Iterable[Structure]:
    for position, segment in enumerate(segments):
        label = int(segment.get("SegmentNumber", position + 1))
        if label > 0:
            name = str(segment.get("SegmentLabel") or f"segment {label}")
            yield Structure(label=label, name=name, colour=_colour(segment, position))


def _colour(segment: Any, position: int) -> str:
    """The colour that is recommended, from CIELab in 16 bits (PS3.3 C.10.7.1.1); else one of ours."""
    lab = segment.get("RecommendedDisplayCIELabValue")
    if not lab or len(lab) != 3:
        return default_colour(position + 1)
    lightness, a, b = (float(value) / 65535 for value in lab)
    rgb = np.clip(lab2rgb([lightness * 100, a * 255 - 128, b * 255 - 128]), 0, 1)
    return "#{:02x}{:02x}{:02x}".format(*np.rint(rgb * 255).astype(int))


def _read(
    places: tuple[Place, ...],
    is_map: bool,
    threshold: int,
    shape: tuple[int, int, int],
    transform: npt.NDArray[Any],
    dtype: np.dtype[Any],
    part: Part,
) -> npt.NDArray[Any]:
    labels, overlap = np.zeros((shape[2], shape[1], shape[0]), dtype), 0
    dataset = None
    for frame, index in sorted(places, key=lambda place: (str(place[0].path), place[0].ReferencedSegmentNumber or 0)):
        with decoding(frame.path, "DICOM segmentation"):
            dataset = dataset or open_dataset(frame.path)
            stored = pixels.stored_plane(frame, dataset)
        inside = stored > 0 if is_map else stored >= max(1, threshold)
        overlap += int(np.count_nonzero(labels[index][inside])) if not is_map else 0
        labels[index][inside] = stored[inside] if is_map else frame.ReferencedSegmentNumber
    if overlap:
        text = f"{overlap} voxels belong to several segments; the one of the higher number is taken."
        warnings.warn(Note(text, "segments-overlap"), stacklevel=2)
    box = orientation.file_box(transform, part.box, shape)
    return orientation.reorder(labels.T[box], transform)[None]
