"""Volumes and labels, the one form in which images travel through the program: an array and the grid it lies on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

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


Triple = tuple[float, float, float]
Shape = tuple[int, int, int]
Span = tuple[int, int]
Box = tuple[Span, Span, Span]
"""Half-open, in voxels along z, y and x."""
UNITS = {"nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}
"""Length units and their size in metres. ``"pixel"`` stands beside them: no physical size is known."""

LONGEST = 1e15
"""Of positions and spacings, in any unit: a format with numbers of 32 bits holds what is made of them, too."""
DIRECTIONS = ("LR", "PA", "IS")

COLOUR = ("red", "green", "blue")
"""The channel names of a colour picture."""


@dataclass(frozen=True)
class ScannerFrame:
    """How a volume lies in the patient, and the voxel order that its file had.

    Parameters
    ----------
    affine : tuple of 4 tuples of 4 floats
        Index (z, y, x, 1) of the array in memory to position (right, anterior, superior, 1) in mm.
    file_codes : tuple of 3 str
        Axis codes of the file's own (i, j, k) order, such as ``("L", "P", "S")``: labels are written back in it.

    Raises
    ------
    SettingsError
        If the affine is not finite, beyond all sizes or singular, or the codes do not name three axes.
    """

    affine: tuple[tuple[float, ...], ...]
    file_codes: tuple[str, str, str]

    def __post_init__(self) -> None:
        matrix = np.array(self.affine, dtype=float)
        if matrix.shape != (4, 4) or not (np.abs(matrix) <= LONGEST).all() or np.linalg.matrix_rank(matrix[:3, :3]) < 3:
            raise SettingsError(f"Expected an affine of 4 × 4 numbers that can be inverted; got {self.affine}.")
        axes = [axis for code in self.file_codes for axis, codes in enumerate(DIRECTIONS) if code and code in codes]
        if sorted(axes) != [0, 1, 2]:
            raise SettingsError(f"Expected axis codes such as L, P and S, one of each axis; got {self.file_codes}.")

    def moved(self, start: Triple) -> ScannerFrame:
        """The frame of a crop that begins at voxel `start` (z, y, x)."""
        matrix = np.array(self.affine)
        matrix[:3, 3] += matrix[:3, :3] @ np.array(start, dtype=float)
        return self._with(matrix)

    def scaled(self, factors: Triple) -> ScannerFrame:
        """The frame with voxels larger by `factors` (z, y, x); directions and the first voxel's centre stay."""
        matrix = np.array(self.affine)
        matrix[:3, :3] *= np.array(factors)
        return self._with(matrix)

    def _with(self, matrix: npt.NDArray[np.float64]) -> ScannerFrame:
        return replace(self, affine=tuple(tuple(float(v) for v in row) for row in matrix))


@dataclass(frozen=True)
class Grid:
    """Where voxels lie.

    Parameters
    ----------
    spacing : (z, y, x)
        Distance between voxel centres, in `unit`.
    unit : str
        One of ``nm, µm, mm, cm, m``, or ``pixel`` where no physical size is known.
    origin : (z, y, x)
        Position of the first voxel's centre, in `unit`.
    scanner : ScannerFrame or None
        Orientation in the patient, for formats that know it.
    placed : bool
        Whether an origin of 0 is a place, said by a format or a layer that can say another; see `is_placed`.

    Raises
    ------
    SettingsError
        If a spacing is not finite and above zero, an origin is not finite, or the unit is unknown.
    """

    spacing: Triple = (1.0, 1.0, 1.0)
    unit: str = "pixel"
    origin: Triple = (0.0, 0.0, 0.0)
    scanner: ScannerFrame | None = None
    placed: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.spacing) != 3 or not all(1 / LONGEST <= s <= LONGEST for s in self.spacing):
            raise SettingsError(f"Expected a spacing of three numbers above 0 (z, y, x); got {self.spacing}.")
        if len(self.origin) != 3 or not all(abs(o) <= LONGEST for o in self.origin):
            raise SettingsError(f"Expected an origin of three numbers (z, y, x); got {self.origin}.")
        if self.unit != "pixel" and self.unit not in UNITS:
            raise SettingsError(f"Expected a unit of {', '.join([*UNITS, 'pixel'])}; got {self.unit!r}.")

    @property
    def is_physical(self) -> bool:
        """Whether a physical voxel size is known."""
        return self.unit != "pixel"

    @property
    def is_placed(self) -> bool:
        """Whether it is known where the voxels lie."""
        return self.placed or self.scanner is not None or any(self.origin)

    def affine_in(self, unit: str) -> npt.NDArray[np.float64]:
        """Index (z, y, x, 1) to (right, anterior, superior, 1) in a length unit; without a frame, x runs to the left.

        Without a physical size one voxel unit is one `unit`, and one mm of the frame.
        """
        if self.scanner is not None:
            affine, scale = np.array(self.scanner.affine, dtype=float), UNITS["mm"] / UNITS[unit]
        else:
            (z, y, x), (oz, oy, ox) = self.spacing, self.origin
            affine = np.array([[0, 0, -x, -ox], [0, -y, 0, -oy], [z, 0, 0, oz], [0, 0, 0, 1]], dtype=float)
            scale = UNITS[self.unit] / UNITS[unit] if self.is_physical else 1.0
        affine[:3] *= scale
        return affine

    def spacing_in(self, unit: str) -> Triple:
        """Spacing converted to another length unit; raises `SettingsError` where either is ``pixel``."""
        if not self.is_physical or unit not in UNITS:
            raise SettingsError(
                f"A spacing in {self.unit} cannot be given in {unit}; give the voxel size and its unit."
            )
        factor = UNITS[self.unit] / UNITS[unit]
        z, y, x = (s * factor for s in self.spacing)
        return z, y, x

    def cropped(self, start: Triple) -> Grid:
        """The grid of a crop that begins at voxel `start` (z, y, x)."""
        z, y, x = (o + s * i for o, s, i in zip(self.origin, self.spacing, start, strict=True))
        return replace(self, origin=(z, y, x), scanner=self.scanner and self.scanner.moved(start))


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


def default_channels(count: int) -> tuple[str, ...]:
    """Names for `count` channels of which nothing is known: ``("channel 1", …)``."""
    return tuple(f"channel {i + 1}" for i in range(count))


def check_time(time: int, times: int) -> None:
    """Raise `SettingsError` unless a series of `times` time points has number `time`."""
    if not 0 <= time < times:
        raise SettingsError(f"Expected a time point of 0 to {times - 1}; got {time}.")


def place(box: Box) -> tuple[Any, ...]:
    """The index of a box along an array's last three axes."""
    return (..., *(slice(*span) for span in box))
