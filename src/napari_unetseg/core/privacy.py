"""Privacy of paths: what files and folders are called in results and messages.

Folders are often called after a patient, and a home folder after its user. So what is written or said has the name of a
file alone, and of a folder of slices none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

SERIES = "series"
"""What a folder of slices, or of a DICOM series, is called."""
LEFT_OUT = "…"
"""What stands for a folder in a message."""


def shown_name(path: Path) -> str:
    """What a path is called where it is told of: a file's name alone, and ``series`` for a folder of slices.

    An OME-Zarr counts as a file, and so do the images inside it.
    """
    is_folder = os.path.isdir(path)  # noqa: PTH112 - where it may not be looked at, pathlib raises
    return SERIES if is_folder and not _in_zarr(path) else path.name


def neutral_name(what: str, index: int = 0, count: int = 1) -> str:
    """What the file of that number, from 0, is called where not even its name may be told: ``image``, ``image 2``."""
    return what if count == 1 else f"{what} {index + 1}"


def hidden_parts(paths: Iterable[Path], *, names: bool = False) -> dict[str, str]:
    """What `without_hidden` leaves out of messages about `paths`, and what stands for it.

    Parameters
    ----------
    paths : iterable of Path
        As they were given; what they are when links are followed is hidden as well.
    names : bool
        Whether the files' own names are hidden too.
    """
    hidden = set[str]()
    for path in paths:
        for form in {str(path), os.path.normpath(path), os.path.realpath(path), str(path.absolute())}:
            hidden.add(str(Path(form).parent))
            if names or shown_name(path) == SERIES:
                hidden.add(form)
        if names:
            hidden.add(path.name)
    return {part: LEFT_OUT for part in hidden if part.strip("./\\")}


def without_hidden(text: str, hidden: Mapping[str, str]) -> str:
    """A message without what is hidden, the longest part first; what is only a part of a longer name stays."""
    if not hidden:
        return text
    pattern = "|".join(re.escape(part) for part in sorted(hidden, key=len, reverse=True))
    return re.sub(rf"(?<![\w/\\.-])(?:{pattern})(?![\w-])", lambda found: hidden[found.group()], text)


def _in_zarr(path: Path) -> bool:
    return any(folder.suffix == ".zarr" for folder in (path, *path.parents))
