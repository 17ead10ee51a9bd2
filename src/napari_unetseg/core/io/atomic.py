"""Atomic writes: files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_unetseg.errors import OutputError


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target` to write a file or a folder to; rename it to `target` at the end.

    A killed process leaves the old file or the new one. The temporary path keeps the target's suffixes, because
    writers choose the format by them. An error removes what was written.

    Raises
    ------
    OutputError
        If the folder is missing, is read-only or full.
    """
    target = Path(target)
    if not target.parent.is_dir():
        raise OutputError(f"Expected an existing folder to write to; {target.parent} is not one. Make it first.")
    temporary = target.parent / f".{uuid.uuid4().hex[:8]}.partial.{target.name}"
    try:
        yield temporary
        _flush(temporary)
        _replace(temporary, target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}. Nothing was left.") from error
    finally:
        _remove(temporary)


def _flush(path: Path) -> None:
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def _replace(temporary: Path, target: Path) -> None:
    if target.is_dir() and not temporary.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if target.is_dir():  # a folder cannot be replaced in one step: move the old one aside, then drop it
        aside = temporary.with_name(f"{temporary.name}.old")
        target.rename(aside)
        temporary.rename(target)
        shutil.rmtree(aside)
    else:
        temporary.replace(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
