"""Which chunks of a Zarr array are on disk. Zarr reads a missing one as the fill value, without a word."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import zarr

from napari_unetseg.errors import InputError

METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup")


def check_chunks(folder: Path, array: zarr.Array[Any], where: tuple[slice, ...]) -> int:
    """The number of chunks (or shards) under `where` that are not on disk.

    A chunk that holds only the fill value may be left out by the writer, so that some may be missing.

    Raises
    ------
    InputError
        If no chunk of the whole array is there.
    """
    sizes = array.shards or array.chunks
    ranges = [range(s.start // n, -(-s.stop // n)) for s, n in zip(where, sizes, strict=True)]
    files = [folder / array.metadata.encode_chunk_key(chunk) for chunk in itertools.product(*ranges)]
    found = [file for file in files if file.is_file()]
    if not found and not _has_any(folder):
        raise InputError(f"{folder} holds no chunks of its array of shape {array.shape}; copy it again, as a whole.")
    if array.shards is None and any(type(codec).__name__.startswith("Blosc") for codec in array.compressors):
        _check_blosc(found)
    return len(files) - len(found)


def _check_blosc(files: list[Path]) -> None:
    """Refuse a short chunk: the decoder trusts the size in its header and reads past the end of what it is given.

    The size is in bytes 12 to 16 (https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst).
    """
    for file in files:
        with file.open("rb") as chunk:
            declared = int.from_bytes(chunk.read(16)[12:], "little")
        if file.stat().st_size < max(declared, 16):
            raise InputError(f"{file}, a chunk of an OME-Zarr, is cut off. Copy it again.")


def _has_any(folder: Path) -> bool:
    return any(p.is_file() and p.name not in METADATA for p in folder.rglob("*"))
