"""The store of paint: kept on the disk while someone paints, in a thread of its own, and found again."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.annotations.journal import FOLDER, journal_path, read_journal, shape_of_strokes
from napari_unetseg.core.annotations.journal_lock import JournalInUseError, Owner, owner_of
from napari_unetseg.core.annotations.journal_writer import Journal, JournalTakenError
from napari_unetseg.core.annotations.painted_stack import PaintedStack
from napari_unetseg.errors import InputError, OutputError
from napari_unetseg.plugin.preferences import preferences

NAMES = "structures"
"""Key of a journal's note: names by painted value."""


@dataclass(frozen=True)
class KeptPaint:
    """Paint that was found.

    Parameters
    ----------
    painted : PaintedStack of uint16
    names : mapping
        Names by painted value.
    owner : Owner or None
        Of the other process that paints there now.
    """

    path: Path
    painted: PaintedStack
    names: Mapping[int, str]
    owner: Owner | None = None


@dataclass(frozen=True)
class Survey:
    """How much is painted, and where.

    Parameters
    ----------
    counts : tuple of int
        Voxels of each painted value 0, 1, ….
    occupied : three ndarray of bool
        Which slices along z, y and x hold paint.
    """

    counts: tuple[int, ...]
    occupied: tuple[npt.NDArray[np.bool_], ...]

    @classmethod
    def of(cls, painted: PaintedStack | npt.NDArray[Any]) -> Survey:
        """That of painted labels (Z, Y, X); only slices with paint are looked at."""
        stack = PaintedStack.of(painted)
        depth, height, width = stack.shape
        counts = np.zeros(stack.highest + 1, np.int64)
        along = [np.zeros(size, bool) for size in stack.shape]
        for z, plane in stack.planes.items():
            counts += np.bincount(plane.ravel(), minlength=len(counts))
            along[0][z] = True
            along[1] |= plane.any(axis=1)
            along[2] |= plane.any(axis=0)
        counts[0] += (depth - len(stack.planes)) * height * width
        return cls(tuple(counts.tolist()), tuple(along))


