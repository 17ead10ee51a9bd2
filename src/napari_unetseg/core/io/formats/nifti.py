"""NIfTI-1 and -2, plain, gzipped or in two files, and Analyze 7.5, by nibabel; written back in the file's own order."""

from __future__ import annotations

import gzip
import logging
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel import imageglobals

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io import orientation
from napari_unetseg.core.io.legend import KEY, Legend
from napari_unetseg.core.io.source import DEFLATE_RATIO, Part, Source, VolumeInfo, check_declared, decoding, stack
from napari_unetseg.core.notes import Note
from napari_unetseg.core.volume import COLOUR, Labels, Volume, default_channels
from napari_unetseg.errors import InputError

WORDS = {"m": "meter", "mm": "mm", "µm": "micron"}
"""The units that NIfTI has, by ours."""
CODES = {1: "m", 2: "mm", 3: "µm"}
"""The codes of units (https://nifti.nimh.nih.gov/nifti-1)."""
NEAREST = {"cm": "mm", "nm": "µm"}
"""What the others are written in."""
MOST_BEHIND = 2**24  # bytes behind the last voxel, in an archive
ANALYZE = (
    Note("Analyze does not say how a volume lies: x is taken to run to the left.", "orientation-assumed"),
    Note("Analyze does not say the unit; mm is assumed.", "unit-assumed", "--unit"),
)
PAIR = (".hdr", ".img")
TOLERANCE = 0.1  # of a voxel: quaternions are kept in 32 bits


def open_source(path: Path) -> Source:
    """Open a NIfTI by its header.

    Axes 4 and 5 are time and channels, as the standard says, except where our own header extension names channels.
    A NaN or singular affine is replaced by one of unit spacing, with a note.

    Raises
    ------
    InputError
        If it is no NIfTI, is cut off, its other half is missing, or it has more than five axes.
    """
    header, voxels = _halves(path)
    with decoding(path, "NIfTI"), _Mended() as mended:
        image = nib.load(header)
        legend = _legend(image.header)
        shape = _five_axes(path, image.shape, bool(legend.channels))
        affine, notes = orientation.sound(image.affine)
        is_nifti = isinstance(image, nib.Nifti1Pair)
        unit, assumed = _unit(image.header) if is_nifti else ("mm", ANALYZE)
        notes += assumed if legend.unit is None else ()
        transform, size, grid = orientation.read_frame(affine, shape[:3], unit, legend)
        dtype, channels = _dtype(path, image), _channels(image, legend, shape[4])
        notes += _disagreement(image.header) if is_nifti else ()
    grid, notes = legend.in_unit(grid), (*mended.notes, *notes)
    info = VolumeInfo(
        path, "NIfTI" if is_nifti else "Analyze", size, channels, dtype, grid, times=shape[3], notes=notes
    )
    packed = path.suffix == ".gz"
    check_declared(voxels, math.prod(shape) * image.get_data_dtype().itemsize, DEFLATE_RATIO if packed else 1)
    chunk = None if packed else (1, 1, 1)
    files = () if header == voxels else (header, voxels)
    return Source(info, partial(_read, path, shape, transform, dtype), legend, chunk=chunk, files=files)


def _halves(path: Path) -> tuple[Path, Path]:
    """The files of the header and of the voxels; raises `InputError` where one is missing, or is of another format."""
    if path.suffix.lower() not in PAIR:
        return path, path
    beside = [p for p in path.parent.iterdir() if p.stem == path.stem and p.suffix.lower() in PAIR]
    halves = {p.suffix.lower(): p for p in [*beside, path]}
    missing = [suffix for suffix in PAIR if suffix not in halves]
    if missing:
        raise InputError(f"{path} is one of two files; expected {path.stem}{missing[0]} beside it. Copy it, too.")
    if halves[".hdr"].read_bytes()[:4] == b"ENVI":
        raise InputError(f"{path} is an ENVI image, which is not read here; save it as TIFF.")
    return halves[".hdr"], halves[".img"]


