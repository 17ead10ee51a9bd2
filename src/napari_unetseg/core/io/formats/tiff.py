"""TIFF, BigTIFF, OME-TIFF and ImageJ hyperstacks, by tifffile."""

from __future__ import annotations

import hashlib
import logging
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_unetseg.core.io.formats import tiff_metadata
from napari_unetseg.core.io.legend import KEY, Legend
from napari_unetseg.core.io.source import Part, Source, VolumeInfo, decoding, stack
from napari_unetseg.core.volume import COLOUR, Labels, Shape, Volume, default_channels
from napari_unetseg.errors import InputError, OutputError

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it logs of damage, `check_whole` raises


def open_source(path: Path) -> Source:
    """Open a TIFF: read its tags and compare what it declares with what it holds.

    Raises
    ------
    InputError
        If it is no TIFF, is cut off, or has axes that are not among time, channel, z, y and x.
    """
    with decoding(path, "TIFF"), tifffile.TiffFile(path) as tif:
        check_pages(path, tif)
    with _opened(path) as (tif, series):
        check_whole(path, tif, series)
        metadata = tiff_metadata.read(tif)
        axes = volume_axes(path, series.axes, series.shape)
        sizes = dict(zip(axes, series.shape, strict=True))
        channels, notes = _channels(sizes, metadata.channels)
        if sizes.get("Z", 1) > 1:
            notes = (*notes, *metadata.notes)
        if len(tif.series) > 1:
            notes = (*notes, f"The file holds {len(tif.series)} images; the first is read.")
        levels = tuple(_shape(axes, level.shape) for level in series.levels)
        info = VolumeInfo(
            path=path,
            format=_format(tif),
            shape=levels[0],
            channels=channels,
            dtype=series.dtype.newbyteorder("="),
            grid=metadata.legend.place(metadata.grid),
            times=sizes.get("T", 1),
            levels=levels,
            notes=notes,
        )
        chunk = (1, *(series.keyframe.tile[-2:] if series.keyframe.is_tiled else levels[0][1:]))
        unit = max(prod(level.keyframe.chunks) for level in series.levels) * series.dtype.itemsize
    return Source(info, partial(_read, path, axes), metadata.legend, chunk=chunk, unit=unit)


def volume_axes(path: Path, axes: str, shape: tuple[int, ...]) -> str:
    """Name every axis by one of T, C, Z, Y, X, S (samples of a colour); the one of unknown meaning is Z.

    Raises
    ------
    InputError
        If several axes have no known meaning, or one of Y and X is missing.
    """
    unknown = [a for a in axes if a not in "TCZYXS"]
    if len(unknown) == 1 and "Z" not in axes:
        axes, unknown = axes.replace(unknown[0], "Z"), []
    if unknown or not {"Y", "X"} <= set(axes):
        raise InputError(f"{path} has axes {axes} of sizes {shape}; expected time, channel, z, y and x alone.")
    return axes


def write_labels(path: Path, labels: Labels) -> None:
    """Write an OME-TIFF, compressed without loss; names and colours go into its annotations."""
    _write(path, labels.array, "ZYX", labels.name, labels)


def write_volume(path: Path, volume: Volume) -> None:
    """Write an OME-TIFF, compressed without loss, with named channels."""
    _write(path, volume.array, "CZYX", volume.name, volume, {"Channel": {"Name": list(volume.channels)}})


def _write(
    path: Path,
    array: npt.NDArray[Any],
    axes: str,
    name: str,
    data: Labels | Volume,
    extra: dict[str, Any] | None = None,
) -> None:
    metadata = {
        "axes": axes,
        "Name": name,
        "MapAnnotation": {KEY: Legend.of(data).dump()},
        **tiff_metadata.physical_size(data.grid),
        **(extra or {}),
    }
    metadata["UUID"] = f"urn:uuid:{_identity(array, metadata)}"
    big = array.nbytes > 2**31
    try:
        tifffile.imwrite(
            path, array, ome=True, photometric="minisblack", compression="zlib", metadata=metadata, bigtiff=big
        )
    except tifffile.OmeXmlError as error:
        raise OutputError(f"OME-TIFF does not hold {array.dtype}; write NIfTI or OME-Zarr instead.") from error