class PaintKeeper:
    """Journals one painted array. Nothing here waits for the disk but `close`.

    Where another window takes the journal over, the paint goes on in a copy of its own: nothing of either is lost.

    Parameters
    ----------
    journal : Journal
        `painted` and `names` are what it held. It is closed by the keeper.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.painted, self.names = PaintedStack.of(journal.painted), _names(journal.note)
        self._thread = ThreadPoolExecutor(1, "napari-unetseg paint")

    @property
    def path(self) -> Path:
        """Where the paint is kept."""
        return self._journal.path

    def keep(self, painted: PaintedStack | npt.NDArray[Any], names: Mapping[int, str]) -> Future[Path | None]:
        """Write what has changed since the last call; the future ends when it is on the disk.

        It gives the copy where the paint is kept from now on, if another window has taken the journal over. Its
        exception is an `OutputError` if the disk is full; the next call then writes it again.
        """
        return self._thread.submit(self._write, painted, dict(names))

    def survey(self, painted: PaintedStack | npt.NDArray[Any]) -> Future[Survey]:
        """How much is painted, and where; looked up in the same thread."""
        return self._thread.submit(Survey.of, painted)

    def _write(self, painted: PaintedStack | npt.NDArray[Any], names: Mapping[int, str]) -> Path | None:
        try:
            self._record(painted, names)
        except JournalTakenError:
            self._journal.close()
            self._journal = _beside(self.path, painted.shape)
            self._record(painted, names)
            return self.path
        return None

    def _record(self, painted: PaintedStack | npt.NDArray[Any], names: Mapping[int, str]) -> None:
        self._journal.record(painted)
        self._journal.write_note({NAMES: {str(value): name for value, name in names.items()}})

    def close(self) -> None:
        """Wait until everything is on the disk."""
        self._thread.shutdown()
        self._journal.close()


def keep_afresh(place: Path, shape: tuple[int, ...]) -> PaintKeeper:
    """Keep new paint: what was kept at that place is put aside, or left to another window that paints there.

    Raises
    ------
    InputError, OutputError
        If a journal cannot be made.
    """
    if other_owner(place) is not None:
        return PaintKeeper(_beside(place, shape))
    if place.exists():
        set_aside(place)
    return PaintKeeper(Journal(place, shape, take_over=True))


def keep_on(place: Path, shape: tuple[int, ...]) -> PaintKeeper:
    """Go on with kept paint, whoever else paints there: that window goes on in a copy of its own.

    Raises
    ------
    InputError, OutputError
        If the journal there cannot be continued.
    """
    return PaintKeeper(Journal(place, shape, take_over=True))


def keep_copy(place: Path, shape: tuple[int, ...]) -> PaintKeeper:
    """Go on with a copy of kept paint, and leave the paint itself to another window.

    Raises
    ------
    InputError, OutputError
        If the journal cannot be read, or no copy can be made.
    """
    recovered, journal = read_journal(place), _beside(place, shape)
    journal.record(recovered.painted)
    journal.write_note(recovered.note)
    return PaintKeeper(journal)


def other_owner(place: Path) -> Owner | None:
    """The other process that keeps paint there; None where there is none."""
    owner = owner_of(place)
    return owner if owner is not None and owner.process != os.getpid() else None


def _beside(place: Path, shape: tuple[int, ...]) -> Journal:
    """A new journal with the next free number."""
    while True:
        try:
            return Journal(_numbered(place, _free_number(place)), shape)
        except JournalInUseError:  # another window was faster
            continue


def _free_number(place: Path) -> int:
    return next(number for number in itertools.count(1) if not _numbered(place, number).exists())


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def place_of(source: str | None, name: str, shape: tuple[int, ...]) -> Path:
    """Where the paint of an image layer is journalled; `source` is the file that napari read it from."""
    path = Path(source) if source else None
    if path is None or not path.exists():
        return journal_path(None, name, shape)
    return journal_path(path, name, shape, beside=preferences().keeps_beside(path))


def model_beside(path: Path) -> Path:
    """Where the last accepted model is kept: beside the journal."""
    return path.with_name(f"{path.name}.safetensors")


def kept_places(place: Path, shape: tuple[int, ...]) -> list[Path]:
    """Where paint of an image is kept, the newest first: its journal, what was put aside, and copies."""
    earlier = [place.parent.with_name(place.name)] if place.parent.name == FOLDER else []  # versions without a folder
    files = [place, *earlier, *(f for f in place.parent.glob(f"{glob.escape(place.name)}.*") if f.suffix[1:].isdigit())]
    found = [file for file in files if shape_of_strokes(file) == tuple(shape)]
    return sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)


def find_paint(path: Path, shape: tuple[int, ...]) -> KeptPaint | None:
    """The paint in a journal; None where there is none of that shape, or the file is not a journal."""
    try:
        recovered = read_journal(path)
    except InputError:
        return None
    if recovered.painted.shape != tuple(shape):
        return None
    painted = PaintedStack.of(recovered.painted)
    if not painted.any():
        return None
    return KeptPaint(path, painted, _names(recovered.note), other_owner(path))


def _names(note: Mapping[str, Any]) -> Mapping[int, str]:
    return {int(value): str(name) for value, name in note.get(NAMES, {}).items()}


def set_aside(path: Path) -> None:
    """Make room for new paint without losing the old: give journal and model the next free number.

    Raises
    ------
    OutputError
        If they cannot be renamed.
    """
    aside = _numbered(path, _free_number(path))
    for file, other in ((path, aside), (model_beside(path), model_beside(aside))):
        if file.exists():
            try:
                file.rename(other)
            except OSError as error:
                raise OutputError(f"The old paint {file} cannot be renamed: {error.strerror}.") from error
