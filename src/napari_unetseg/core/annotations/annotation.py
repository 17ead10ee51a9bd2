"""Annotations: what someone has marked in an image, each with its place in time; paint is the first kind of them.

Between processes paint travels as such records, a stroke as the box that it has changed. They are numbered, so that
who takes them notices when one is missing; a record of the whole image puts that right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.annotations.painted_stack import PaintedStack
from napari_unetseg.core.geometry.tiles import Box
from napari_unetseg.errors import InputError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Annotation:
    """One thing that was marked.

    Parameters
    ----------
    box : three (start, stop) for z, y, x
        Where, in voxels.
    values : ndarray of whole numbers, shape of the box
        What the box holds now: 0 unpainted, 1 background, 2… structures.
    image : int
        Which of the images, counted from 0.
    time : int
        The time point; 0 where there is one only.
    sequence : int
        1, 2, … for the records of one image, in their order.
    kind : ``"paint"``
    is_whole : bool
        Whether nothing is painted outside of the box; such a record need not follow the one before.

    Raises
    ------
    InputError
        If box and values do not fit each other, or the values are no whole numbers.
    """

    box: Box
    values: Array
    image: int = 0
    time: int = 0
    sequence: int = 1
    kind: Literal["paint"] = "paint"
    is_whole: bool = False

    def __post_init__(self) -> None:
        shape = tuple(stop - start for start, stop in self.box)
        if self.values.shape != shape or min(start for start, _ in self.box) < 0:
            raise InputError(f"Expected values of the shape of their box {self.box}; got {self.values.shape}.")
        if self.values.dtype.kind not in "bui":
            raise InputError(f"Expected paint of whole numbers; got {self.values.dtype}.")
        if min(self.image, self.time, self.sequence) < 0:
            raise InputError("Expected an image, a time and a number of 0 or more.")

    @property
    def place(self) -> tuple[slice, ...]:
        """The box as an index of the image."""
        return tuple(slice(*span) for span in self.box)


class AnnotatedImage:
    """The annotations of one image as they add up, on the side that receives them.

    Parameters
    ----------
    shape : (z, y, x)
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.painted: Array = np.zeros(shape, np.uint8)
        """Replaced by each record, never written to: who holds it keeps it as it was."""
        self._slices: set[int] = set()
        self.sequence = 0
        """Of the last record that was taken; 0 before the first one."""

    def take(self, annotation: Annotation) -> bool:
        """Take a record, if it follows the last one or holds the whole image; returns whether it did.

        Raises
        ------
        InputError
            If it does not lie in the image.
        """
        shape = self.painted.shape
        if any(stop > size for (_, stop), size in zip(annotation.box, shape, strict=True)):
            raise InputError(f"Expected paint within an image of shape {shape}; got a box {annotation.box}.")
        if annotation.is_whole or annotation.values.shape == shape:
            self.painted, self._slices = np.zeros(shape, annotation.values.dtype), set()
        elif annotation.sequence == self.sequence + 1:
            self.painted = self._copied(np.promote_types(self.painted.dtype, annotation.values.dtype))
        else:
            return False
        self._put(annotation)
        self.sequence = annotation.sequence
        return True

    def _copied(self, dtype: np.dtype[Any]) -> Array:
        """A copy, in the time and memory of the slices that hold paint."""
        painted = np.zeros(self.painted.shape, dtype)
        for z in self._slices:
            painted[z] = self.painted[z]
        return painted

    def _put(self, annotation: Annotation) -> None:
        first, (_, rows, columns) = annotation.box[0][0], annotation.place
        for z, values in enumerate(annotation.values, start=first):
            if z in self._slices or values.any():
                self.painted[z, rows, columns] = values
                self._slices.add(z)


class SentImage:
    """The paint of one image on the side that sends it: what has been sent, so that the next record is a difference."""

    def __init__(self, image: int = 0, time: int = 0) -> None:
        self._image, self._time = image, time
        self._sent: PaintedStack | None = None
        self.sequence = 0
        """Of the last record."""

    def change(self, painted: PaintedStack | Array) -> Annotation | None:
        """What has changed since the last record; None where nothing has.

        Parameters
        ----------
        painted : PaintedStack, or ndarray of whole numbers, (Z, Y, X)
        """
        stack, before = PaintedStack.of(painted), self._sent
        if before is None or (before.shape, before.dtype) != (stack.shape, stack.dtype):
            return self.whole(stack)
        box = changed_box(before, stack)
        self._sent = stack
        return self._record(box, stack) if box is not None else None

    def whole(self, painted: PaintedStack | Array) -> Annotation:
        """All of it, whatever the other side holds."""
        stack = self._sent = PaintedStack.of(painted)
        box = changed_box(PaintedStack.empty(stack.shape, stack.dtype), stack)
        return self._record(box or ((0, 1), (0, 1), (0, 1)), stack, is_whole=True)

    def _record(self, box: Box, stack: PaintedStack, *, is_whole: bool = False) -> Annotation:
        self.sequence += 1
        return Annotation(box, stack.part(box), self._image, self._time, self.sequence, is_whole=is_whole)


def changed_box(before: PaintedStack, after: PaintedStack) -> Box | None:
    """The smallest box that holds all voxels (Z, Y, X) in which two stacks of one shape differ; None where none do."""
    slices = after.changed_since(before)
    if not slices:
        return None
    rows, columns = np.zeros(after.shape[1], bool), np.zeros(after.shape[2], bool)
    for z in slices:
        differ = before.plane(z) != after.plane(z)
        rows |= differ.any(axis=1)
        columns |= differ.any(axis=0)
    return (slices[0], slices[-1] + 1), _span(rows), _span(columns)


def _span(marked: npt.NDArray[np.bool_]) -> tuple[int, int]:
    where = np.flatnonzero(marked)
    return int(where[0]), int(where[-1]) + 1
