"""Stacks of painted slices: paint as it was at one moment, in the memory of the slices that hold some.

What follows a stroke shares all slices with what was there before but those that have changed: so two moments are
compared, sent and kept in the time of the slices between them, however large the image is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class PaintedStack:
    """Painted labels (Z, Y, X) of which only the slices with paint are there. `np.asarray` gives the array.

    Parameters
    ----------
    shape : (z, y, x)
    dtype : dtype
        Whole numbers.
    planes : mapping of ndarray (Y, X)
        The slices along z that hold paint. Nobody writes to them.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    planes: Mapping[int, Array]

    @classmethod
    def of(cls, painted: Array | PaintedStack) -> PaintedStack:
        """That of an array (Z, Y, X), which is copied where it holds paint; a stack is given back as it is."""
        if isinstance(painted, PaintedStack):
            return painted
        return cls.empty(painted.shape, painted.dtype).brought_up_to(painted)

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> Self:
        """No paint."""
        return cls(tuple(shape), np.dtype(dtype), {})

    @property
    def slices(self) -> tuple[int, ...]:
        """The slices along z that hold paint, in order."""
        return tuple(sorted(self.planes))

    @cached_property
    def highest(self) -> int:
        """The largest painted value; 0 where nothing is painted."""
        return max((int(plane.max()) for plane in self.planes.values()), default=0)

    @cached_property
    def voxels(self) -> int:
        """How many voxels are painted."""
        return sum(int(np.count_nonzero(plane)) for plane in self.planes.values())

    def any(self) -> bool:
        """Whether anything is painted."""
        return bool(self.planes)

    def plane(self, z: int) -> Array:
        """A slice (Y, X); not to be written to."""
        return self.planes[z] if z in self.planes else np.broadcast_to(self.dtype.type(0), self.shape[1:])

    def brought_up_to(self, painted: Array) -> PaintedStack:
        """The stack of an array of this shape, in which this one's slices are used again where they have not changed.

        It is this very stack where nothing has changed. Every voxel is looked at; slices that have changed are copied.
        """
        planes = {}
        is_same = painted.dtype == self.dtype
        for z, now in enumerate(painted):
            before = self.planes.get(z)
            if before is not None and is_same and np.array_equal(before, now):
                planes[z] = before
            elif now.any():
                planes[z] = np.array(now)
        if is_same and len(planes) == len(self.planes) and all(planes[z] is self.planes.get(z) for z in planes):
            return self
        return PaintedStack(self.shape, painted.dtype, planes)

    def changed_since(self, before: PaintedStack) -> list[int]:
        """Slices along z in which two stacks of one shape differ, in order."""
        both = sorted({*self.planes, *before.planes})
        return [z for z in both if self.planes.get(z) is not before.planes.get(z) and self._differs(before, z)]

    def _differs(self, before: PaintedStack, z: int) -> bool:
        return not np.array_equal(self.plane(z), before.plane(z))

    def part(self, box: tuple[tuple[int, int], ...]) -> Array:
        """A copy of what lies in a box of three (start, stop) along z, y and x."""
        (first, last), rows, columns = box
        inside = (slice(*rows), slice(*columns))
        found = np.zeros([stop - start for start, stop in box], self.dtype)
        for z in self.planes:
            if first <= z < last:
                found[z - first] = self.planes[z][inside]
        return found

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        """The array; its memory is taken where there is paint only."""
        z, y, x = self.shape
        found = self.part(((0, z), (0, y), (0, x)))
        return found if dtype is None else found.astype(dtype)


def slices_with_paint(painted: Array) -> list[int]:
    """The slices along z of an array (Z, …) that hold paint, in order."""
    return [z for z, plane in enumerate(painted) if plane.any()]
