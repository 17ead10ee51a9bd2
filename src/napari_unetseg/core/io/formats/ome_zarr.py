"""OME-Zarr 0.1 to 0.4 (Zarr 2) and 0.5 (Zarr 3) on disk, by zarr, with the metadata models of yaozarrs.

Version 0.5 is written, with coarser levels for viewers. Missing chunks are found here: Zarr reads them as the fill
value, without a word. What this program writes has all its chunks, so that one that is missing was lost.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from yaozarrs import v05

from napari_unetseg.core.geometry.tiles import triple
from napari_unetseg.core.grid import Grid, Shape, place
from napari_unetseg.core.io.formats.zarr_chunks import ZarrSink, lost, missing_chunks
from napari_unetseg.core.io.formats.zarr_metadata import (
    DEFAULT_AXES,
    Image,
    channel_names,
    check_files,
    images_of,
    metadata_files,
    ome_attributes,
    read_pyramid,
    version_of,
)
from napari_unetseg.core.io.legend import KEY, Legend, describe_image_label, parse_image_label
from napari_unetseg.core.io.source import Part, Source, VolumeInfo, decoding, stack
from napari_unetseg.core.notes import Note
from napari_unetseg.core.units import UNIT_NAMES
from napari_unetseg.core.volume import Labels, Volume, default_channels
from napari_unetseg.core.voxels import partition
from napari_unetseg.errors import InputError


def open_source(path: Path, image: int = 0) -> Source:
    """Open an image of an OME-Zarr, a label image, or a bare Zarr array, by its metadata.

    Parameters
    ----------
    image : int
        Which one, counted from 0, where there are several: fields of a plate or a well, numbered series.

    Raises
    ------
    InputError
        If it is no Zarr, its metadata are not those of OME-Zarr, or an array that they name is missing.
    """
    check_files(path)
    with decoding(path, "Zarr"):
        node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return _bare(path, node)
    metadata = ome_attributes(dict(node.attrs))
    images = images_of(path, metadata)
    if not images:
        arrays = ", ".join(sorted(name for name, _ in node.arrays())[:5])
        hint = f" Open one of its arrays by its own path: {arrays}." if arrays else ""
        raise InputError(f"{path} is a Zarr group without an image; expected OME-Zarr (multiscales).{hint}")
    source, chosen = _open_image(path, images[image]), images[image]
    if chosen.folder != path:
        kind = next((kind for kind in ("plate", "well") if kind in metadata), "group")
        note = Note(f"It is a {kind}, and {chosen.name} in it is read.", "image-of-several", "--image")
        source = replace(source, info=replace(source.info, notes=(note, *source.info.notes)))
    if len(images) == 1:
        return source
    info = replace(source.info, images=tuple(each.name for each in images))
    return replace(source, info=info, open_image=partial(open_source, path))


def _open_image(path: Path, image: Image) -> Source:
    check_files(image.folder)
    with decoding(image.folder, "OME-Zarr"):
        attributes = dict(zarr.open_group(str(image.folder), mode="r").attrs)
        metadata = ome_attributes(attributes)
        pyramid = read_pyramid(image.folder, metadata, image.number)
    arrays, names = pyramid.arrays, list(pyramid.axes)
    legend = parse_image_label(metadata, Legend.parse(metadata.get(KEY)))
    # our own writer has to give a place where none was known, and then leaves it out of the legend
    known = KEY not in attributes or legend.origin is not None
    grids = tuple(replace(legend.place_scanner(grid), placed=known) for grid in pyramid.grids)
    sizes = dict(zip(names, arrays[0].shape, strict=True))
    info = VolumeInfo(
        path=path,
        format=f"OME-Zarr {version_of(metadata, image.number)}",
        shape=_shape(names, arrays[0].shape),
        channels=channel_names(metadata, legend, sizes.get("c", 1)),
        dtype=arrays[0].dtype.newbyteorder("="),
        grid=grids[0],
        times=sizes.get("t", 1),
        levels=tuple(_shape(names, array.shape) for array in arrays),
        notes=pyramid.notes,
    )
    chunk = _shape(names, arrays[0].shards or arrays[0].chunks)
    read = partial(_read, pyramid.folders, names, KEY in attributes)
    files = metadata_files(path, image.folder, *pyramid.folders)
    return Source(info, read, legend, grids, chunk, max(map(_decoded, arrays)), files)


def _bare(path: Path, array: zarr.Array[Any]) -> Source:
    if array.ndim not in DEFAULT_AXES:
        raise InputError(f"{path} is a Zarr array of shape {array.shape}; expected 2 to 5 axes of (t, c, z, y, x).")
    names = list(DEFAULT_AXES[array.ndim])
    sizes = dict(zip(names, array.shape, strict=True))
    info = VolumeInfo(
        path=path,
        format=f"Zarr {array.metadata.zarr_format}",
        shape=_shape(names, array.shape),
        channels=default_channels(sizes.get("c", 1)),
        dtype=array.dtype.newbyteorder("="),
        grid=Grid(),
        times=sizes.get("t", 1),
        notes=(Note(f"The Zarr array does not name its axes; {', '.join(names)} are assumed.", "axes-assumed"),),
    )
    chunk, read = _shape(names, array.shards or array.chunks), partial(_read, (path,), names, False)
    return Source(info, read, chunk=chunk, unit=_decoded(array), files=metadata_files(path))


def _decoded(array: zarr.Array[Any]) -> int:
    """Bytes of a chunk, with the copy that is made of it."""
    return 2 * math.prod(array.chunks) * array.dtype.itemsize


def _shape(names: list[str], shape: tuple[int, ...]) -> Shape:
    sizes = dict(zip(names, shape, strict=True))
    return sizes.get("z", 1), sizes["y"], sizes["x"]


def _read(levels: tuple[Path, ...], names: list[str], is_ours: bool, part: Part) -> npt.NDArray[Any]:
    path = levels[part.level]
    with decoding(path, "OME-Zarr"):
        array = zarr.open_array(str(path), mode="r")
        index: dict[str, Any] = dict(zip("tzyx", (slice(part.time, part.time + 1), *part.box), strict=True))
        planes, missing = [], list[Path]()
        for channel in part.channels:
            where = tuple(slice(channel, channel + 1) if name == "c" else index[name] for name in names)
            missing += missing_chunks(path, array, where, part.allow_missing)
            if missing and is_ours and not part.allow_missing:
                raise lost(missing)
            spatial = [name for name in names if name in "zyx"]
            plane = np.asarray(array[where]).squeeze(tuple(i for i, name in enumerate(names) if name in "tc"))
            plane = plane.transpose([spatial.index(name) for name in "zyx" if name in spatial])
            planes.append(plane.reshape(part.shape[1:]))
    if missing:
        warnings.warn(f"{path}: {len(missing)} chunks are not on disk and read as {array.fill_value}.", stacklevel=2)
    return stack(planes)


CHUNK = (32, 256, 256)
Levels = list[zarr.Array[Any]]
COARSEST = 512  # voxels along the longest axis: small enough to be shown at once


def write_labels(path: Path, labels: Labels) -> None:
    """Write a label image (z, y, x) with its colours and names; coarser levels take every other voxel."""
    levels = _create_labels(path, labels)
    levels[0][...] = labels.array
    _coarsen(levels)


def write_volume(path: Path, volume: Volume) -> None:
    """Write an image (c, z, y, x); its channels' names go into our own attribute."""
    levels = _create_volume(path, volume)
    levels[0][...] = volume.array
    _coarsen(levels)


