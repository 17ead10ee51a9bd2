"""Selections: from what a user asked for to a checked part of a file and the grid that it lies on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from napari_unetseg.core.geometry.shear import LEAN, StraightGrid, lean, right_angled_spacing, straight_grid
from napari_unetseg.core.grid import UNITS, Grid, ScannerFrame, Shape
from napari_unetseg.core.io.source import Part, Source, VolumeInfo
from napari_unetseg.core.notes import Note, as_note
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import check_time
from napari_unetseg.errors import InputError, ResourceError, SettingsError

WIDEST = 8
"""How many times as many voxels a straight grid may have as the sheared one that it covers."""
MOST_LISTED = 12
"""Images of a file that a message names."""


def select(source: Source, selection: Selection) -> Part:
    """Check a selection against a file.

    Raises
    ------
    SettingsError
        If it names a channel, time, level or voxel that the file does not have.
    """
    info, time = source.info, selection.time or 0
    if time == "all":
        raise SettingsError("Expected one time point, counted from 0; got all of them, which only segment takes.")
    check_time(time, info.times)
    _within("resolution level", selection.level, len(info.levels))
    channels = tuple(range(len(info.channels))) if selection.channels is None else selection.channels
    if not channels:
        raise SettingsError("Expected at least one channel to load; got none.")
    for channel in channels:
        _within("channel", channel, len(info.channels))
    shape = info.levels[selection.level]
    box = _box(selection.crop or tuple((0, size) for size in shape), shape)
    whole = channels == tuple(range(len(info.channels))) and box == _box(tuple((0, n) for n in shape), shape)
    return Part(channels, time, selection.level, box, whole, selection.allow_missing)


def choose_image(source: Source, image: int | None) -> Source:
    """The source of one of the images of a file, counted from 0; None is for a file with a single one.

    Raises
    ------
    SettingsError
        If there is no such image.
    InputError
        If there are several, and none was chosen.
    """
    images = source.info.images
    if image is not None:
        _within("image", image, max(1, len(images)))
    elif len(images) > 1:
        listed = [f"{number}: {text}" for number, text in enumerate(images[:MOST_LISTED])]
        more = [f"and {len(images) - MOST_LISTED} more"] if len(images) > MOST_LISTED else []
        raise InputError(
            f"{source.info.path} holds {len(images)} images ({'; '.join([*listed, *more])}); expected one. Choose it "
            "by its number (segment --image N), or save it as a file of its own."
        )
    return source.open_image(image) if image and source.open_image else source


def straightened(source: Source, resample: bool | None) -> Source:
    """The source on a straight grid, if `resample` and its own is sheared; else with a note where it is.

    Raises
    ------
    InputError
        If the straight grid would be `WIDEST` times as large.
    """
    frame = source.info.grid.scanner
    angle = lean(np.array(frame.affine)) if frame else 0.0
    if frame is None or angle < LEAN:
        return source
    if not resample:
        text = (
            f"The grid is sheared: its axes are {angle:.1f}° off right angles. Voxel sizes are taken at right angles, "
            "so that volumes are right; distances and shapes are not. --resample straightens it."
        )
        told = any(as_note(note).code == "grid-sheared" for note in source.info.notes)
        return source if told else _with_note(source, Note(text, "grid-sheared", "--resample"))
    straight = straight_grid(np.array(frame.affine), source.info.shape)
    if math.prod(straight.shape) > WIDEST * math.prod(source.info.shape):
        raise InputError(
            f"{source.info.path} is so sheared ({angle:.1f}°) that a straight grid would have {straight.shape} voxels "
            f"instead of {source.info.shape}. Read it as it is by --no-resample."
        )
    text = f"The grid is sheared, by {angle:.1f}°: it is resampled to a straight one. --no-resample reads it as it is."
    return _on_straight(_with_note(source, Note(text, "shear-resampled", "--no-resample")), straight, frame)


def _with_note(source: Source, note: Note) -> Source:
    info, labels = replace(source.info, notes=(*source.info.notes, note)), source.as_labels
    return replace(source, info=info, as_labels=labels and partial(_labels_with_note, labels, note))


def _labels_with_note(labels: Callable[[], Source], note: Note) -> Source:
    return _with_note(labels(), note)


def _on_straight(source: Source, straight: StraightGrid, frame: ScannerFrame, *, nearest: bool = False) -> Source:
    """The finest level of a source on a straight grid; all voxels are read for any box."""
    info, of_mm = source.info, UNITS["mm"] / UNITS.get(source.info.grid.unit, UNITS["mm"])
    z, y, x = (size * of_mm for size in right_angled_spacing(straight.affine))
    right, anterior, superior = (float(v) * of_mm for v in straight.affine[:3, 3])
    scanner = replace(frame, affine=tuple(tuple(map(float, row)) for row in straight.affine))
    grid = Grid((z, y, x), info.grid.unit, (superior, -anterior, -right), scanner)
    made = replace(info, shape=straight.shape, levels=(straight.shape,), grid=grid)
    read = partial(_read_straight, source.read, info.shape, straight, nearest=nearest)
    labels = None if nearest else partial(_labels_on_straight, source, straight, frame)
    unit = source.unit + info.nbytes
    return replace(source, info=made, read=read, grids=(), chunk=None, unit=unit, as_labels=labels)


def _labels_on_straight(source: Source, straight: StraightGrid, frame: ScannerFrame) -> Source:
    return _on_straight(source.as_labels() if source.as_labels else source, straight, frame, nearest=True)


def _read_straight(
    read: Callable[[Part], npt.NDArray[Any]], shape: Shape, straight: StraightGrid, part: Part, *, nearest: bool
) -> npt.NDArray[Any]:
    z, y, x = (slice(0, size) for size in shape)
    z0, y0, x0 = ((s.start, s.stop) for s in part.box)
    channels = read(replace(part, box=(z, y, x)))
    return np.stack([straight.resampled(channel, (z0, y0, x0), nearest=nearest) for channel in channels])


def notes_of(info: VolumeInfo, selection: Selection) -> tuple[Note, ...]:
    """What a user should know of a part of a file: what was assumed, and that there are other images or time points."""
    notes = tuple(map(as_note, info.notes))
    if len(info.images) > 1 and selection.image is None:
        text = f"The file holds {len(info.images)} images; the first is described. Choose one by segment --image N."
        notes = (*notes, Note(text, "several-images", "--image"))
    if info.times > 1 and selection.time is None:
        text = f"The first of {info.times} time points is taken; choose another by --time N, or all by --time all."
        notes = (*notes, Note(text, "first-time-point", "--time"))
    return notes


def check_memory(source: Source, part: Part) -> None:
    """Refuse, before anything is allocated, what cannot fit.

    Raises
    ------
    ResourceError
        If the part, and what is decoded at once to get it, take more than the free memory.
    """
    needed = math.prod(part.shape) * source.info.dtype.itemsize + source.unit
    free = psutil.virtual_memory().available
    if needed > free:
        raise ResourceError(
            f"{source.info.path} would take {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; "
            "load a crop, fewer channels or a coarser level."
        )


def grid_of_part(source: Source, part: Part, selection: Selection) -> Grid:
    """The grid of a part, with the spacing and unit that the user gave instead of the file's."""
    grid = source.grids[part.level] if source.grids else _grid_of_level(source, part.level)
    grid = with_spacing(grid, selection)
    z, y, x = (s.start for s in part.box)
    return grid.cropped((z, y, x))


