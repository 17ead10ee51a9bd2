"""TIFF, BigTIFF, OME-TIFF and ImageJ hyperstacks, by tifffile."""

from __future__ import annotations

import hashlib
import logging
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_unetseg.core.grid import Shape
from napari_unetseg.core.io.formats import tiff_metadata
from napari_unetseg.core.io.formats.photometric import Pixels, Stored, in_units, looks_like_a_picture, pixels_of
from napari_unetseg.core.io.formats.tiff_checks import JPEG, check_packing, check_pages, check_whole
from napari_unetseg.core.io.legend import KEY, Legend
from napari_unetseg.core.io.source import Part, Source, VolumeInfo, decoding, stack
from napari_unetseg.core.notes import Note
from napari_unetseg.core.volume import COLOUR, Labels, Volume, default_channels
from napari_unetseg.errors import InputError, OutputError

PHOTOGRAPHS = {"label", "macro", "thumbnail", "overview", "map", "preview"}
SIGNED = (1.0, -32768.0)
"""ImageJ's calibration of whole numbers of 16 bits with a sign."""

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it logs of damage, `check_whole` raises


def open_source(path: Path, image: int = 0, *, as_labels: bool = False) -> Source:
    """Open an image of a TIFF: read its tags and compare what it declares with what it holds.

    Parameters
    ----------
    image : int
        Which one, counted from 0, of a file that holds several.
    as_labels : bool
        Whether the numbers are labels: a palette's indices, not its colours.

    Raises
    ------
    InputError
        If it is no TIFF, is cut off, packed in a way that is not known, or has axes that are not among time, channel,
        z, y and x.
    """
    with decoding(path, "TIFF"):
        where = tiff_metadata.find_description(path)
        with tifffile.TiffFile(where.path, omexml=where.xml) as tif:
            check_pages(path, tif)
    with _opened(where) as tif:
        images, aside = _images(tif)
        series = images[image]
        check_whole(path, tif, series)
        metadata = tiff_metadata.read(tif, tif.series.index(series))
        axes = volume_axes(path, series.axes, series.shape)
        sizes = dict(zip(axes, series.shape, strict=True))
        pixels = _pixels(path, tif, series, sizes, as_labels=as_labels)
        notes = (*where.notes, *pixels.notes, *metadata.notes)
        if sizes.get("Z", 1) == 1:
            notes = tuple(note for note in notes if note != tiff_metadata.SPACING_ASSUMED)
        if aside:
            notes = (*notes, Note(f"Previews and labels of the slide are left out: {', '.join(aside)}.", "previews"))
        levels = tuple(_shape(axes, level.shape) for level in series.levels)
        info = VolumeInfo(
            path=path,
            format=_format(tif),
            shape=levels[0],
            channels=_names(pixels.channels, sizes.get("C", 1), metadata.channels),
            dtype=pixels.dtype,
            grid=metadata.legend.place(metadata.grid),
            times=sizes.get("T", 1),
            levels=levels,
            notes=notes,
            images=tuple(map(_words, images)) if len(images) > 1 else (),
        )
        chunk = (1, *(series.keyframe.tile[-2:] if series.keyframe.is_tiled else levels[0][1:]))
        unit = max(prod(level.keyframe.chunks) for level in series.levels) * series.dtype.itemsize
        differs = pixels != _pixels(path, tif, series, sizes, as_labels=True)
    read = partial(_read, where, image, axes, pixels)
    return Source(
        info,
        read,
        metadata.legend,
        chunk=chunk,
        unit=unit,
        files=tuple({path, where.path}),
        open_image=partial(open_source, path) if len(images) > 1 else None,
        as_labels=partial(open_source, path, image, as_labels=True) if differs and not as_labels else None,
    )


def _images(tif: tifffile.TiffFile) -> tuple[list[tifffile.TiffPageSeries], list[str]]:
    """The different images of a file, and the names of what only shows them small, or the label of a slide."""
    aside = [series for series in tif.series if _is_aside(series)]
    images = [series for series in tif.series if not any(series is other for other in aside)]
    names = [series.name or "preview" for series in aside] if images else []
    return images or [tif.series[0]], names


