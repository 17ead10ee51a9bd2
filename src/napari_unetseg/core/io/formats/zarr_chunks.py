"""The chunks of a Zarr on disk: which are there, and whether they are whole."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import zarr

from napari_unetseg.errors import InputError

METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup")


def missing_chunks(
    folder: Path, array: zarr.Array[Any], where: tuple[slice, ...], allow_none: bool = False
) -> list[Path]:
    """The chunks (or shards) under `where` that are not on disk.

    A chunk that holds only the fill value may be left out by the writer, so that some may be missing.

    Raises
    ------
    InputError
        If no chunk of the whole array is there, unless `allow_none`.
    """
    sizes = array.shards or array.chunks
    ranges = [range(s.start // n, -(-s.stop // n)) for s, n in zip(where, sizes, strict=True)]
    files = [folder / array.metadata.encode_chunk_key(chunk) for chunk in itertools.product(*ranges)]
    missing = [file for file in files if not file.is_file()]
    found = sorted({*files} - {*missing})
    if not found and not allow_none and not _has_any(folder):
        raise InputError(
            f"{folder} holds no chunks of its array of shape {array.shape}; copy it again, as a whole, or give "
            "--allow-missing to read it as if it were empty."
        )
    if array.shards is None and any(type(codec).__name__.startswith("Blosc") for codec in array.compressors):
        _check_blosc(found)
    return missing


def lost(missing: list[Path]) -> InputError:
    """The failure of a Zarr of this program that has lost chunks."""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return InputError(
        f"{missing[0]}{more}, written by this program is gone. Copy the OME-Zarr again, as a whole, or give "
        "--allow-missing to read what is missing as empty."
    )


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
