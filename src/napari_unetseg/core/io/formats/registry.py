"""The registry of formats: which module reads or writes a path."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, cast

from napari_unetseg.core.io.selecting import straightened
from napari_unetseg.core.io.source import Source, Stamps, check_file, check_unit, guarded, stamps
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.core.voxels import Sink
from napari_unetseg.errors import InputError, OutputError, SettingsError

READERS = {
    "tiff": (".tif", ".tiff", ".btf", ".tf8", ".tf2"),
    "nifti": (".nii", ".nii.gz", ".img", ".hdr"),
    "itk": (".nrrd", ".nhdr", ".mha", ".mhd"),
    "ome_zarr": (".zarr",),
    "pictures": (".png", ".jpg", ".jpeg", ".bmp", ".webp"),
    "dicom": (".dcm", ".dicom"),
}
LABEL_WRITERS = {
    "tiff": (".tif", ".tiff"),
    "nifti": (".nii", ".nii.gz"),
    "ome_zarr": (".zarr",),
    "itk": (".nrrd",),
}
VOLUME_WRITERS = {name: LABEL_WRITERS[name] for name in ("tiff", "nifti", "ome_zarr")}
SERIES_WRITERS = {name: LABEL_WRITERS[name] for name in ("tiff", "nifti", "ome_zarr")}
SINKS = {"ome_zarr": LABEL_WRITERS["ome_zarr"]}
MAGIC = {
    (0, b"II*\0"): "tiff",
    (0, b"MM\0*"): "tiff",
    (0, b"II+\0"): "tiff",
    (0, b"MM\0+"): "tiff",
    (128, b"DICM"): "dicom",
}
UNREAD = {
    (".czi", ".lif", ".nd2", ".oir", ".oib", ".oif", ".vsi", ".lof", ".svs", ".ndpi", ".scn", ".mrxs"): (
        "a microscope's own format; save it as OME-TIFF in the microscope's program, or convert it by Fiji "
        "(Bio-Formats) or bioformats2raw"
    ),
    (".h5", ".hdf5", ".hdf", ".ims", ".n5"): "HDF5 or N5; save the image as OME-TIFF or OME-Zarr, such as from Fiji",
    (".mrc", ".rec", ".map", ".st", ".ali"): "MRC; convert it by IMOD's mrc2tif, or in Fiji, to TIFF",
    (".mgz", ".mgh"): "FreeSurfer's format; convert it by mri_convert to .nii.gz",
    (".mat", ".npy", ".npz"): "an array without a description; save it as TIFF, such as by tifffile",
    (".mnc", ".vtk", ".vti", ".par"): "not read; convert it to NIfTI or NRRD, such as in 3D Slicer",
}
"""Suffixes of formats that are not read, and what to do about them."""
COMPANION = ".companion.ome"
"""Ends the name of a file that describes TIFFs beside it, and is no image of its own in a folder."""
EVERYTHING = Selection()
ROOMS = {"dicom": "dicom.reading"}
"""The modules that read what is a folder here."""
ZARR_MARKS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


class Reader(Protocol):
    """A module that reads a format."""

    def open_source(self, path: Path) -> Source:
        """Open a file or folder by its header; raises `InputError`."""


class SeriesReader(Protocol):
    """A module that reads a format in which a folder may hold several series."""

    def open_source(self, path: Path, selection: Selection) -> Source:
        """Open the one of them that `selection.series` names; raises `InputError`."""


class LabelWriter(Protocol):
    """A module that writes labels."""

    def write_labels(self, path: Path, labels: Labels) -> None:
        """Write labels to a path where nothing is yet, in the dtype that they have."""


class VolumeWriter(Protocol):
    """A module that writes images."""

    def write_volume(self, path: Path, volume: Volume) -> None:
        """Write an image with its channels to a path where nothing is yet."""


class SeriesWriter(Protocol):
    """A module that writes several time points."""

    def write_series(self, path: Path, frames: Sequence[Labels] | Sequence[Volume]) -> None:
        """Write labels or images of one grid, shape and dtype, time point after time point."""


class BoxWriter(Protocol):
    """A module that writes labels and images in boxes, of what is told by `like` without its voxels."""

    def label_sink(self, path: Path, like: Labels) -> AbstractContextManager[Sink]:
        """What writes labels to a path where nothing is yet; at the end it raises unless every voxel has come."""

    def volume_sink(self, path: Path, like: Volume) -> AbstractContextManager[Sink]:
        """What writes an image (c, z, y, x) in the same way."""


def open_source(path: Path, selection: Selection = EVERYTHING) -> Source:
    """Open a path by its suffix, its first bytes or, for a folder, what lies in it.

    Of `selection` what chooses among several series counts, and how these are put together.

    Raises
    ------
    InputError
        If there is nothing, it is a pipe or a device, empty or damaged, or of no known format.
    """
    if not exists(path):
        raise InputError(f"There is no file or folder {path}; check the path.")
    check_file(path)
    try:
        name = _folder_format(path) if path.is_dir() else _file_format(path)
    except OSError as error:
        raise InputError(f"{path} may not be read: {error.strerror}.") from error
    opened = stamps([path] if path.is_file() else [])
    try:
        source = straightened(_open(name, path, selection), selection.resample)
    except SettingsError as error:  # where its voxels lie, by its metadata, cannot be
        raise InputError(f"{path} is not placed in space: {error} Is it damaged?") from error
    return _safe(source, opened | stamps(source.files))


def _safe(source: Source, opened: Stamps) -> Source:
    """The source, and those that it opens, which read only what has sound units and has not changed since."""
    check_unit(source)
    image, labels = source.open_image, source.as_labels
    return replace(
        guarded(source, opened),
        open_image=image and partial(_safe_one, image, opened),
        as_labels=labels and partial(_safe_one, labels, opened),
    )


def _safe_one(open_one: Callable[..., Source], opened: Stamps, *which: int) -> Source:
    return _safe(open_one(*which), opened)


def _open(name: str, path: Path, selection: Selection) -> Source:
    if name == "dicom":
        return cast(SeriesReader, _module(name)).open_source(path, selection)
    if selection.series is not None:
        raise InputError(f"Expected a series of DICOM; {path} holds none. Leave --series out.")
    return cast(Reader, _module(name)).open_source(path)


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; False too for a name that no system allows, or where one may not look."""
    try:
        return path.exists()
    except OSError:
        return False


