"""The file of a paint journal: what stands in it, and how it is read.

The file is a header and then records that are only ever appended:

    header   ``MAGIC``, then one record of kind ``H`` with the shape of the painted array as JSON
    record   length of the body (4 bytes), CRC-32 of the body (4 bytes), the body: one byte of kind, then its content
    stroke   kind ``S``: zlib of the gaps between the flat indices of changed voxels (int64), then their values (uint16)
    note     kind ``N``: UTF-8 JSON, an object; the last one counts. ``structures`` are names by painted value

All numbers are little-endian. A record that is cut off, or whose checksum is wrong, ends the journal: it was being
written when the program died. A whole record of an unknown kind, or with what cannot be, is skipped and told of: other
strokes stand. Nothing in the file is ever executed.
"""

from __future__ import annotations

import json
import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import platformdirs
import pydantic

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.errors import InputError

FOLDER = "napari-unetseg"
"""Beside an image: what is kept of painting on it."""
MAGIC = b"unetseg paint 1\n"
HEAD = struct.Struct("<II")
MOST_VOXELS = 2**36
LARGEST_VALUE = np.iinfo(np.uint16).max

Array = npt.NDArray[Any]
Note = dict[str, Any]
Painted = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]
"""Flat indices of changed voxels, in order, and their new values."""


Value = Annotated[int, pydantic.Field(ge=0, le=LARGEST_VALUE)]
Name = Annotated[str, pydantic.Field(min_length=1)]
Length = Annotated[int, pydantic.Field(strict=True, ge=1, le=MOST_VOXELS)]