def _identity(array: npt.NDArray[Any], metadata: dict[str, Any]) -> uuid.UUID:
    """An identifier made from the content: the same image is the same file, byte for byte."""
    content = hashlib.blake2b(f"{metadata} {array.dtype} {array.shape}".encode())
    for plane in array.reshape(-1, *array.shape[-2:]):
        content.update(plane.tobytes())
    return uuid.uuid5(uuid.NAMESPACE_OID, content.hexdigest())


@contextmanager
def _opened(path: Path) -> Iterator[tuple[tifffile.TiffFile, tifffile.TiffPageSeries]]:
    with decoding(path, "TIFF"), tifffile.TiffFile(path) as tif:
        if not tif.series:
            raise InputError(f"{path} is a TIFF without an image; expected at least one.")
        yield tif, tif.series[0]


def _read(path: Path, axes: str, part: Part) -> npt.NDArray[Any]:
    with _opened(path) as (_, series):
        level = series.levels[part.level]
        array = level.asarray() if part.whole and "T" not in axes else _lazy(level)
        sizes = dict(zip(axes, level.shape, strict=True))
        planes = [_channel(array, axes, part, divmod(c, sizes.get("S", 1))) for c in part.channels]
        return stack(planes)


def _lazy(level: tifffile.TiffPageSeries) -> Any:
    """The level as an array that decodes only the pages and tiles that are indexed."""
    import zarr  # slow to import and not needed to read a whole file

    return zarr.open_array(level.aszarr(), mode="r")


def _channel(array: Any, axes: str, part: Part, channel: tuple[int, int]) -> npt.NDArray[Any]:
    """One channel (Z, Y, X) of the part, in native byte order."""
    index: dict[str, int | slice] = dict(zip("TCSZYX", (part.time, *channel, *part.box), strict=True))
    plane = np.asarray(array[tuple(index[axis] for axis in axes)])
    left = [axis for axis in axes if axis in "ZYX"]
    plane = plane.transpose([left.index(axis) for axis in "ZYX" if axis in left])
    plane = plane if "Z" in left else plane[None]
    return plane.astype(plane.dtype.newbyteorder("="), copy=False)


