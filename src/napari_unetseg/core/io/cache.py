"""The user's cache folder: what is costly to find out again. Versioned, bounded, and safe to delete at any time."""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import lru_cache
from pathlib import Path

import platformdirs

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.errors import OutputError

PROGRAM = "napari-unetseg"
FOLDER_VARIABLE = "NAPARI_UNETSEG_CACHE"
"""Environment variable that names another folder."""
LAYOUT = "1"
"""Of files and keys: another layout begins with an empty folder beside the old one."""
MOST_BYTES = 2**30
DIGEST_BYTES = hashlib.sha256().digest_size


class Cache:
    """Bytes by kind and key, one file each, behind the checksum of what it holds.

    Where the folder cannot be written, entries are kept in memory until the process ends. An entry that is damaged
    counts as missing.

    Parameters
    ----------
    folder : Path
    most_bytes : int
        What all entries together may take; beyond it, those that were not used for longest are removed.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self._memory: dict[Path, bytes] = {}

    def read(self, kind: str, key: str) -> bytes | None:
        """The entry; None where there is none."""
        path = self._path(kind, key)
        try:
            content = path.read_bytes()
        except OSError:
            return self._memory.get(path)
        digest, entry = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(entry).digest() != digest:
            return None
        with contextlib.suppress(OSError):
            path.touch()  # used just now
        return entry

    def write(self, kind: str, key: str, entry: bytes) -> None:
        """Keep an entry, in place of an earlier one of that kind and key."""
        path = self._path(kind, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                temporary.write_bytes(hashlib.sha256(entry).digest() + entry)
        except (OSError, OutputError):
            self._memory[path] = entry
        else:
            self._shrink(keep=path)

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / hashlib.sha256(key.encode()).hexdigest()[:40]

    def _shrink(self, keep: Path) -> None:
        """Remove what was not used for longest, until the rest fits; another process may be doing the same."""
        entries = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                entries.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.most_bytes:
                return
            if path != keep:
                with contextlib.suppress(OSError):
                    path.unlink()
                total -= size


@lru_cache(maxsize=1)
def user_cache() -> Cache:
    """The cache of this user: in the folder that `FOLDER_VARIABLE` names, else where the system keeps caches."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Cache((Path(named) if named else platformdirs.user_cache_path(PROGRAM)) / LAYOUT)
