"""Checks of a TIFF before it is decoded: that it is whole, holds what it declares, and is packed as can be read."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_unetseg.core.io.formats import tiff_metadata
from napari_unetseg.errors import InputError

JPEG = (6, 7, 33007, 34892)
"""Compressions that bring colours to red, green and blue by themselves."""
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


def check_packing(path: Path, page: Any) -> None:
    """Raise `InputError` where a good file is packed in a way that cannot be read."""
    packed = page.compression
    name = getattr(packed, "name", str(packed))
    if packed != tifffile.COMPRESSION.NONE and packed not in tifffile.TIFF.DECOMPRESSORS:
        raise InputError(
            f"{path} is compressed by {name}, which cannot be read. Save it again, uncompressed or by LZW."
        )
    if page.is_subsampled and (packed not in JPEG or page.planarconfig == 2):
        raise InputError(
            f"{path} keeps colours at a lower resolution (YCbCr without JPEG), which cannot be read. Save it as RGB."
        )
    if page.dtype is None:
        raise InputError(
            f"{path} has {page.bitspersample} bits a sample, which cannot be read. Save it with 8, 16 or 32."
        )