def _channels(sizes: dict[str, int], names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Channel names and notes: three samples a pixel are red, green and blue, a fourth is opacity and left out."""
    samples, count = sizes.get("S", 1), sizes.get("C", 1)
    if samples in (3, 4) and count == 1:
        return COLOUR, ("The opacity channel is left out.",) if samples == 4 else ()
    if len(names) == samples * count:
        return names, ()
    return default_channels(samples * count), ()


def _shape(axes: str, shape: tuple[int, ...]) -> Shape:
    sizes = dict(zip(axes, shape, strict=True))
    return sizes.get("Z", 1), sizes["Y"], sizes["X"]


def _format(tif: tifffile.TiffFile) -> str:
    kind = "OME-TIFF" if tif.is_ome else "ImageJ TIFF" if tif.is_imagej else "TIFF"
    return f"{kind} (BigTIFF)" if tif.is_bigtiff else kind


TYPE_SIZES = np.array([0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8, 0])  # bytes, by TIFF field type
MAX_RATIO = 50_000  # no codec in use packs an image tighter: zstd's longest runs are 1 : 32,768


MOST_PLANES = 2**22  # that an image may declare: tifffile makes a list of them


def check_pages(path: Path, tif: tifffile.TiffFile) -> None:
    """Follow the chain of pages to its end, and look how many planes are declared, before tifffile does.

    It may never come back, or take all memory.

    Raises
    ------
    InputError
        If the chain leads out of the file or back to where it was, or there are more planes than any file has.
    """
    if not tif.is_ndpi and not _chain_is_whole(tif):
        raise _cut(path, tif)
    planes = tiff_metadata.count_planes(tif)
    if planes > MOST_PLANES:
        raise InputError(f"{path} declares an image of {planes:,} planes; expected at most {MOST_PLANES:,}.")


def _cut(path: Path, tif: tifffile.TiffFile) -> InputError:
    return InputError(
        f"{path} is cut off: it declares more than its {tif.filehandle.size:,} bytes hold. Copy it again."
    )


def check_whole(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Compare declared with actual: the number of pages, and where their data end.

    Raises
    ------
    InputError
        If the file is cut off, or declares far more pixels than it can hold.
    """
    size = tif.filehandle.size
    # ImageJ writes one directory for all slices, and tifffile then takes a stack that is cut off for one picture
    images = (tif.imagej_metadata or {}).get("images", 1) if tif.is_imagej else 1
    if images > series.size // series.keyframe.size:
        raise _cut(path, tif)
    for level in series.levels:
        pages = list(level.pages)
        expected = prod(level.get_shape(False)) // max(1, prod(level.keyframe.shape))
        if None in pages or len(pages) < (1 if level.dataoffset is not None else expected):
            found = len(pages) - pages.count(None)
            raise InputError(f"{path} declares {expected} pages and holds {found}; copy it again, with all its files.")
        if any(_end(page) > page.parent.filehandle.size for page in pages):
            raise _cut(path, tif)
        if level.dataoffset is not None and level.parent is tif and level.dataoffset + level.nbytes > size:
            raise _cut(path, tif)
        _check_plausible(path, level, pages)


def _check_plausible(path: Path, level: tifffile.TiffPageSeries, pages: list[Any]) -> None:
    stored = sum(sum(page.databytecounts) for page in pages)
    packed = level.keyframe.compression != tifffile.COMPRESSION.NONE
    sparse = any(count == 0 for page in pages for count in page.databytecounts)
    declared = level.nbytes if len(pages) > 1 or level.dataoffset is None else level.keyframe.nbytes
    # 1 or 12 bits a voxel are unpacked to whole bytes
    declared = declared * level.keyframe.bitspersample // (8 * level.dtype.itemsize)
    if declared > stored * (MAX_RATIO if packed or (sparse and stored) else 1):
        raise InputError(
            f"{path} declares an image of {' × '.join(map(str, level.shape))} ({declared:,} bytes) and holds "
            f"{stored:,} bytes of it. Is it damaged? Copy it again."
        )


def _end(page: Any) -> int:
    return max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)


def _chain_is_whole(tif: tifffile.TiffFile) -> bool:
    """Walk the chain of page directories to its end; False where it, or a tag's value, lies outside the file.

    Directories do not overlap: together they are no longer than the file, so that the walk ends.
    """
    handle, form = tif.filehandle, tif.tiff
    size, position, seen, walked = handle.size, (8 if form.is_bigtiff else 4), set[int](), 0
    word = np.dtype(form.byteorder + ("u8" if form.is_bigtiff else "u4"))
    entry = np.dtype(
        [("tag", form.byteorder + "u2"), ("type", form.byteorder + "u2"), ("count", word), ("value", word)]
    )
    while (offset := _number(handle, position, form.offsetformat)) != 0:
        count = None if offset is None else _number(handle, offset, form.tagnoformat)
        if offset is None or count is None or offset in seen:
            return False
        seen.add(offset)
        walked += form.tagnosize + count * entry.itemsize + form.offsetsize
        if walked > size:
            return False
        entries = np.frombuffer(handle.read(count * entry.itemsize), entry)
        position = offset + form.tagnosize + count * form.tagsize
        lengths = TYPE_SIZES[np.minimum(entries["type"], len(TYPE_SIZES) - 1)] * entries["count"].astype(float)
        if len(entries) < count or (entries["value"] + lengths > size)[lengths > word.itemsize].any():
            return False
    return True


def _number(handle: Any, position: int, form: str) -> int | None:
    handle.seek(position)
    data = handle.read(struct.calcsize(form))
    return int(struct.unpack(form, data)[0]) if len(data) == struct.calcsize(form) else None
