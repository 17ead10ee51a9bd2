"""Readers of images and writers of results, in every format the program knows.

Formats are told by suffix, folders by what lies in them. A format's library is imported when a file of it is opened.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.geometry.same_grid import is_turned
from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.io.formats.registry import (
    LABEL_WRITERS,
    box_writer,
    label_writer,
    open_source,
    series_writer,
    volume_writer,
)
from napari_unetseg.core.io.lazy import EVERYTHING, open_labels, open_volume, smallest_dtype, warn_of_notes
from napari_unetseg.core.io.selecting import choose_image
from napari_unetseg.core.io.source import VolumeInfo
from napari_unetseg.core.notes import Note
from napari_unetseg.core.privacy import shown_name
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.core.voxels import Sink, VoxelSource
from napari_unetseg.errors import InputError

__all__ = [
    "VolumeInfo",
    "inspect",
    "label_sink",
    "load_labels",
    "load_volume",
    "save_labels",
    "save_series",
    "save_volume",
    "volume_sink",
]

UNTURNED = tuple(suffix for name in ("tiff", "ome_zarr") for suffix in LABEL_WRITERS[name])
"""Suffixes of formats that hold spacing and at most a position; the rest stands in our own record."""


def inspect(path: str | Path, image: int | None = None, *, series: str | None = None) -> VolumeInfo:
    """What a file or folder holds, without loading it; of several images or DICOM series the one that is named.

    Without a number it is the first image; several series are listed in the error.

    Raises
    ------
    InputError
        If there is nothing there, it is damaged, or its format is unknown.
    SettingsError
        If there is no such image.
    """
    source = open_source(Path(path), Selection(series=series))
    return source.info if image is None else choose_image(source, image).info


def load_volume(path: str | Path, selection: Selection = EVERYTHING) -> Volume:
    """Load an image; what a user should know of it (an assumed spacing, missing slices) is warned of.

    Of a time series one time point is loaded; `Volume.at` loads another. `lazy.open_volume` reads nothing yet.

    Parameters
    ----------
    path : str or Path
        A file, an OME-Zarr, a DICOM series' folder, or a folder of slices.
    selection : Selection
        Channels, time point, level, crop, and a spacing instead of the file's. A spacing without a unit is in the
        file's unit, or in µm where the file has none.

    Raises
    ------
    InputError
        If there is nothing there, it is damaged, or its format is unknown.
    SettingsError
        If the selection lies outside the file.
    ResourceError
        If it does not fit into the free memory.
    """
    volume = open_volume(path, selection)
    warn_of_notes(volume)
    return volume.load()


def load_labels(path: str | Path, selection: Selection = EVERYTHING) -> Labels:
    """Load labels (Z, Y, X) of the smallest unsigned dtype, with structures' names and colours where the file has them.

    Real numbers are taken if they are all whole.

    Raises
    ------
    InputError
        As `load_volume`; also if there is more than one channel, or a number is negative, not whole or not finite.
    """
    labels = open_labels(path, selection)
    warn_of_notes(labels.volume)
    return labels.load()


def save_labels(path: str | Path, labels: Labels) -> None:
    """Write labels whole or not at all, in the smallest dtype that holds them; the suffix chooses the format.

    Spacing, unit, origin and orientation are kept as far as the format can hold them, as are structures' names and
    colours; a `Note` is warned of where other programs will not see the orientation.

    Raises
    ------
    OutputError
        If the suffix is unknown, or the file cannot be written.
    """
    target = Path(path)
    write = label_writer(target).write_labels
    with atomic_path(target) as temporary:
        write(temporary, replace(labels, array=smallest_dtype(labels.array)))
    if is_turned(labels.grid) and target.name.lower().endswith(UNTURNED):
        text = f"{shown_name(target)}: other programs will not see that it is turned; .nii.gz and .nrrd tell them."
        warnings.warn(Note(text, "orientation-lost"), stacklevel=2)


def save_volume(path: str | Path, volume: Volume) -> None:
    """Write an image, such as one channel of probabilities a structure.

    No format holds float16 or bool in a way that every program reads: float32 and uint8 are written.

    Raises
    ------
    OutputError
        If the suffix is unknown or cannot hold channels, or the file cannot be written.
    """
    target = Path(path)
    write = volume_writer(target).write_volume
    with atomic_path(target) as temporary:
        write(temporary, replace(volume, array=volume.array.astype(_stored_dtype(volume), copy=False)))


def save_series(path: str | Path, frames: Sequence[Labels] | Sequence[Volume]) -> None:
    """Write several time points of labels or of an image, of one shape and grid, as `save_labels` and `save_volume`.

    Raises
    ------
    OutputError
        If the format of that suffix holds one time point, or the file cannot be written.
    InputError
        If the time points have different shapes or grids.
    """
    target = Path(path)
    write = series_writer(target).write_series
    if len({frame.array.shape for frame in frames}) != 1:
        raise InputError(f"Expected time points of one shape; got {[frame.array.shape for frame in frames]}.")
    grids = [frame.grid for frame in frames]
    other = next((time for time, grid in enumerate(grids) if grid != grids[0]), None)
    if other is not None:
        raise InputError(f"Expected time points on one grid; that of time {other} is another one than that of time 0.")
    dtype = np.result_type(*(_stored_dtype(frame) for frame in frames))
    with atomic_path(target) as temporary:
        write(temporary, [replace(frame, array=frame.array.astype(dtype, copy=False)) for frame in frames])  # type: ignore[arg-type] # of one kind


def _stored_dtype(data: Labels | Volume) -> np.dtype[Any]:
    """That in which it is written: of labels the smallest, of an image one that every program reads."""
    if isinstance(data, Labels):
        return smallest_dtype(data.array).dtype
    return np.dtype({"float16": "float32", "bool": "uint8"}.get(data.array.dtype.name, data.array.dtype))


@contextmanager
def label_sink(
    path: str | Path, like: VoxelSource, structures: tuple[Structure, ...], dtype: npt.DTypeLike = np.uint8
) -> Iterator[Sink]:
    """Write labels in boxes, whole or not at all: at the end of the block, if every voxel has come.

    Parameters
    ----------
    path : str or Path
        An OME-Zarr.
    like : VoxelSource
        The image, for the grid and the shape.
    structures : tuple of Structure
        Names and colours.
    dtype : dtype
        It must hold all labels that will come.

    Raises
    ------
    OutputError
        If the suffix is not ``.zarr``, or it cannot be written.
    """
    labels = Labels(np.broadcast_to(np.zeros((), dtype), like.shape), like.grid, structures, name=like.name)
    with atomic_path(Path(path)) as temporary, box_writer(Path(path)).label_sink(temporary, labels) as sink:
        yield sink


@contextmanager
def volume_sink(path: str | Path, like: VoxelSource, channels: tuple[str, ...]) -> Iterator[Sink]:
    """Write an image, such as probabilities, as float32 in boxes (C, z, y, x); see `label_sink`."""
    empty = np.broadcast_to(np.zeros((), np.float32), (len(channels), *like.shape))
    volume = Volume(empty, like.grid, channels, like.name)
    with atomic_path(Path(path)) as temporary, box_writer(Path(path)).volume_sink(temporary, volume) as sink:
        yield sink
