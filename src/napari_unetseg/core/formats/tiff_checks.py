"""Whether a TIFF holds what it declares.

Readers open a TIFF that was cut off as a smaller image, or fill it up with zeros, and only log a line.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_unetseg.errors import InputError

TYPE_SIZES = np.array([0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8, 0])  # bytes, by TIFF field type
MAX_RATIO = 50_000  # no codec in use packs an image tighter: zstd's longest runs are 1 : 32,768


def check_whole(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Compare declared with actual: the chain of pages, their number, and where their data end.

    Raises
    ------
    InputError
        If the file is cut off, or declares far more pixels than it can hold.
    """
    size = tif.filehandle.size
    cut = InputError(f"{path} is cut off: it declares more than its {size:,} bytes hold. Copy it again.")
    # ImageJ writes one directory for all slices, and tifffile then takes a stack that is cut off for one picture
    images = (tif.imagej_metadata or {}).get("images", 1) if tif.is_imagej else 1
    if images > series.size // series.keyframe.size or not (tif.is_ndpi or _chain_is_whole(tif)):
        raise cut
    for level in series.levels:
        pages = list(level.pages)
        expected = prod(level.get_shape(False)) // max(1, prod(level.keyframe.shape))
        if None in pages or len(pages) < (1 if level.dataoffset is not None else expected):
            found = len(pages) - pages.count(None)
            raise InputError(f"{path} declares {expected} pages and holds {found}; copy it again, with all its files.")
        if any(_end(page) > page.parent.filehandle.size for page in pages):
            raise cut
        if level.dataoffset is not None and level.parent is tif and level.dataoffset + level.nbytes > size:
            raise cut
        _check_plausible(path, level, pages)


def _check_plausible(path: Path, level: tifffile.TiffPageSeries, pages: list[Any]) -> None:
    stored = sum(sum(page.databytecounts) for page in pages)
    packed = level.keyframe.compression != tifffile.COMPRESSION.NONE
    sparse = any(count == 0 for page in pages for count in page.databytecounts)
    declared = level.nbytes if len(pages) > 1 or level.dataoffset is None else level.keyframe.nbytes
    if declared > stored * (MAX_RATIO if packed or (sparse and stored) else 1):
        raise InputError(
            f"{path} declares an image of {' × '.join(map(str, level.shape))} ({declared:,} bytes) and holds "
            f"{stored:,} bytes of it. Is it damaged? Copy it again."
        )


def _end(page: Any) -> int:
    return max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)


def _chain_is_whole(tif: tifffile.TiffFile) -> bool:
    """Walk the chain of page directories to its end; False where it, or a tag's value, lies outside the file."""
    handle, form = tif.filehandle, tif.tiff
    size, position, seen = handle.size, (8 if form.is_bigtiff else 4), set[int]()
    word = np.dtype(form.byteorder + ("u8" if form.is_bigtiff else "u4"))
    entry = np.dtype(
        [("tag", form.byteorder + "u2"), ("type", form.byteorder + "u2"), ("count", word), ("value", word)]
    )
    while (offset := _number(handle, position, form.offsetformat)) != 0:
        count = None if offset is None else _number(handle, offset, form.tagnoformat)
        if offset is None or count is None or offset in seen:
            return False
        seen.add(offset)
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