def write_series(path: Path, frames: Sequence[Labels] | Sequence[Volume]) -> None:
    """Write time points (t, z, y, x) or (t, c, z, y, x); what is told of the first one counts for all."""
    first, times = frames[0], len(frames)
    levels = _create_volume(path, first, times) if isinstance(first, Volume) else _create_labels(path, first, times)
    for time, array in enumerate(frame.array for frame in frames):
        levels[0][time if times > 1 else ...] = array
    _coarsen(levels)


@contextmanager
def label_sink(path: Path, like: Labels) -> Iterator[ZarrSink]:
    """What writes a label image in boxes: of the dtype, grid and structures of `like`, whatever its voxels are."""
    levels = _create_labels(path, like)
    yield from _filled(levels)


@contextmanager
def volume_sink(path: Path, like: Volume) -> Iterator[ZarrSink]:
    """What writes an image in boxes: of the dtype, grid and channels of `like`, whatever its voxels are."""
    levels = _create_volume(path, like)
    yield from _filled(levels)


def _filled(levels: Levels) -> Iterator[ZarrSink]:
    sink = ZarrSink(levels[0])
    yield sink
    sink.finish()
    _coarsen(levels)


def _create_labels(path: Path, labels: Labels, times: int = 1) -> Levels:
    return _create(path, labels, {"image-label": describe_image_label(labels)}, times)