def _is_aside(series: tifffile.TiffPageSeries) -> bool:
    """Whether it is reduced, a mask of opacity, or one of the photographs that slide scanners add."""
    page = series.keyframe
    words = set(re.split(r"\W+", series.name.lower()))
    return page.is_reduced or page.is_mask or ("S" in series.axes and bool(words & PHOTOGRAPHS))


def _words(series: tifffile.TiffPageSeries) -> str:
    """An image in a few words: its name, and its axes and sizes."""
    sizes = ", ".join(f"{axis.lower()} {size}" for axis, size in zip(series.axes, series.shape, strict=True))
    return f"{series.name}, {sizes}" if series.name else sizes


def _pixels(
    path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, sizes: dict[str, int], *, as_labels: bool
) -> Pixels:
    """What the samples of the file's pixels become.

    A colour table of ImageJ or OME is that of a display, unless it looks like a picture's; values are what they are.
    """
    page, samples = series.keyframe, sizes.get("S", 1)
    check_packing(path, page)
    kind, table = _kind(page), page.colormap
    if kind == "PALETTE" and (table is None or ((tif.is_imagej or tif.is_ome) and not looks_like_a_picture(table))):
        kind = "MINISBLACK"
    extra = tuple(int(e) for e in page.extrasamples)
    stored = Stored(kind, series.dtype, samples, page.bitspersample, extra, table)
    pixels = pixels_of(stored, as_labels=as_labels)
    line = tiff_metadata.calibration(tif)
    if line is None or pixels.is_mixed or (as_labels and line != SIGNED):
        return pixels
    return in_units(pixels, *line)


def _kind(page: Any) -> str:
    """The photometric interpretation of what is decoded: JPEG gives red, green and blue."""
    try:
        kind = tifffile.PHOTOMETRIC(page.photometric).name
    except (ValueError, TypeError):
        return "MINISBLACK"
    if kind == "YCBCR" and page.compression in JPEG:
        return "RGB"
    if kind == "SEPARATED" and page.tags.valueof("InkSet", 1) == 2:
        return "MINISBLACK"  # inks of other colours are channels
    return "RGB" if kind == "LINEAR_RAW" and page.samplesperpixel == 3 else kind


def volume_axes(path: Path, axes: str, shape: tuple[int, ...]) -> str:
    """Name every axis by one of T, C, Z, Y, X, S (samples of a colour); the one of unknown meaning is Z.

    Raises
    ------
    InputError
        If several axes have no known meaning, or one of Y and X is missing.
    """
    unknown = [a for a in axes if a not in "TCZYXS"]
    if len(unknown) == 1 and "Z" not in axes:
        axes, unknown = axes.replace(unknown[0], "Z"), []
    if unknown or not {"Y", "X"} <= set(axes):
        raise InputError(f"{path} has axes {axes} of sizes {shape}; expected time, channel, z, y and x alone.")
    return axes


def write_labels(path: Path, labels: Labels) -> None:
    """Write an OME-TIFF, compressed without loss; names and colours go into its annotations."""
    _write(path, labels.array, "ZYX", labels.name, labels)


def write_volume(path: Path, volume: Volume) -> None:
    """Write an OME-TIFF, compressed without loss, with named channels."""
    _write(path, volume.array, "CZYX", volume.name, volume, {"Channel": {"Name": list(volume.channels)}})


def write_series(path: Path, frames: Sequence[Labels] | Sequence[Volume]) -> None:
    """Write time points as an OME-TIFF; what is told of the first one counts for all."""
    first, array = frames[0], np.stack([frame.array for frame in frames])
    if isinstance(first, Volume):
        _write(path, array, "TCZYX", first.name, first, {"Channel": {"Name": list(first.channels)}})
    else:
        _write(path, array, "TZYX", first.name, first)