def _unit(header: Any) -> tuple[str, tuple[Note, ...]]:
    """The unit of lengths; mm, with a note, where the header has no code or one that the standard does not know."""
    code = int(header["xyzt_units"]) & 7  # the lower bits; the others are for time
    if code in CODES:
        return CODES[code], ()
    why = f"has a unit of code {code}, which the standard does not know" if code else "does not say the unit"
    return "mm", (Note(f"The header {why}; mm is assumed.", "unit-assumed", "--unit"),)


def _disagreement(header: Any) -> tuple[str, ...]:
    """A note where the header places voxels in two ways, and some program will take the other one."""
    (sform, coded), (qform, also) = header.get_sform(coded=True), header.get_qform(coded=True)
    if not (coded and also) or sform is None or qform is None:
        return ()
    corner = np.array([*header.get_data_shape()[:3], *(1,) * 3][:3])
    apart = np.abs((sform - qform) @ [*corner, 1]).max(), np.abs(sform - qform)[:3, 3].max()
    if not max(apart) > TOLERANCE * min(header.get_zooms()[:3]):
        return ()
    return (
        f"The header places the image in two ways, up to {max(apart):.3g} apart: the sform is taken, not the qform.",
    )


MENDED = {
    "should be non-zero": Note("The header gives a voxel size of 0; 1 is assumed.", "spacing-assumed", "--spacing"),
    "should be positive": Note(
        "The header gives a negative voxel size; its absolute value is taken.", "spacing-negative", "--spacing"
    ),
}
"""What nibabel mends in a header, by its words, in ours."""
OTHERWISE = Note("The header holds fields that the standard does not allow; they were mended.", "header-mended")


class _Mended(logging.Handler):
    """Collects what nibabel mends in a header, such as a spacing of 0, as `notes`; it would print it by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: tuple[Note, ...] = ()

    def emit(self, record: logging.LogRecord) -> None:
        told = record.getMessage()
        note = next((note for words, note in MENDED.items() if words in told), OTHERWISE)
        self.notes = tuple(dict.fromkeys((*self.notes, note)))

    def __enter__(self) -> Self:
        logger = imageglobals.logger
        self._others = tuple(logger.handlers)
        logger.handlers[:] = [self]
        return self

    def __exit__(self, *_: object) -> None:
        imageglobals.logger.handlers[:] = self._others


def write_labels(path: Path, labels: Labels) -> None:
    """Write labels in the image file's voxel order and affine; names and colours go into a header extension."""
    _write(path, labels.array, labels.grid, Legend.of(labels))


def write_volume(path: Path, volume: Volume) -> None:
    """Write channels along axis 4 (i, j, k, c); their names go into a header extension."""
    _write(path, np.moveaxis(volume.array, 0, -1), volume.grid, Legend.of(volume))


def write_series(path: Path, frames: Sequence[Labels] | Sequence[Volume]) -> None:
    """Write time points along axis 4, and channels along axis 5; what is told of the first one counts for all."""
    first = frames[0]
    array = np.stack([frame.array for frame in frames], axis=-1)  # (z, y, x, t), or (c, z, y, x, t)
    _write(path, np.moveaxis(array, 0, -1) if isinstance(first, Volume) else array, first.grid, Legend.of(first))


def _write(path: Path, array: npt.NDArray[Any], grid: Grid, legend: Legend) -> None:
    unit = NEAREST.get(grid.unit, grid.unit) if grid.is_physical else "mm"
    transform = orientation.to_file(grid)
    affine = orientation.reorder_affine(grid.affine_in(unit), transform, array.shape[:3])
    kind = nib.Nifti1Image if max(array.shape) < 2**15 else nib.Nifti2Image
    image = kind(orientation.reorder(array, transform), affine, dtype=array.dtype)
    image.set_sform(affine, code="scanner")
    # a quaternion cannot hold a shear; readers then take the sform
    image.set_qform(affine, code="scanner" if orientation.is_rigid(affine) else "unknown")
    image.header.set_xyzt_units(WORDS[unit] if grid.is_physical else "unknown")
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", f"{KEY} {legend.dump()}".encode()))
    nib.save(image, path)


