"""Sources, which every format gives: the facts of a file before it is loaded, and a way to read a part of it.

What makes a file safe to read is here, too: that it is a file at all, holds about what it declares, and is the one that
was opened.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.grid import Grid, Shape
from napari_unetseg.core.io.legend import Legend
from napari_unetseg.errors import InputError, ResourceError, UnetsegError

DEFLATE_RATIO = 1100
"""Bytes that one byte of zlib or gzip can become: 1,032 (https://zlib.net/zlib_tech.html), and room for headers."""
FREE_UNIT = 2**28
"""Bytes that may be decoded at once, however small the image is."""
UNIT_RATIO = 4
"""How many times as large as the image what is decoded at once may be: a chunk may reach beyond the border."""
LACKS_MEMORY = ("bad_alloc", "llocate memory", "llocation failed", "llocation error", "llocating memory")
"""Words of C and C++ libraries that were given none."""
NUMPY_NUMBER = re.compile(r"\bnp\.\w+\(([^()]*)\)")
"""How numpy spells a number for programmers."""
Stamps = dict[Path, tuple[int, int]]
"""Size in bytes and time of the last change in ns, of each file."""


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
    images : tuple of str
        What the different images of the file are, each in a few words, where there are several: such as the wells of a
        plate. These facts are those of the first, or of the one that was chosen.
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
    images: tuple[str, ...] = ()

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
    unit : int
        Bytes that are decoded at once, whatever small part is asked for.
    files : tuple of Path
        What was read when it was opened, other than `info.path`, and must stay as it is.
    open_image : callable or None
        Opens another of the images that `info.images` lists, by its number from 0.
    as_labels : callable or None
        Opens the same as labels, where these are stored otherwise than an image: the indices of a palette, segments
        in layers. None where there is no difference.
    """

    info: VolumeInfo
    read: Callable[[Part], npt.NDArray[Any]]
    legend: Legend = field(default_factory=Legend)
    grids: tuple[Grid, ...] = ()
    chunk: Shape | None = (1, 1, 1)
    unit: int = 0
    files: tuple[Path, ...] = ()
    open_image: Callable[[int], Source] | None = None
    as_labels: Callable[[], Source] | None = None


def stack(channels: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Channels (Z, Y, X) as one array (C, Z, Y, X); a single one is not copied."""
    return channels[0][None] if len(channels) == 1 else np.stack(channels)


@contextmanager
def decoding(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises on damaged bytes into one clear `InputError`.

    Decoders of broken files raise nearly anything (struct.error, KeyError, RuntimeError, zlib.error, …). What says that
    memory was lacking becomes a `ResourceError`.
    """
    try:
        yield
    except (UnetsegError, MemoryError):
        raise
    except PermissionError as error:
        raise InputError(f"{path} may not be read: permission denied.") from error
    except Exception as error:
        if any(words in str(error) for words in LACKS_MEMORY):
            raise ResourceError(
                f"{path} needs more memory than there is; load a crop, fewer channels or a coarser level."
            ) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]  # the rest is a trace through C++
        reason = NUMPY_NUMBER.sub(r"\1", reason)
        raise InputError(f"{path} is not a whole, readable {kind} ({reason}). Is it damaged? Copy it again.") from error


def check_file(path: Path) -> None:
    """Raise `InputError` for what is neither a file nor a folder: reading a pipe or a device may never end."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise InputError(f"{path} is {kind}; expected a file or a folder. Write what it gives to a file first.")


def check_declared(path: Path, declared: int, ratio: int = DEFLATE_RATIO) -> None:
    """Raise `InputError` where a file declares more bytes of voxels than it can hold, packed `ratio` to one."""
    size = path.stat().st_size
    if declared > size * ratio:
        raise InputError(
            f"{path} declares {declared:,} bytes of voxels, and its {size:,} bytes cannot hold them. Is it damaged? "
            "Copy it again."
        )


def check_unit(source: Source) -> None:
    """Raise `InputError` where so much is decoded at once that it has nothing to do with the size of the image."""
    info = source.info
    if source.unit > max(FREE_UNIT, UNIT_RATIO * info.nbytes * info.times):
        raise InputError(
            f"{info.path} keeps {source.unit:,} bytes in one piece, for an image of {info.nbytes:,} bytes. Is it "
            "damaged? Save it again, in pieces no larger than the image."
        )


def stamps(paths: Iterable[Path]) -> Stamps:
    """What tells whether files have changed; one that is gone is left out."""
    found = {}
    for path in paths:
        with suppress(OSError):
            status = path.stat()
            found[path] = (status.st_size, status.st_mtime_ns)
    return found


def guarded(source: Source, opened: Stamps) -> Source:
    """The source, which reads only what is still as it was when it was opened."""
    return replace(source, read=partial(_read_unchanged, source.read, opened))


def _read_unchanged(read: Callable[[Part], npt.NDArray[Any]], opened: Stamps, part: Part) -> npt.NDArray[Any]:
    _check_unchanged(opened)
    try:
        array = read(part)
    except UnetsegError:
        _check_unchanged(opened)  # that is why
        raise
    _check_unchanged(opened)
    return array


def _check_unchanged(opened: Stamps) -> None:
    changed = opened.items() - stamps(opened).items()
    if changed:
        path = min(path for path, _ in changed)
        raise InputError(f"{path} was changed or replaced after it was opened. Open it again.")