def with_spacing(grid: Grid, selection: Selection) -> Grid:
    """The grid with the user's spacing and unit; a spacing without a unit is in the file's, or in µm.

    Raises
    ------
    SettingsError
        If the spacing is not three numbers above 0, or the unit is unknown.
    """
    if selection.spacing is None and selection.unit is None:
        return grid
    unit = selection.unit or (grid.unit if grid.is_physical else "µm")
    mended = Grid(selection.spacing or grid.spacing, unit, grid.origin, placed=grid.placed)
    # a frame is in mm; without a physical size, one voxel unit counts as 1 mm
    new, old = (UNITS.get(u, UNITS["mm"]) for u in (unit, grid.unit))
    z, y, x = (b * new / (a * old) for a, b in zip(grid.spacing, mended.spacing, strict=True))
    return replace(mended, scanner=grid.scanner and grid.scanner.scaled((z, y, x)))


def _grid_of_level(source: Source, level: int) -> Grid:
    """A coarser level's grid, its voxels being means of whole blocks: the outer borders of both levels agree."""
    grid, shape = source.info.grid, source.info.levels[level]
    if shape == source.info.shape:
        return grid
    z, y, x = (full / size for full, size in zip(source.info.shape, shape, strict=True))
    factors = (z, y, x)
    shift = ((z - 1) / 2, (y - 1) / 2, (x - 1) / 2)
    coarse = grid.cropped(shift)
    sz, sy, sx = (s * f for s, f in zip(grid.spacing, factors, strict=True))
    return replace(coarse, spacing=(sz, sy, sx), scanner=coarse.scanner and coarse.scanner.scaled(factors))


def _box(crop: tuple[tuple[int, int], ...], shape: Shape) -> tuple[slice, slice, slice]:
    for axis, (start, stop), size in zip("zyx", crop, shape, strict=True):
        if not 0 <= start < stop <= size:
            raise SettingsError(f"Expected a crop within 0 to {size} along {axis}; got {start} to {stop}.")
    z, y, x = (slice(start, stop) for start, stop in crop)
    return z, y, x


def _within(what: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise SettingsError(f"Expected a {what} of 0 to {count - 1}; got {index}.")
