"""The store of paint: kept on the disk while someone paints, in a thread of its own, and found again."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.annotations.journal import journal_path, read_journal
from napari_unetseg.core.annotations.journal_writer import Journal
from napari_unetseg.core.annotations.next_slice import occupied
from napari_unetseg.errors import InputError, OutputError

NAMES = "structures"
"""Key of a journal's note: names by painted value."""


@dataclass(frozen=True)
class KeptPaint:
    """Paint that was found.

    Parameters
    ----------
    painted : ndarray of uint16, (Z, Y, X)
    names : mapping
        Names by painted value.
    """

    path: Path
    painted: npt.NDArray[Any]
    names: Mapping[int, str]


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
    def of(cls, painted: npt.NDArray[Any]) -> Survey:
        """That of painted labels (Z, Y, X)."""
        return cls(tuple(np.bincount(painted.ravel()).tolist()), occupied(painted))


class PaintKeeper:
    """Journals one painted array. Nothing here waits for the disk but `close`.

    Parameters
    ----------
    path : Path
        Of the journal; see `core.annotations.journal.journal_path`.
    shape : (z, y, x)

    Raises
    ------
    InputError, OutputError
        If the journal there cannot be continued.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path = path
        self._journal = Journal(path, shape)
        self._thread = ThreadPoolExecutor(1, "napari-unetseg paint")

    def keep(self, painted: npt.NDArray[Any], names: Mapping[int, str]) -> Future[None]:
        """Write what has changed since the last call; the future ends when it is on the disk.

        Its exception is an `OutputError` if the disk is full; the next call then writes it again.
        """
        return self._thread.submit(self._write, painted, dict(names))

    def survey(self, painted: npt.NDArray[Any]) -> Future[Survey]:
        """How much is painted, and where; looked up in the same thread."""
        return self._thread.submit(Survey.of, painted)

    def _write(self, painted: npt.NDArray[Any], names: Mapping[int, str]) -> None:
        self._journal.record(painted)
        self._journal.write_note({NAMES: {str(value): name for value, name in names.items()}})

    def close(self) -> None:
        """Wait until everything is on the disk."""
        self._thread.shutdown()
        self._journal.close()


def place_of(source: str | None, name: str, shape: tuple[int, ...]) -> Path:
    """Where the paint of an image layer is journalled; `source` is the file that napari read it from."""
    path = Path(source) if source else None
    return journal_path(path if path is not None and path.exists() else None, name, shape)


def model_beside(path: Path) -> Path:
    """Where the last accepted model is kept: beside the journal."""
    return path.with_name(f"{path.name}.safetensors")


def find_paint(path: Path, shape: tuple[int, ...]) -> KeptPaint | None:
    """The paint in a journal; None where there is none of that shape, or the file is not a journal."""
    try:
        recovered = read_journal(path)
    except InputError:
        return None
    if recovered.painted.shape != tuple(shape) or not recovered.painted.any():
        return None
    names = {int(value): str(name) for value, name in recovered.note.get(NAMES, {}).items()}
    return KeptPaint(path, recovered.painted, names)


def set_aside(path: Path) -> None:
    """Make room for new paint without losing the old: give journal and model the next free number.

    Raises
    ------
    OutputError
        If they cannot be renamed.
    """
    number = 1
    while path.with_name(f"{path.name}.{number}").exists():
        number += 1
    for file in (path, model_beside(path)):
        if file.exists():
            try:
                file.rename(file.with_name(f"{file.name}.{number}"))
            except OSError as error:
                raise OutputError(f"The old paint {file} cannot be renamed: {error.strerror}.") from error