def _read(
    path: Path, shape: tuple[int, ...], transform: npt.NDArray[Any], dtype: np.dtype[Any], part: Part
) -> npt.NDArray[Any]:
    box = orientation.file_box(transform, part.box, shape[:3])

    def reorder(channel: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return orientation.reorder(channel, transform).astype(dtype, copy=False)

    opened = gzip.open if path.suffix == ".gz" else Path.open
    if path.suffix.lower() in PAIR:
        with decoding(path, "NIfTI"), _Mended():
            data = nib.load(_halves(path)[0]).dataobj
            return stack([reorder(_channel(data, shape, (*box, part.time, c))) for c in part.channels])
    with decoding(path, "NIfTI"), _Mended(), opened(path, "rb") as stream:
        data = type(nib.load(path)).from_stream(stream).dataobj
        channels = [_channel(data, shape, (*box, part.time, c)) for c in part.channels]
        end = data.offset + math.prod(data.shape) * data.dtype.itemsize + MOST_BEHIND
        while path.suffix == ".gz" and stream.read(2**20):  # reading to the end checks the archive's own checksum
            if stream.tell() > end:
                raise InputError(f"{path} goes on far behind its last voxel. Is it damaged? Copy it again.")
    return stack([reorder(channel) for channel in channels])


def _channel(data: Any, shape: tuple[int, ...], index: tuple[Any, ...]) -> npt.NDArray[Any]:
    """One channel of a box, in the file's order (i, j, k); `index` is (i, j, k, time, channel)."""
    *box, time, channel = index
    by_field = data.dtype.names
    channels_are_axis_4 = data.ndim == 4 and shape[3] == 1
    where = (*box, channel) if channels_are_axis_4 else (*box, time, channel)
    array = np.asarray(data[where[: data.ndim]])
    array = array[by_field[channel]] if by_field else array
    return array.reshape([s.stop - s.start for s in box])


def _five_axes(path: Path, shape: tuple[int, ...], named_channels: bool) -> tuple[int, ...]:
    """Sizes along i, j, k, time, channel."""
    if len(shape) > 5 or 0 in shape:
        raise InputError(f"{path} has axes of sizes {shape}; expected x, y, z, then at most time and channel.")
    if len(shape) == 4 and named_channels:
        shape = (*shape[:3], 1, shape[3])
    return (*shape, *(1,) * (5 - len(shape)))


def _dtype(path: Path, image: Any) -> np.dtype[Any]:
    """The dtype after the header's scaling."""
    stored: np.dtype[Any] = image.get_data_dtype()
    if stored.kind == "c":
        raise InputError(f"{path} holds complex numbers; expected whole or real ones. Save their magnitude.")
    if stored.names:
        return np.dtype("uint8")
    if stored.kind in "iu" and (image.dataobj.slope, image.dataobj.inter) != (1, 0):
        return np.dtype("float32" if stored.itemsize <= 2 else "float64")
    if stored.kind == "f" and stored.itemsize > 8:
        return np.dtype("float64")
    return stored.newbyteorder("=")


def _channels(image: Any, legend: Legend, count: int) -> tuple[str, ...]:
    if image.get_data_dtype().names:
        return COLOUR
    return legend.channels if len(legend.channels) == count else default_channels(count)


def _legend(header: Any) -> Legend:
    for extension in getattr(header, "extensions", ()):
        text = bytes(extension.get_content() if isinstance(extension.get_content(), bytes) else b"")
        if text.startswith(KEY.encode()):
            return Legend.parse(text[len(KEY) :].rstrip(b"\0").decode(errors="replace"))
    return Legend()
