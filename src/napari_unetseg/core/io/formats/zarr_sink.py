"""A Zarr array as a sink: chunks are put on disk when they are whole, once, and never read back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_unetseg.core.geometry.tiles import triple
from napari_unetseg.core.volume import Box, place
from napari_unetseg.core.voxels import within

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
