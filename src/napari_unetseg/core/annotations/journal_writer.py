"""The writer of a paint journal: every stroke is on the disk soon after it ends; one program at a time writes it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from napari_unetseg.core.annotations import journal, journal_lock
from napari_unetseg.core.annotations.painted_stack import PaintedStack, slices_with_paint
from napari_unetseg.core.io.atomic import atomic_path, tidy
from napari_unetseg.errors import InputError, OutputError

COMPACT_ABOVE = 16 * 1024**2  # bytes: a journal that outgrows this, and four times its compact form, is rewritten
GROWTH = 4
ATTEMPTS, PAUSE = 5, 0.05
"""Whoever only looks who writes a journal holds its lock for an instant; and seconds between attempts."""
REPLACES_OPEN_FILES = sys.platform != "win32"


class JournalTakenError(OutputError):
    """Another window has taken the journal over: what was written there last counts in neither."""


class Journal:
    """Records strokes of one painted array. Use as a context manager, or call `close`.

    An existing journal is continued: `painted` and `note` then hold what it knew. Only one program writes a journal at
    a time (see `journal_lock`). Whoever takes it over has all strokes that were confirmed; the program that had it
    until then is told at its next stroke, which is not confirmed.

    Parameters
    ----------
    path : Path
        The journal's file; its folder is made if it is missing.
    shape : (z, y, x)
    take_over : bool
        Take the journal from another program that writes it.

    Raises
    ------
    InputError
        If the file is not a journal, or belongs to paint of another shape.
    JournalInUseError
        If another program writes it.
    OutputError
        If it cannot be written.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], *, take_over: bool = False) -> None:
        self.path = Path(path)
        self._file = self._held(shape, take_over=take_over)
        try:
            self._compact_size = self._continued(tuple(shape))
        except BaseException:
            self._file.close()
            raise
        tidy(self.path.parent)  # what a killed program was rewriting it to
        journal_lock.sign(self.path)

    def _continued(self, shape: tuple[int, ...]) -> int:
        """Read what is there and go on behind it; gives its size."""
        recovered = journal.read_journal(self.path)
        if recovered.painted.shape != shape:
            raise InputError(
                f"{self.path} holds paint of shape {recovered.painted.shape}, and the image has {shape}. Move it."
            )
        self.painted, self.note = recovered.painted, recovered.note
        self._recorded: PaintedStack | None = None
        self._go_to(recovered.size)
        return recovered.size

    def _held(self, shape: tuple[int, ...], *, take_over: bool) -> IO[bytes]:
        """The file with the lock on it, made where it is missing; another program may be replacing it just now."""
        for attempt in range(ATTEMPTS):
            self._make_if_missing(shape)
            try:
                file = self.path.open("r+b", buffering=0)
                journal_lock.hold(file, self.path)
            except journal_lock.JournalInUseError:
                if take_over and journal_lock.is_at(file, self.path):  # not from one who was taken over just now
                    return self._taken_from(file)
                file.close()
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(PAUSE)
            except OSError as error:
                raise OutputError(f"The paint journal {self.path} cannot be written: {error.strerror}.") from error
            else:
                if journal_lock.is_at(file, self.path):
                    return file
                file.close()
        raise OutputError(f"The paint journal {self.path} is replaced again and again; use another name.")

    def _make_if_missing(self, shape: tuple[int, ...]) -> None:
        if self.path.exists():
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The folder {self.path.parent} for the paint journal cannot be made: {error}."
            ) from error
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(journal.header_of(shape))

    def _taken_from(self, other: IO[bytes]) -> IO[bytes]:
        """A copy in place of a file that another program writes.

        That program looks after each stroke whether its file is still in place. So what it confirms either stands in
        the old file when that is read to its end, after the exchange, or is not confirmed.
        """
        with other:
            file = self._replaced(other.read())
            file.seek(0, os.SEEK_END)
            _write(file, other.read())
        return file

    def _replaced(self, content: bytes) -> IO[bytes]:
        """A new file of that content in place of the journal, atomically, with the lock on it from its beginning."""
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(content)
            file = temporary.open("r+b", buffering=0)
            journal_lock.hold_new(file)
        return file

    def _go_to(self, size: int) -> None:
        """Append from there on: what is behind it is no whole record."""
        self._file.seek(size)
        self._file.truncate()

    def record(self, painted: PaintedStack | journal.Array) -> int:
        """Append what has changed since the last call, and wait until it is on the disk.

        Parameters
        ----------
        painted : PaintedStack, or ndarray, of whole numbers below 65536, of the journal's shape

        Returns
        -------
        int
            How many voxels changed. 0 writes nothing.

        Raises
        ------
        InputError
            If a number is larger.
        JournalTakenError
            If another program has taken the journal over.
        OutputError
            If the disk is full. The next call writes the stroke again.
        """
        stack = PaintedStack.of(painted)
        changed, values = self._changed(stack)
        if changed.size:
            self._append(journal.record_of(b"S", journal.stroke_of(changed, values)))
            self.painted.reshape(-1)[changed] = values
            self._recorded = stack  # it counts as written, whatever becomes of making the file smaller
            self._compact_if_large()
        self._recorded = stack
        return int(changed.size)

    def _changed(self, stack: PaintedStack) -> journal.Painted:
        """Flat indices of changed voxels, in order, and their values; slices that cannot have changed are left out."""
        if self._recorded is not None:
            slices = stack.changed_since(self._recorded)
        else:
            slices = sorted({*stack.planes, *slices_with_paint(self.painted)})
        changed, values = [np.zeros(0, np.int64)], [np.zeros(0, np.uint16)]
        for z in slices:
            plane = stack.plane(z)
            where = np.flatnonzero(plane != self.painted[z])
            changed.append(where + z * plane.size)
            values.append(journal.values_at(plane, where))
        return np.concatenate(changed), np.concatenate(values)

    def write_note(self, note: journal.Note) -> None:
        """Append a note: JSON-able facts that belong to the paint. It replaces the last one."""
        if note != self.note:
            self._append(journal.record_of(b"N", json.dumps(note).encode()))
            self.note = note

    def compact(self) -> None:
        """Rewrite the journal as one stroke, atomically: a kill leaves the old file or the new one."""
        content = journal.whole_of(self.painted, self.note)
        old, self._file = self._file, self._replaced(content)
        old.close()
        self._compact_size = len(content)
        self._go_to(len(content))

    def close(self) -> None:
        """Close the file, and let others write it. Its strokes are on the disk already."""
        if not self._file.closed and journal_lock.is_at(self._file, self.path):
            journal_lock.unsign(self.path)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, record: bytes) -> None:
        """Append a record; a journal that is gone from its place is written anew, with all that it held."""
        if journal_lock.is_at(self._file, self.path) is None:
            self.compact()
        start = self._file.tell()
        try:
            _write(self._file, record)
        except OSError as error:
            self._go_to(start)
            raise OutputError(f"The paint journal {self.path} cannot be written: {error.strerror}.") from error
        if not journal_lock.is_at(self._file, self.path):
            raise JournalTakenError(f"Another window has taken {self.path} over.")

    def _compact_if_large(self) -> None:
        too_large = self._file.tell() > max(COMPACT_ABOVE, GROWTH * self._compact_size)
        if too_large and REPLACES_OPEN_FILES:
            self.compact()


def _write(file: IO[bytes], record: bytes) -> None:
    """Write to an unbuffered file, and wait for the disk."""
    left = memoryview(record)
    while left:
        left = left[file.write(left) :]
    os.fsync(file.fileno())