def _write(
    path: Path,
    array: npt.NDArray[Any],
    axes: str,
    name: str,
    data: Labels | Volume,
    extra: dict[str, Any] | None = None,
) -> None:
    metadata = {
        "axes": axes,
        "Name": name,
        "MapAnnotation": {KEY: Legend.of(data).dump()},
        **tiff_metadata.physical_size(data.grid),
        **(extra or {}),
    }
    metadata["UUID"] = f"urn:uuid:{_identity(array, metadata)}"
    big = array.nbytes > 2**31
    try:
        tifffile.imwrite(
            path, array, ome=True, photometric="minisblack", compression="zlib", metadata=metadata, bigtiff=big
        )
    except tifffile.OmeXmlError as error:
        raise OutputError(f"OME-TIFF does not hold {array.dtype}; write NIfTI or OME-Zarr instead.") from error


def _identity(array: npt.NDArray[Any], metadata: dict[str, Any]) -> uuid.UUID:
    """An identifier made from the content: the same image is the same file, byte for byte."""
    content = hashlib.blake2b(f"{metadata} {array.dtype} {array.shape}".encode())
    for plane in array.reshape(-1, *array.shape[-2:]):
        content.update(plane.tobytes())
    return uuid.uuid5(uuid.NAMESPACE_OID, content.hexdigest())


@contextmanager
def _opened(where: tiff_metadata.Described) -> Iterator[tifffile.TiffFile]:
    with decoding(where.path, "TIFF"), tifffile.TiffFile(where.path, omexml=where.xml) as tif:
        if not tif.series:
            raise InputError(f"{where.path} is a TIFF without an image; expected at least one.")
        yield tif


def _read(where: tiff_metadata.Described, image: int, axes: str, pixels: Pixels, part: Part) -> npt.NDArray[Any]:
    with _opened(where) as tif:
        level = _images(tif)[0][image].levels[part.level]
        array = level.asarray() if part.whole and "T" not in axes else _lazy(level)
        planes, made = [], len(pixels.channels)
        for c, sample in (divmod(channel, made) for channel in part.channels):
            stored = [_channel(array, axes, part, (c, s)) for s in pixels.needed(sample)]
            planes.append(pixels.made(stack(stored), sample))
        return stack(planes)


def _lazy(level: tifffile.TiffPageSeries) -> Any:
    """The level as an array that decodes only the pages and tiles that are indexed."""
    import zarr  # slow to import and not needed to read a whole file

    return zarr.open_array(level.aszarr(), mode="r")


def _channel(array: Any, axes: str, part: Part, channel: tuple[int, int]) -> npt.NDArray[Any]:
    """One channel (Z, Y, X) of the part, in native byte order."""
    index: dict[str, int | slice] = dict(zip("TCSZYX", (part.time, *channel, *part.box), strict=True))
    plane = np.asarray(array[tuple(index[axis] for axis in axes)])
    left = [axis for axis in axes if axis in "ZYX"]
    plane = plane.transpose([left.index(axis) for axis in "ZYX" if axis in left])
    plane = plane if "Z" in left else plane[None]
    return plane.astype(plane.dtype.newbyteorder("="), copy=False)


def _names(of_pixel: tuple[str, ...], count: int, told: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all channels: those told by the file, except of a colour picture, else those of a pixel's samples."""
    total = len(of_pixel) * count
    if of_pixel == COLOUR and count == 1:
        return COLOUR
    if len(told) == total:
        return told
    return of_pixel if count == 1 else default_channels(total)


def _shape(axes: str, shape: tuple[int, ...]) -> Shape:
    sizes = dict(zip(axes, shape, strict=True))
    return sizes.get("Z", 1), sizes["Y"], sizes["X"]


def _format(tif: tifffile.TiffFile) -> str:
    kind = "OME-TIFF" if tif.is_ome else "ImageJ TIFF" if tif.is_imagej else "TIFF"
    return f"{kind} (BigTIFF)" if tif.is_bigtiff else kind