def stem(path: Path) -> str:
    """The name without the suffixes of its format: ``scan.v2`` of ``scan.v2.ome.tif``."""
    if path.name.lower().endswith(COMPANION):
        return path.name[: -len(COMPANION)] or "image"
    endings = [s for group in READERS.values() for s in group if path.name.lower().endswith(s)]
    name = path.name[: -len(endings[0])] if endings else path.name
    return name.removesuffix(".ome").removesuffix(".seg") or "image"


def label_writer(path: Path) -> LabelWriter:
    """The module that writes labels to `path`; raises `OutputError` where the suffix is unknown."""
    return cast(LabelWriter, _writer(path, LABEL_WRITERS))


def volume_writer(path: Path) -> VolumeWriter:
    """The module that writes images to `path`; raises `OutputError` where the suffix is unknown."""
    return cast(VolumeWriter, _writer(path, VOLUME_WRITERS))


def series_writer(path: Path) -> SeriesWriter:
    """The module that writes several time points to `path`; raises `OutputError` where its format holds one."""
    if _by_suffix(path, SERIES_WRITERS) is None:
        known = ", ".join(s for group in SERIES_WRITERS.values() for s in group)
        raise OutputError(f"{path.name} can hold one time point; expected a name that ends in one of {known}.")
    return cast(SeriesWriter, _writer(path, SERIES_WRITERS))


def box_writer(path: Path) -> BoxWriter:
    """The module that writes to `path` in boxes; raises `OutputError` where the suffix is not that of one."""
    return cast(BoxWriter, _writer(path, SINKS))


def _writer(path: Path, suffixes: dict[str, tuple[str, ...]]) -> object:
    name = _by_suffix(path, suffixes)
    if name is None:
        known = ", ".join(s for group in suffixes.values() for s in group)
        raise OutputError(f"Expected a file to write to that ends in one of {known}; got {path.name!r}.")
    return _module(name)


def _file_format(path: Path) -> str:
    start = beginning(path)
    if not start:
        raise InputError(f"{path} is empty (0 bytes); copy it again.")
    if path.name.lower().endswith(COMPANION):
        return "tiff"
    name = _by_suffix(path, READERS) or next(
        (name for (offset, magic), name in MAGIC.items() if start[offset:].startswith(magic)), None
    )
    if name is None and starts_as_dicom(start):
        return "dicom"
    if name is None:
        known = ", ".join(s for group in READERS.values() for s in group)
        told = next((words for group, words in UNREAD.items() if path.name.lower().endswith(group)), None)
        if told is not None:
            raise InputError(f"{path} is {told}.")
        raise InputError(f"{path} is of no known format; expected one of {known}, or a folder of slices or DICOM.")
    return name


def _folder_format(path: Path) -> str:
    if path.suffix == ".zarr" or any((path / mark).exists() for mark in ZARR_MARKS):
        return "ome_zarr"
    slices = READERS["tiff"] + READERS["pictures"]
    has_slices = any(p.name.lower().endswith(slices) for p in path.iterdir())
    return "slices" if has_slices and not holds_dicom(path) else "dicom"


def holds_dicom(folder: Path) -> bool:
    """Whether a file that lies in a folder is DICOM, by what is in it; pictures beside it do not count."""
    others = (p for p in sorted(folder.iterdir()) if p.is_file() and _by_suffix(p, READERS) in (None, "dicom"))
    return any(starts_as_dicom(beginning(path)) for path in others)


def starts_as_dicom(start: bytes) -> bool:
    """Whether first bytes are those of DICOM: its mark, or an early element of group 2 or 8, in either byte order."""
    if start[128:132] == b"DICM":
        return True
    orders = (start[1::-1] + start[3:1:-1], start[:4])
    return len(start) == 132 and any(tag[:2] in (b"\0\x02", b"\0\x08") and tag[2] == 0 for tag in orders)


def beginning(path: Path) -> bytes:
    """The first bytes of a file, by which formats are told."""
    with path.open("rb") as file:
        return file.read(132)


def _by_suffix(path: Path, suffixes: dict[str, tuple[str, ...]]) -> str | None:
    return next((name for name, group in suffixes.items() if path.name.lower().endswith(group)), None)


def _module(name: str) -> object:
    return importlib.import_module(f"napari_unetseg.core.io.formats.{ROOMS.get(name, name)}")
