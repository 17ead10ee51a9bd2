"""Volumes and labels, the one form in which images travel through the program: an array and the grid it lies on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from napari_unetseg.core.grid import Box, Grid, Shape, place
from napari_unetseg.errors import InputError, SettingsError


class Structure(BaseModel):
    """One named thing that a model finds.

    Parameters
    ----------
    label : int
        Its value in output labels, 1 and above.
    name : str
        What people call it, such as ``nucleus``.
    colour : str
        ``#rrggbb``.
    channels : tuple of int
        Network outputs whose probabilities add up to this structure; output 0 is background.
    seed_channel : int or None
        The one of `channels` that marks an object's core and is empty where objects touch. Where it is set, the
        structure comes out as numbered objects (see `core.postprocess.instances`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: int = Field(ge=1, le=65535)
    name: str = Field(min_length=1)
    colour: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")
    channels: tuple[int, ...] = ()
    seed_channel: int | None = None


class MadeBy(BaseModel):
    """The model that made labels, as their file records it, and what a person has corrected in them since.

    Parameters
    ----------
    name : str
        What its card calls it.
    sha256 : str
        Of its weights, all that follows the header of its file; empty where it is in none.
    corrected : int
        Voxels that are as a person corrected them; their paint lies beside the file.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(min_length=1, max_length=255)
    sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    corrected: int = Field(0, ge=0)


COLOUR = ("red", "green", "blue")
"""The channel names of a colour picture."""
STRUCTURE_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Colours that colour-blind people tell apart (DOI 10.1038/nmeth.1618)."""


@dataclass(frozen=True)
class Volume:
    """An image in memory: channels, z, y, x. A 2D image has one z slice. It is a `voxels.VoxelSource`.

    It may be one time point of a series (see `among`), whose others are read when they are asked for. A part or a
    changed copy of it, made by `dataclasses.replace`, is on its own: what was done to it was not done to the others.

    Parameters
    ----------
    array : ndarray, shape (C, Z, Y, X)
        Intensities in the file's own dtype (bool, integer or float).
    grid : Grid
        Where the voxels lie.
    channels : tuple of str
        A name for each channel; ``("red", "green", "blue")`` marks a colour picture.
    name : str
        What to call it: the file's stem or the layer's name.

    Attributes
    ----------
    time, times : int
        Which time point it is, counted from 0, and how many its series has.

    Raises
    ------
    InputError
        If the array has not four axes, is empty, or is not numeric.
    """

    array: npt.NDArray[Any]
    grid: Grid = field(default_factory=Grid)
    channels: tuple[str, ...] = ()
    name: str = "image"
    time: int = field(default=0, init=False)
    times: int = field(default=1, init=False)
    # no field that `replace` takes over: it would say of a crop that the other time points are cropped as well
    _load: Callable[[int], Volume] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or 0 in self.array.shape:
            raise InputError(f"Expected an image of shape (C, Z, Y, X) with no empty axis; got {self.array.shape}.")
        if self.array.dtype.kind not in "buif":
            raise InputError(f"Expected whole or real intensities; got {self.array.dtype} in {self.name!r}.")
        if not self.channels:
            object.__setattr__(self, "channels", default_channels(self.array.shape[0]))
        if len(self.channels) != self.array.shape[0]:
            raise InputError(f"Expected {self.array.shape[0]} channel names; got {len(self.channels)}.")

    @property
    def shape(self) -> Shape:
        """Size along (z, y, x)."""
        _, z, y, x = self.array.shape
        return z, y, x

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the intensities."""
        return self.array.dtype

    @property
    def chunk(self) -> Shape:
        """Any box of memory is read as easily as another."""
        return 1, 1, 1

    def read(self, box: Box) -> npt.NDArray[Any]:
        """A box (C, z, y, x), not copied."""
        part: npt.NDArray[Any] = self.array[place(box)]
        return part

    def among(self, time: int, times: int, load: Callable[[int], Volume]) -> Self:
        """The same image as time point `time` of a series of `times`; `load` reads one of them."""
        copy = replace(self)
        for name, value in {"time": time, "times": times, "_load": load}.items():
            object.__setattr__(copy, name, value)
        return copy

    def at(self, time: int) -> Volume:
        """Another time point of the series, read now; this one is not read again.

        Raises
        ------
        SettingsError
            If the series has no such time point.
        InputError, ResourceError
            As `loadsave.load_volume`, for a series in a file.
        """
        check_time(time, self.times)
        return self if time == self.time or self._load is None else self._load(time)

    @property
    def is_2d(self) -> bool:
        """Whether there is one slice only."""
        return self.shape[0] == 1

    @property
    def is_colour(self) -> bool:
        """Whether the channels are red, green and blue."""
        return self.channels == COLOUR


@dataclass(frozen=True)
class Labels:
    """A segmentation in memory: 0 is background, 1… are structures, or numbered objects where `are_objects`.

    Parameters
    ----------
    array : ndarray, shape (Z, Y, X), unsigned integer
    grid : Grid
    structures : tuple of Structure
        Names and colours. Empty where nothing is known about the values.
    are_objects : bool
        True where every value above 0 is one object of the first structure, not a class.
    name : str
        What to call it.
    made_by : MadeBy or None
        The model whose result they are; None where that is not known, or a person drew them.

    Raises
    ------
    InputError
        If the array has not three axes, is empty, is not of whole numbers, or holds a negative number.
    """

    array: npt.NDArray[Any]
    grid: Grid = field(default_factory=Grid)
    structures: tuple[Structure, ...] = ()
    are_objects: bool = False
    name: str = "labels"
    made_by: MadeBy | None = None

    def __post_init__(self) -> None:
        if self.array.ndim != 3 or 0 in self.array.shape:
            raise InputError(f"Expected labels of shape (Z, Y, X) with no empty axis; got {self.array.shape}.")
        if self.array.dtype.kind not in "bui":
            raise InputError(f"Expected labels of whole numbers; got {self.array.dtype} in {self.name!r}.")
        if self.array.dtype.kind == "i" and self.array.min() < 0:
            raise InputError(f"Expected labels of 0 and above; got {self.array.min()} in {self.name!r}.")

    @property
    def shape(self) -> Shape:
        """Size along (z, y, x)."""
        z, y, x = self.array.shape
        return z, y, x

    @property
    def chunk(self) -> Shape:
        """Any box of memory is read as easily as another."""
        return 1, 1, 1

    def read(self, box: Box) -> npt.NDArray[Any]:
        """A box (z, y, x), not copied."""
        part: npt.NDArray[Any] = self.array[place(box)]
        return part


def default_colour(label: int) -> str:
    """The colour ``#rrggbb`` of structure `label`, 1 and above, where none is given; after seven they come again."""
    return STRUCTURE_COLOURS[(label - 1) % len(STRUCTURE_COLOURS)]


def default_channels(count: int) -> tuple[str, ...]:
    """Names for `count` channels of which nothing is known: ``("channel 1", …)``."""
    return tuple(f"channel {i + 1}" for i in range(count))


def check_time(time: int, times: int) -> None:
    """Raise `SettingsError` unless a series of `times` time points has number `time`."""
    if not 0 <= time < times:
        raise SettingsError(f"Expected a time point of 0 to {times - 1}; got {time}.")
