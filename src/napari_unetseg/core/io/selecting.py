"""Selections: from what a user asked for to a checked part of a file and the grid that it lies on."""

from __future__ import annotations

import math
from dataclasses import replace

import psutil

from napari_unetseg.core.io.source import Part, Source, VolumeInfo
from napari_unetseg.core.notes import Note, as_note
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import UNITS, Grid, Shape, check_time
from napari_unetseg.errors import InputError, ResourceError, SettingsError

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
