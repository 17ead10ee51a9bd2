"""The lock on a paint journal: one program writes it, and every other learns which one that is.

The system's own lock lies on the journal's file (``flock``; on Windows a byte far behind its end), so that it ends with
the process that holds it, however that ends. Who holds it stands in a small hidden file beside the journal. Where a
file system has no locks, that file is all there is: of a process on this computer it is known whether it runs.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import platform
import sys
from pathlib import Path
from typing import IO

import psutil
import pydantic

from napari_unetseg.errors import InputError

REFUSED = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
"""What a system says where another program holds the lock; whatever else it says, it has no locks there."""
CLOCK_SECONDS = 60.0
"""By which a process may seem to have begun after it took a journal."""


class Owner(pydantic.BaseModel):
    """Who writes a journal.

    Parameters
    ----------
    process : int
    host : str
        Name of its computer.
    since : datetime
    """

    process: int = pydantic.Field(ge=0, lt=2**31)
    host: str = pydantic.Field(max_length=255)
    since: datetime.datetime

    @classmethod
    def this_process(cls) -> Owner:
        """As who this process would be known."""
        return cls(process=os.getpid(), host=platform.node(), since=datetime.datetime.now(datetime.UTC))

    @property
    def is_gone(self) -> bool:
        """Whether it is a process of this computer that has ended."""
        if self.host != platform.node():
            return False
        try:
            began: float = psutil.Process(self.process).create_time()
        except psutil.NoSuchProcess:
            return True
        return began > self.since.timestamp() + CLOCK_SECONDS  # the number was given again

    def __str__(self) -> str:
        where = "this computer" if self.host == platform.node() else self.host
        return f"process {self.process} on {where}, since {self.since.astimezone():%d %b %H:%M}"


class JournalInUseError(InputError):
    """Another window, here or on another computer, writes that journal.

    Parameters
    ----------
    path : Path
    owner : Owner or None
        None where it has not said who it is.
    """

    def __init__(self, path: Path, owner: Owner | None) -> None:
        super().__init__(f"{path} is written by another window ({owner or 'which has not said who it is'}).")
        self.owner = owner


def owner_of(journal: Path) -> Owner | None:
    """Who writes a journal now; None where nobody does, or there is no such file."""
    try:
        with journal.open("r+b") as file:
            hold(file, journal)
    except JournalInUseError as error:
        return error.owner or Owner(process=0, host="", since=datetime.datetime.fromtimestamp(0, datetime.UTC))
    except OSError:
        pass
    return None


def hold(file: IO[bytes], journal: Path) -> None:
    """Take the lock of an opened journal; it ends when the file is closed.

    Raises
    ------
    JournalInUseError
        If another holds it.
    """
    try:
        _lock(file.fileno())
    except OSError as error:
        owner = _written_owner(journal)
        if error.errno in REFUSED or (owner is not None and not owner.is_gone):
            raise JournalInUseError(journal, owner) from error


def hold_new(file: IO[bytes]) -> None:
    """Take the lock of a file that nobody else knows of yet."""
    with contextlib.suppress(OSError):  # no locks there
        _lock(file.fileno())


def sign(journal: Path) -> None:
    """Say beside a journal, whose lock this process holds, who that is."""
    with contextlib.suppress(OSError):  # it only tells others
        _owner_file(journal).write_text(Owner.this_process().model_dump_json())


def unsign(journal: Path) -> None:
    """Take that back, before the lock is given up."""
    with contextlib.suppress(OSError):
        _owner_file(journal).unlink(missing_ok=True)


def is_at(file: IO[bytes], path: Path) -> bool | None:
    """Whether an opened file is what has that name now; None where nothing has."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return None


def _owner_file(journal: Path) -> Path:
    return journal.with_name(f".{journal.name}.owner")


def _written_owner(journal: Path) -> Owner | None:
    try:
        return Owner.model_validate_json(_owner_file(journal).read_text())
    except (OSError, ValueError):
        return None


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            os.lseek(descriptor, 2**40, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, place, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
