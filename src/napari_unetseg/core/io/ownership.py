"""Ownership of what a result would replace: only what this program may have written."""

from __future__ import annotations

import contextlib
import json
import stat
import zlib
from collections.abc import Callable
from pathlib import Path

from napari_unetseg.core.io.legend import KEY
from napari_unetseg.errors import OutputError

START = 4096
"""Bytes of a file that tell its kind."""
MOST_METADATA = 4 * 1024**2
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers put into every folder."""


def check_replaceable(target: Path, *, overwrite: bool = False) -> None:
    """Raise where a result must not replace what is at `target`; nothing there is fine.

    A folder is replaced only if it is a Zarr that this program wrote and holds nothing else, or if it is empty. A file
    is replaced by one of the same kind, told by its first bytes; with `overwrite` by any.

    Raises
    ------
    OutputError
        If it is another folder, a device, write-protected, or a file of another kind.
    """
    try:
        mode = target.stat().st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode):
        reason = _why_not_ours(target)
        if reason:
            raise OutputError(f"{target} is a folder that {reason}: it is not replaced. Write to another name.")
    elif not stat.S_ISREG(mode):
        raise OutputError(f"{target} is neither a file nor a folder; write to another name.")
    elif not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise OutputError(f"{target} is write-protected; write to another name, or allow it to be changed.")
    elif not overwrite and not _is_of_its_kind(target):
        raise OutputError(
            f"{target} holds something else than its name says, and would be replaced. Write to another name, or give "
            "--overwrite."
        )


def _why_not_ours(folder: Path) -> str:
    """Why a folder may not be replaced; nothing where this program wrote it and nothing was added."""
    entries = sorted(_names(folder))
    if not entries:
        return ""
    attributes = _attributes(folder / "zarr.json")
    if KEY not in attributes:
        return "this program did not write"
    levels = [entry for entry in entries if entry.isdigit()]
    added = [entry for entry in entries if entry not in ("zarr.json", *levels)]
    for level in levels:
        inside = _names(folder / level) if (folder / level).is_dir() else ["."]
        added += [f"{level}/{entry}" for entry in inside if entry not in ("zarr.json", "c")]
    return f"also holds {added[0]}" if added else ""


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name not in LITTER]


def _attributes(path: Path) -> dict[str, object]:
    """The attributes of a Zarr group of version 3; empty where it is none."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MOST_METADATA))
        attributes = found["attributes"] if found["node_type"] == "group" else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return attributes if isinstance(attributes, dict) else {}


def _is_of_its_kind(path: Path) -> bool:
    """Whether a file is what its suffix says; an empty one, and one of a suffix that says nothing, counts as such."""
    tell = next((tell for suffix, tell in KINDS.items() if path.name.lower().endswith(suffix)), _is_text)
    try:
        with path.open("rb") as file:
            start = file.read(START)
    except OSError as error:
        raise OutputError(f"{path} would be replaced and may not be read: {error.strerror}.") from error
    return not start or tell(start)


def _begins(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda start: start.lower().startswith(marks)


def _is_nifti(start: bytes) -> bool:
    if start.startswith(b"\x1f\x8b"):
        with contextlib.suppress(zlib.error):
            start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start, START)
    return start[344:347] in (b"n+1", b"ni1") or start[4:7] == b"n+2"


def _is_model(start: bytes) -> bool:
    """The length of a header, and then the header (https://huggingface.co/docs/safetensors)."""
    return start[8:9] == b"{"


def _is_stl(start: bytes) -> bool:
    return (len(start) >= 84 and b"\0" in start) or start.startswith(b"solid")


def _is_text(start: bytes) -> bool:
    return b"\0" not in start


KINDS: dict[str, Callable[[bytes], bool]] = {
    ".tif": _begins(b"ii*\0", b"mm\0*", b"ii+\0", b"mm\0+"),
    ".tiff": _begins(b"ii*\0", b"mm\0*", b"ii+\0", b"mm\0+"),
    ".nii": _is_nifti,
    ".nii.gz": _is_nifti,
    ".nrrd": _begins(b"nrrd"),
    ".safetensors": _is_model,
    ".zip": _begins(b"pk\3\4"),
    ".html": _begins(b"<!doctype html", b"<html"),
    ".png": _begins(b"\x89png"),
    ".ply": _begins(b"ply\n", b"ply\r\n"),
    ".stl": _is_stl,
}
"""How files of each suffix begin, in lower case; all others are text."""
