"""Sources of voxels and sinks of results, a box at a time: memory, a file, and whatever else keeps voxels.

What computes on volumes is written against these, so that nothing needs the whole of one at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.grid import Box, Grid, Shape, place
from napari_unetseg.core.volume import Structure

BLOCK = 2**22
"""Voxels that are read at once where the order does not matter: about 16 MB as float32, a channel."""


class Boxes(Protocol):
    """Something with voxels along z, y and x that can be read in boxes."""

    @property
    def shape(self) -> Shape:
        """Size along (z, y, x)."""

    @property
    def chunk(self) -> Shape:
        """Voxels along (z, y, x) that are stored, and so best read, together."""

    def read(self, box: Box) -> npt.NDArray[Any]:
        """The voxels of a box that lies inside; the last three axes are z, y, x. Not to be written to."""


class VoxelSource(Boxes, Protocol):
    """An image; `read` gives (C, z, y, x) in the dtype that it is kept in. `Volume` is the one in memory."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the intensities: bool, integer or float."""

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""

    @property
    def channels(self) -> tuple[str, ...]:
        """A name for each channel."""

    @property
    def name(self) -> str:
        """What to call it."""

    @property
    def is_2d(self) -> bool:
        """Whether there is one slice only."""

    @property
    def is_colour(self) -> bool:
        """Whether the channels are red, green and blue."""


class LabelSource(Boxes, Protocol):
    """A segmentation; `read` gives (z, y, x), whole numbers of 0 and above. `Labels` is the one in memory."""

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""

    @property
    def structures(self) -> tuple[Structure, ...]:
        """Names and colours; empty where nothing is known."""

    @property
    def are_objects(self) -> bool:
        """Whether every value above 0 is one object, not a class."""

    @property
    def name(self) -> str:
        """What to call it."""


class Sink(Protocol):
    """Where results go. Boxes come in any order; one that comes again takes the place of what was there."""

    def write(self, box: Box, values: npt.NDArray[Any]) -> None:
        """Keep a box's values (…, z, y, x); the axes before, such as channels, are whole."""


@dataclass(frozen=True)
class ArraySink:
    """A sink in memory.

    Parameters
    ----------
    array : ndarray, shape (…, Z, Y, X)
        What is written to. Values are cast to its dtype.
    """

    array: npt.NDArray[Any]

    def write(self, box: Box, values: npt.NDArray[Any]) -> None:
        """Keep a box's values (…, z, y, x)."""
        self.array[place(box)] = values


def whole(shape: Shape) -> Box:
    """The box that is everything."""
    z, y, x = shape
    return (0, z), (0, y), (0, x)


def within(box: Box, outer: Box) -> Box:
    """A box relative to the beginning of the one that it lies in."""
    z, y, x = ((start - first, stop - first) for (start, stop), (first, _) in zip(box, outer, strict=True))
    return z, y, x


def blocks(source: Boxes, most: int | None = None) -> Iterator[Box]:
    """Boxes that partition a source, z slowest.

    Parameters
    ----------
    most : int, optional
        Voxels in a box; `BLOCK` if not given. Boxes are of whole chunks, and of one chunk at least.
    """
    return partition(source.shape, source.chunk, BLOCK if most is None else most)


def partition(shape: Shape, chunk: Shape, most: int) -> Iterator[Box]:
    """Boxes of at most `most` voxels that partition a volume, z slowest: of whole chunks, and of one at least."""
    size = [min(lengths) for lengths in zip(chunk, shape, strict=True)]
    for axis in (2, 1, 0):  # whole rows, then whole slices
        size[axis] = min(size[axis] * max(1, most // math.prod(size)), shape[axis])
    z, y, x = (
        [(start, min(start + step, length)) for start in range(0, length, step)]
        for length, step in zip(shape, size, strict=True)
    )
    return itertools.product(z, y, x)
