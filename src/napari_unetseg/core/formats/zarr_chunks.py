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
    sizes = getattr(array, "shards", None) or array.chunks
    ranges = [range(s.start // n, -(-s.stop // n)) for s, n in zip(where, sizes, strict=True)]
    chunks = list(itertools.product(*ranges))
    missing = sum(not (folder / array.metadata.encode_chunk_key(chunk)).is_file() for chunk in chunks)
    if missing == len(chunks) and not _has_any(folder):
        raise InputError(f"{folder} holds no chunks of its array of shape {array.shape}; copy it again, as a whole.")
    return missing


def _has_any(folder: Path) -> bool:
    return any(p.is_file() and p.name not in METADATA for p in folder.rglob("*"))
