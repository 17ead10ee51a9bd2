"""The plan of outputs that every verb follows: suffix, folder, name, space and owner, checked before it computes."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_unetseg.core.io.atomic import followed, is_folder, tidy
from napari_unetseg.core.io.cache import user_cache
from napari_unetseg.core.io.formats.registry import LABEL_WRITERS, VOLUME_WRITERS
from napari_unetseg.core.io.ownership import check_replaceable
from napari_unetseg.errors import OutputError

LONGEST_NAME = 255
"""Bytes, where the system does not say."""
SOURCES = "sources of results"
"""In the cache: which image a result in a folder is of."""


@dataclass(frozen=True)
class Kind:
    """A kind of file that a verb writes.

    Parameters
    ----------
    name : str
        In words: ``labels``.
    suffixes : tuple of str
    size : int
        Bytes that one takes at least.
    is_strict : bool
        Whether it takes no other suffix. Else it takes any but those of other kinds.
    beside : int
        Bytes that the longest name of what is written beside it has more.
    """

    name: str
    suffixes: tuple[str, ...]
    size: int = 1024
    is_strict: bool = True
    beside: int = 0


LABELS = Kind("labels", tuple(suffix for group in LABEL_WRITERS.values() for suffix in group))
PROBABILITIES = Kind("probabilities", tuple(suffix for group in VOLUME_WRITERS.values() for suffix in group))
MODEL = Kind("a model", (".safetensors",), 2**20, beside=len(".session-start"))
PACKAGE = Kind("a package", (".zip",), 2**20)
MESH = Kind("a surface", (".ply", ".stl"))
PICTURE = Kind("a picture", (".png",), 16 * 1024)
TABLE = Kind("a table", (".csv",), is_strict=False)
PAGE = Kind("a page", (".html",), 16 * 1024, is_strict=False)
KINDS = (LABELS, PROBABILITIES, MODEL, PACKAGE, MESH, PICTURE, TABLE, PAGE)


def check_output(
    target: Path, kind: Kind, needed: int = 0, *, overwrite: bool = False, inputs: Sequence[Path] = ()
) -> None:
    """Raise, in one line, where a result cannot or must not be written to `target`.

    Parameters
    ----------
    needed : int
        Bytes that it takes, as far as that is known: an estimate.
    overwrite : bool
        Whether a file of another kind may be replaced. A folder that this program did not write never is.
    inputs : sequence of Path
        What is read, and must not be replaced.

    Raises
    ------
    OutputError
        If the suffix is not one of this kind, the folder is missing, read-only or full, the name is too long, or what
        is there is an input or not ours to replace (see `ownership.check_replaceable`).
    """
    _check_suffix(target, kind)
    real = followed(target)
    if not is_folder(real.parent):
        raise OutputError(f"Expected an existing folder to write to; {real.parent} is not one. Make it first.")
    _check_name(real, kind)
    if os.path.realpath(real) in {os.path.realpath(path) for path in inputs}:
        raise OutputError(f"{target} is an input and would be replaced; write to another file.")
    tidy(real.parent)
    if real.is_file() and target.suffix == ".zarr":
        raise OutputError(f"{target} is a file, and a Zarr is a folder; write to another name.")
    if real.is_dir() and target.suffix != ".zarr":
        raise OutputError(f"{target} is a folder; expected a file to write {kind.name} to.")
    check_replaceable(real, overwrite=overwrite)
    check_folder(real.parent, max(needed, kind.size))


def check_folder(folder: Path, needed: int = 0) -> None:
    """Raise `OutputError` where a folder is missing or read-only, or has less room than `needed` bytes."""
    if not is_folder(folder):
        raise OutputError(f"Expected an existing folder to write to; {folder} is not one. Make it first.")
    try:
        free = shutil.disk_usage(folder).free
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to: {error.strerror}; choose another folder.") from error
    if free < needed:
        raise OutputError(
            f"{folder} cannot be written to: about {_megabytes(needed)} are needed, and {_megabytes(free)} are free."
        )


def make_folder(folder: Path, needed: int = 0) -> None:
    """Make a folder for results where there is none; raises `OutputError` as `check_folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}; choose another folder.") from error
    check_folder(folder, needed)


def check_same_source(target: Path, source: Path) -> None:
    """Raise `OutputError` where a result is there that is known to be of another image than `source`."""
    known = user_cache().read(SOURCES, _place(target)) if target.exists() else None
    if known not in (None, _mark(source)):
        raise OutputError(
            f"{target} is the result of another image of that name; write to another folder, or give --overwrite."
        )


def remember_source(target: Path, source: Path) -> None:
    """Keep in mind which image a result is of, as a hash of its place."""
    user_cache().write(SOURCES, _place(target), _mark(source))


def _place(path: Path) -> str:
    return os.path.realpath(path)


def _mark(source: Path) -> bytes:
    return hashlib.sha256(os.fsencode(_place(source))).digest()


def _check_suffix(target: Path, kind: Kind) -> None:
    name = target.name.lower()
    others = tuple(suffix for other in KINDS if other is not kind for suffix in other.suffixes)
    if not name.endswith(kind.suffixes) and (kind.is_strict or name.endswith(others)):
        known = ", ".join(kind.suffixes)
        one = f"one of {known}" if len(kind.suffixes) > 1 else known
        raise OutputError(f"Expected a file to write {kind.name} to that ends with {one}; got {target.name!r}.")


def _check_name(target: Path, kind: Kind) -> None:
    try:
        most = os.pathconf(target.parent, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        most = LONGEST_NAME
    length = len(os.fsencode(target.name)) + kind.beside
    if length > most:
        raise OutputError(
            f"The name {target.name[:20]}… is too long to be written: it takes {length} bytes, and {most} are allowed."
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
