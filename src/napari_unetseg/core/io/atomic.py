"""Files that appear whole or not at all, and what killed writers left behind."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import platform
import re
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from napari_unetseg.core.io.ownership import check_replaceable
from napari_unetseg.errors import OutputError

LEFTOVER = re.compile(r"\.(?P<process>\d+)-(?P<host>[0-9a-f]{8})-[0-9a-f]{8}\.(?P<kind>partial|old)(\..*)?", re.DOTALL)
"""Of a writer: its process and host, and whether it is what was being written or what was to be replaced."""
EARLIER = re.compile(r"\.[0-9a-f]{8}\.partial\.(?P<name>.+?)(?P<aside>\.old)?", re.DOTALL)
"""As earlier versions called both."""
OLD_SECONDS = 24 * 3600.0
"""Of a writer on another host, or one that is not named: nothing is being written for so long without a change."""
CLOCK_SECONDS = 60.0
"""By which the clocks of a disk and a computer may differ."""
TAIL_BYTES = 80
"""Of the target's name in a temporary one: its suffixes, and room below every system's limit."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target` to write a file or a folder to; rename it to `target` at the end.

    A killed process leaves the old file or the new one. The temporary path keeps the target's suffixes, because
    writers choose the format by them. An error removes what was written. A link is followed, permissions of what is
    replaced are kept, and what killed processes left in that folder is removed or put back (see `tidy`).

    Raises
    ------
    OutputError
        If the folder is missing, is read-only or full, or a folder would be replaced that this program did not write.
    """
    target = followed(Path(target))
    if not is_folder(target.parent):
        raise OutputError(f"Expected an existing folder to write to; {target.parent} is not one. Make it first.")
    tidy(target.parent)
    temporary = target.with_name(f"{_mark()}.partial.{_tail(target.name)}")
    try:
        yield temporary
        _flush(temporary)
        _replace(temporary, target)
        _flush_folder(target.parent)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}. Nothing was left.") from error
    finally:
        _remove(temporary)


def tidy(folder: Path) -> None:
    """Remove what killed writers left half-written in a folder, and put back what they were replacing.

    Of a writer on this host it is known whether it runs; all others have a day.
    """
    with contextlib.suppress(OSError):
        for name in [entry.name for entry in os.scandir(folder) if entry.name.startswith(".")]:
            if (found := LEFTOVER.fullmatch(name)) and _is_abandoned(folder / name, found["process"], found["host"]):
                if found["kind"] == "old":
                    _put_back(folder, [*(folder / name).iterdir()])
                _remove(folder / name)
            elif (found := EARLIER.fullmatch(name)) and _is_abandoned(folder / name, "", ""):
                if found["aside"]:
                    _put_back(folder, [folder / name], found["name"])
                _remove(folder / name)


def followed(target: Path) -> Path:
    """Where a link leads to, so that the link stays; `target` itself where it is none."""
    if not _is_link(target):
        return target
    end = Path(os.path.realpath(target))
    if _is_link(end):
        raise OutputError(f"{target} is a link that leads to itself; remove it or choose another name.")
    return end


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; False too for a name that no system allows, or where one may not look."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:
        return False


def _mark() -> str:
    return f".{os.getpid()}-{_host()}-{uuid.uuid4().hex[:8]}"


def _host() -> str:
    """A short name of this machine, and of the container in which process numbers are counted."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def _tail(name: str) -> str:
    """The end of a name, of at most `TAIL_BYTES`."""
    return os.fsencode(name)[-TAIL_BYTES:].decode("utf-8", errors="ignore")


def _is_abandoned(path: Path, process: str, host: str) -> bool:
    changed = path.lstat().st_mtime
    if host != _host():
        return time.time() - changed > OLD_SECONDS
    try:
        began: float = psutil.Process(int(process[:9])).create_time()
    except psutil.NoSuchProcess:
        return True
    return began > changed + CLOCK_SECONDS  # the number was given again


def _put_back(folder: Path, kept: list[Path], name: str = "") -> None:
    """Give each path its name in the folder, where nothing has that name now."""
    for path in kept:
        if not os.path.lexists(folder / (name or path.name)):
            path.rename(folder / (name or path.name))


def _flush(path: Path) -> None:
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the new name last, where the system can: the file is whole in any case."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _replace(temporary: Path, target: Path) -> None:
    if is_folder(target) and not is_folder(temporary):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if os.path.lexists(target):
        with contextlib.suppress(PermissionError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
    if is_folder(target):
        check_replaceable(target, overwrite=True)
        _replace_folder(temporary, target)
    else:
        temporary.replace(target)


def _replace_folder(temporary: Path, target: Path) -> None:
    """Exchange both names; where the system cannot, the old folder moves aside, from where `tidy` puts it back."""
    if _exchange(temporary, target):
        return
    aside = target.with_name(f"{_mark()}.old")
    aside.mkdir()
    target.rename(aside / target.name)
    try:
        temporary.rename(target)
    except OSError:
        (aside / target.name).rename(target)
        raise
    finally:
        _remove(aside)


def _exchange(one: Path, other: Path) -> bool:
    """Give two paths each other's name in one step; False where the system or the file system cannot."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    failed: int = rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    return failed == 0


def _remove(path: Path) -> None:
    """Remove a file or a folder as far as that can be done: what is wrong with the disk was said already."""
    if is_folder(path) and not _is_link(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
