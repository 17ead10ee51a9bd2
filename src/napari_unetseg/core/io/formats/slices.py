"""A folder of single pictures (TIFF, PNG, JPEG), read as one stack in the natural order of their names."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.io.formats import pictures, tiff
from napari_unetseg.core.io.formats.registry import READERS
from napari_unetseg.core.io.source import Part, Source, decoding
from napari_unetseg.core.notes import Note
from napari_unetseg.errors import InputError

DISTANCE = Note(
    "The files do not say the distance between slices; the pixel size is taken.", "spacing-assumed", "--spacing"
)
TIFF, PICTURES = READERS["tiff"], READERS["pictures"]


def open_source(path: Path, *, as_labels: bool = False) -> Source:
    """Open every slice by its header; `as_labels`, as the numbers that are stored.

    Raises
    ------
    InputError
        If a slice is damaged, is itself a stack, or differs from the first in size, channels or dtype.
    """
    with decoding(path, "folder"):
        files = sorted((p for p in path.iterdir() if _is_slice(p)), key=_natural)
    opened = [_open(file) for file in files]
    differs = any(source.as_labels for source in opened)
    slices = [source.as_labels() if as_labels and source.as_labels else source for source in opened]
    first = slices[0].info
    for source in slices:
        info = source.info
        if info.shape[0] != 1 or info.times != 1 or info.images:
            raise InputError(f"{info.path} is a stack of its own; expected a folder of single slices. Open it alone.")
        if (info.shape, info.channels, info.dtype) != (first.shape, first.channels, first.dtype):
            raise InputError(
                f"{info.path.name} ({_describe(source)}) differs from {first.path.name} ({_describe(slices[0])}); "
                f"expected slices of one size and kind in {path}."
            )
    shape = (len(slices), *first.shape[1:])
    notes = first.notes
    if first.grid.is_physical:
        notes = (*notes, DISTANCE)
    info = replace(first, path=path, format=f"folder of {first.format}", shape=shape, levels=(shape,), notes=notes)
    return Source(
        info,
        partial(_read, slices),
        unit=max(s.unit for s in slices),
        files=tuple(files),
        as_labels=partial(open_source, path, as_labels=True) if differs and not as_labels else None,
    )


def _open(path: Path) -> Source:
    return tiff.open_source(path) if path.name.lower().endswith(TIFF) else pictures.open_source(path)


def _is_slice(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.name.lower().endswith(TIFF + PICTURES)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key by which slice 2 comes before slice 10."""
    return [(int(run), "") if run.isdecimal() else (-1, run) for run in re.split(r"(\d+)", path.name.lower())]


def _describe(source: Source) -> str:
    _, y, x = source.info.shape
    return f"{y} × {x}, {len(source.info.channels)} channels, {source.info.dtype}"


def _read(slices: list[Source], part: Part) -> npt.NDArray[Any]:
    z, y, x = part.box
    one = replace(part, box=(slice(0, 1), y, x))
    return np.concatenate([source.read(one) for source in slices[z]], axis=1)
