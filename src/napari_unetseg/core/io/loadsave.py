"""Readers of images and writers of results, in every format the program knows.

Formats are told by suffix, folders by what lies in them. A format's library is imported when a file of it is opened.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.io.formats.registry import label_writer, open_source, volume_writer
from napari_unetseg.core.io.lazy import EVERYTHING, open_labels, open_volume, smallest_dtype, warn_of_notes
from napari_unetseg.core.io.source import VolumeInfo
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Volume

__all__ = ["VolumeInfo", "inspect", "load_labels", "load_volume", "save_labels", "save_volume"]


def inspect(path: str | Path) -> VolumeInfo:
    """What a file or folder holds, without loading it.

    Raises
    ------
    InputError
        If there is nothing there, it is damaged, or its format is unknown.
    """
    return open_source(Path(path)).info


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
    colours.

    Raises
    ------
    OutputError
        If the suffix is unknown, or the file cannot be written.
    """
    target = Path(path)
    write = label_writer(target).write_labels
    with atomic_path(target) as temporary:
        write(temporary, replace(labels, array=smallest_dtype(labels.array)))


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
    stored = {"float16": "float32", "bool": "uint8"}.get(volume.array.dtype.name, volume.array.dtype)
    with atomic_path(target) as temporary:
        write(temporary, replace(volume, array=volume.array.astype(stored, copy=False)))
