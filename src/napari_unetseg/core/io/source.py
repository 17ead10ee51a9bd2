"""Sources, which every format gives: the facts of a file before it is loaded, and a way to read a part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.io.legend import Legend
from napari_unetseg.core.volume import Grid, Shape
from napari_unetseg.errors import InputError, UnetsegError


@dataclass(frozen=True)
class VolumeInfo:
    """What a file holds, read from its header alone.

    Parameters
    ----------
    path : Path
    format : str
        For people: ``"OME-TIFF"``.
    shape : (z, y, x)
        At the finest level.
    channels : tuple of str
    dtype : dtype
    grid : Grid
        At the finest level.
    times : int
        Number of time points, at least 1.
    levels : tuple of (z, y, x)
        Shapes of the resolution levels, the finest first.
    notes : tuple of str
        What a user should know: an assumed spacing, missing slices.
    """

    path: Path
    format: str
    shape: Shape
    channels: tuple[str, ...]
    dtype: np.dtype[Any]
    grid: Grid
    times: int = 1
    levels: tuple[Shape, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.levels:
            object.__setattr__(self, "levels", (self.shape,))

    @property
    def nbytes(self) -> int:
        """Memory that one time point takes at the finest level, all channels, in bytes."""
        z, y, x = self.shape
        return len(self.channels) * z * y * x * self.dtype.itemsize


@dataclass(frozen=True)
class Part:
    """A checked part of a file: nothing of it lies outside.

    Parameters
    ----------
    channels : tuple of int
    time, level : int
    box : three slices (z, y, x), in voxels of `level`, with start and stop and without step
    whole : bool
        Whether the part is all channels and voxels of `level`.
    allow_missing : bool
        Whether what was written once and is gone is read as the fill value.
    """

    channels: tuple[int, ...]
    time: int
    level: int
    box: tuple[slice, slice, slice]
    whole: bool
    allow_missing: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (C, Z, Y, X)."""
        z, y, x = (s.stop - s.start for s in self.box)
        return len(self.channels), z, y, x


@dataclass(frozen=True)
class Source:
    """An opened file: its facts, and a function that reads a part as an array (C, Z, Y, X) in native byte order.

    Parameters
    ----------
    grids : tuple of Grid
        One a resolution level; empty where only the finest is known exactly, the others then follow from the shapes.
    chunk : (z, y, x) or None
        Voxels that are stored, and so best read, together. None where a box costs as much as the whole file.
    """

    info: VolumeInfo
    read: Callable[[Part], npt.NDArray[Any]]
    legend: Legend = field(default_factory=Legend)
    grids: tuple[Grid, ...] = ()
    chunk: Shape | None = (1, 1, 1)


def stack(channels: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Channels (Z, Y, X) as one array (C, Z, Y, X); a single one is not copied."""
    return channels[0][None] if len(channels) == 1 else np.stack(channels)


@contextmanager
def decoding(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises on damaged bytes into one clear `InputError`.

    Decoders of broken files raise nearly anything (struct.error, KeyError, RuntimeError, zlib.error, …).
    """
    try:
        yield
    except (UnetsegError, MemoryError):
        raise
    except PermissionError as error:
        raise InputError(f"{path} may not be read: permission denied.") from error
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]  # the rest is a trace through C++
        raise InputError(f"{path} is not a whole, readable {kind} ({reason}). Is it damaged? Copy it again.") from error
