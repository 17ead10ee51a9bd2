"""The chunks of a Zarr on disk: which are there, whether they are whole, and a sink that puts them there whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_unetseg.core.geometry.tiles import triple
from napari_unetseg.core.grid import Box, place
from napari_unetseg.core.voxels import within
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


Index = tuple[int, int, int]


@dataclass
class _Begun:
    """A chunk (or shard) of which some boxes have come."""

    values: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_]


class ZarrSink:
    """Writes boxes (…, z, y, x) to an array.

    A chunk that boxes fill in parts waits in memory for the rest: a chunk on disk is whole. With tiles in their order
    about one layer of chunks waits. Two sinks may write to one array at the same time as long as no chunk gets boxes
    from both.

    Parameters
    ----------
    array : zarr.Array, shape (…, Z, Y, X)
        In chunks of one voxel along the axes before z.
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        self.array = array
        self.size = (array.shards or array.chunks)[-3:]
        self._begun: dict[Index, _Begun] = {}
        self._whole: set[Index] = set()

    def write(self, box: Box, values: npt.NDArray[Any]) -> None:
        """Keep a box's values (…, z, y, x), cast to the array's dtype; see `voxels.Sink`."""
        for index in self._indices(box):
            chunk = self._chunk(index)
            common = triple((max(a, b), min(c, d)) for (a, c), (b, d) in zip(box, chunk, strict=True))
            part = values[place(within(common, box))]
            if common == chunk:
                self._begun.pop(index, None)
                self._put(index, part)
            else:
                self._add(index, within(common, chunk), part)

    def finish(self) -> None:
        """Raise `ValueError` unless every voxel has come; nothing that is on disk has holes."""
        lacking = len(list(self._indices(triple((0, n) for n in self.array.shape[-3:])))) - len(self._whole)
        if lacking or self._begun:
            raise ValueError(f"{lacking} chunks of {self.array.store_path} did not get all their voxels.")

    @property
    def waiting(self) -> int:
        """Chunks that are not whole yet."""
        return len(self._begun)

    def _indices(self, box: Box) -> Iterator[Index]:
        z, y, x = (range(start // n, -(-stop // n)) for (start, stop), n in zip(box, self.size, strict=True))
        return itertools.product(z, y, x)

    def _chunk(self, index: Index) -> Box:
        lengths = zip(index, self.size, self.array.shape[-3:], strict=True)
        return triple((i * n, min((i + 1) * n, length)) for i, n, length in lengths)

    def _add(self, index: Index, inside: Box, part: npt.NDArray[Any]) -> None:
        if index not in self._begun:
            shape = tuple(stop - start for start, stop in self._chunk(index))
            values = np.zeros((*self.array.shape[:-3], *shape), self.array.dtype)
            self._begun[index] = _Begun(values, np.ones(shape, np.bool_))
        begun = self._begun[index]
        begun.values[place(inside)] = part
        begun.missing[place(inside)] = False
        if not begun.missing.any():
            self._put(index, self._begun.pop(index).values)

    def _put(self, index: Index, values: npt.NDArray[Any]) -> None:
        self.array[place(self._chunk(index))] = values.astype(self.array.dtype, copy=False)
        self._whole.add(index)