class _Header(pydantic.BaseModel):
    shape: tuple[Length, Length, Length]

    @pydantic.field_validator("shape")
    @classmethod
    def _is_of_an_image(cls, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        if math.prod(shape) > MOST_VOXELS:
            raise ValueError(f"no image has the shape {shape}")
        return shape


class _Note(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    structures: dict[Value, Name] = {}


@dataclass
class Recovered:
    """What a journal holds.

    Parameters
    ----------
    painted : ndarray of uint16, (Z, Y, X)
        Painted labels after the last whole stroke.
    strokes : int
        Whole strokes in the file; a compacted one counts as one.
    note : dict
        The last note, such as the structures' names and the last accepted model. Empty if there is none.
    size : int
        Bytes up to the end of the last whole record.
    skipped : int
        Whole records that mean nothing; they are warned of.
    """

    painted: npt.NDArray[np.uint16]
    strokes: int = 0
    note: Note = field(default_factory=dict)
    size: int = 0
    skipped: int = 0


def journal_path(source: Path | None, name: str, shape: tuple[int, ...], *, beside: bool = True) -> Path:
    """Where the paint of an image is journalled.

    In a folder of ours beside the image, as ``<file name>.paint``. In the user's data folder where there is no file,
    its folder is read-only or `beside` is off, under a name that tells images of one name apart by place and shape.
    """
    if beside and source is not None and os.access(source.parent, os.W_OK):
        return source.parent / FOLDER / f"{source.name}.paint"
    place = str(source.absolute()) if source is not None else name
    mark = zlib.crc32(f"{place} {shape}".encode())
    folder = platformdirs.user_data_path("napari-unetseg") / "paint"
    safe = "".join(c if c.isalnum() else "_" for c in (source.name if source is not None else name))[:60]
    return folder / f"{safe}-{mark:08x}.paint"


def read_journal(path: Path) -> Recovered:
    """Read every whole stroke of a journal; records that mean nothing are skipped, and warned of.

    Raises
    ------
    InputError
        If the file cannot be read, is not a journal of paint, or is one of more voxels than the memory holds.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"The paint journal {path} cannot be read: {error.strerror}.") from error
    records = _records(content)
    kind, header, size = next(records, (b"", b"", 0))
    if kind != b"H":
        raise InputError(f"{path} is not a journal of paint: expected a file that this program wrote.")
    recovered = _empty(path, header, size)
    for kind, body, end in records:
        try:
            _take(recovered, kind, body)
        except (ValueError, zlib.error):
            recovered.skipped += 1
        recovered.size = end
    if recovered.skipped:
        warnings.warn(f"{path}: {recovered.skipped} records mean nothing and were skipped.", stacklevel=2)
    return recovered


def shape_of_strokes(path: Path) -> tuple[int, int, int] | None:
    """The shape of the painted array, without reading its paint; None where no stroke, or no journal, is there."""
    try:
        records = _records(Path(path).read_bytes())
        kind, header, _ = next(records, (b"", b"", 0))
        shape = _Header.model_validate_json(header).shape if kind == b"H" else None
    except (OSError, ValueError):
        return None
    return shape if any(kind == b"S" for kind, _, _ in records) else None


def write_paint(path: Path, painted: Array, note: Note | None = None) -> int:
    """Write painted labels (Z, Y, X) as a journal of one stroke, atomically; returns its size in bytes.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    content = whole_of(painted, note)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return len(content)


def record_of(kind: bytes, content: bytes) -> bytes:
    """A record with its length and checksum."""
    body = kind + content
    return HEAD.pack(len(body), zlib.crc32(body)) + body


def header_of(shape: tuple[int, ...]) -> bytes:
    """How a journal of that shape begins."""
    return MAGIC + record_of(b"H", json.dumps({"shape": shape}).encode())


def whole_of(painted: Array, note: Note | None) -> bytes:
    """A journal of one stroke."""
    where = np.flatnonzero(painted)
    parts = [header_of(painted.shape), record_of(b"S", stroke_of(where, values_at(painted, where)))]
    if note:
        parts.append(record_of(b"N", json.dumps(note).encode()))
    return b"".join(parts)


def stroke_of(changed: npt.NDArray[np.intp], values: npt.NDArray[np.uint16]) -> bytes:
    """The content of a stroke: flat indices of changed voxels, in order, and their values."""
    gaps = np.diff(changed, prepend=0).astype("<i8")
    return zlib.compress(gaps.tobytes() + values.astype("<u2").tobytes(), level=1)


def _records(content: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """(kind, content, where it ends) of each whole record."""
    place = len(MAGIC)
    if not content.startswith(MAGIC):
        return
    while place + HEAD.size <= len(content):
        length, checksum = HEAD.unpack_from(content, place)
        body = content[place + HEAD.size : place + HEAD.size + length]
        if len(body) < max(length, 1) or zlib.crc32(body) != checksum:
            return
        place += HEAD.size + length
        yield body[:1], body[1:], place


def values_at(painted: Array, where: npt.NDArray[np.intp]) -> npt.NDArray[np.uint16]:
    """Painted values at flat indices, as they are kept."""
    values = painted.reshape(-1)[where]
    if values.size and not 0 <= values.min() <= values.max() <= LARGEST_VALUE:
        raise InputError(f"Expected painted values from 0 to {LARGEST_VALUE}; got {values.min()} to {values.max()}.")
    return values.astype(np.uint16)


def _empty(path: Path, header: bytes, size: int) -> Recovered:
    """A journal without strokes, of the header's shape."""
    try:
        shape = _Header.model_validate_json(header).shape
        return Recovered(np.zeros(shape, dtype=np.uint16), size=size)
    except pydantic.ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise InputError(f"{path} is not a journal of paint: its header does not fit: {reason}.") from error
    except (MemoryError, ValueError) as error:
        raise InputError(f"{path} is paint of shape {shape}, and the memory does not hold so much.") from error


def _take(recovered: Recovered, kind: bytes, body: bytes) -> None:
    """Add a record to what was found; raises `ValueError` or `zlib.error` where it means nothing."""
    if kind == b"S":
        where, values = _parse_stroke(body, recovered.painted.size)
        recovered.painted.reshape(-1)[where] = values
        recovered.strokes += 1
    elif kind == b"N":
        recovered.note = _Note.model_validate_json(body).model_dump(mode="json", exclude_unset=True)
    else:
        raise ValueError(f"There is no kind {kind!r}.")


def _parse_stroke(stroke: bytes, size: int) -> Painted:
    """A stroke on an array of `size` voxels: indices increase and lie inside, each has a value, and nothing is over."""
    most = size * 10  # 8 bytes of index and 2 of value for every voxel: no stroke is larger
    unpacking = zlib.decompressobj()
    raw = unpacking.decompress(stroke, most + 1)
    count, rest = divmod(len(raw), 10)
    if rest or not unpacking.eof or unpacking.unused_data:
        raise ValueError("A stroke is cut off, or longer than its array.")
    gaps = np.frombuffer(raw, "<i8", count)
    where = np.cumsum(gaps)
    if count and (gaps[0] < 0 or (gaps[1:] <= 0).any() or (gaps >= size).any() or where.min() < 0 or where[-1] >= size):
        raise ValueError("A stroke lies outside its array.")
    return where, np.frombuffer(raw, "<u2", count, offset=8 * count)