def _create_volume(path: Path, volume: Volume, times: int = 1) -> Levels:
    return _create(path, volume, {}, times)


def _create(path: Path, data: Labels | Volume, ome: dict[str, Any], times: int) -> Levels:
    """The arrays of all levels, still empty, the finest first; with an axis of time where there are several points."""
    grid, lead = data.grid, ((times,) if times > 1 else ()) + data.array.shape[:-3]
    axes = ("t" if times > 1 else "") + "czyx"[-data.array.ndim :]
    ndim = len(axes)
    steps = _steps(data.shape, grid.spacing)
    multiscale = v05.Multiscale(
        name=data.name,
        axes=[*_axes(grid, axes)],
        datasets=[_dataset(str(i), grid, step, ndim) for i, step in enumerate(steps)],
        type="nearest",
    )
    metadata = {"version": "0.5", "multiscales": [multiscale.model_dump(mode="json", exclude_none=True)], **ome}
    attributes: dict[str, Any] = {"ome": metadata, KEY: Legend.of(data).dump()}
    group = zarr.open_group(str(path), mode="w", zarr_format=3, attributes=attributes)
    levels = []
    for i, step in enumerate(steps):
        shape = [-(-n // s) for n, s in zip(data.shape, step, strict=True)]
        # empty chunks are written too, so that a missing one can be told from background
        level = group.create_array(
            str(i),
            shape=(*lead, *shape),
            dtype=data.array.dtype,
            chunks=(*(1 for _ in lead), *(min(c, n) for c, n in zip(CHUNK, shape, strict=True))),
            dimension_names=list(axes),
            config={"write_empty_chunks": True},
        )
        levels.append(level)
    return levels


def _coarsen(levels: Levels) -> None:
    """Fill every level but the first with every other voxel of the one before, a chunk at a time."""
    for fine, coarse in itertools.pairwise(levels):
        steps = [2 if n > m else 1 for n, m in zip(fine.shape[-3:], coarse.shape[-3:], strict=True)]
        every = tuple(slice(None, None, n) for n in steps)
        for lead in np.ndindex(coarse.shape[:-3]):
            for box in partition(triple(coarse.shape[-3:]), triple(coarse.chunks[-3:]), 1):
                seen = triple((a * n, b * n) for (a, b), n in zip(box, steps, strict=True))
                coarse[(*lead, *place(box)[1:])] = np.asarray(fine[(*lead, *place(seen)[1:])])[every]


def _steps(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> list[tuple[int, int, int]]:
    """How many voxels of the finest level make one step of each level, finer axes being halved first."""
    steps = [(1, 1, 1)]
    while max(-(-n // s) for n, s in zip(shape, steps[-1], strict=True)) > COARSEST:
        sizes = np.array(spacing) * steps[-1]
        left = np.array(shape) > steps[-1]
        halved = left & (sizes < 2 * sizes[left].min())
        z, y, x = (int(s * (1 + h)) for s, h in zip(steps[-1], halved, strict=True))
        steps.append((z, y, x))
    return steps


def _axes(grid: Grid, names: str) -> list[Any]:
    unit = UNIT_NAMES.get(grid.unit)
    space: list[Any] = [v05.SpaceAxis(name=name, type="space", unit=unit) for name in "zyx"]
    others = {"t": v05.TimeAxis(name="t", type="time"), "c": v05.ChannelAxis(name="c", type="channel")}
    return [*(others[name] for name in names if name in others), *space]


def _dataset(path: str, grid: Grid, step: tuple[int, int, int], ndim: int) -> v05.Dataset:
    lead = [1.0] * (ndim - 3)
    scale = [s * n for s, n in zip(grid.spacing, step, strict=True)]
    return v05.Dataset(
        path=path,
        coordinateTransformations=[
            v05.ScaleTransformation(scale=[*lead, *scale]),
            v05.TranslationTransformation(translation=[0.0 * n for n in lead] + list(grid.origin)),
        ],
    )
