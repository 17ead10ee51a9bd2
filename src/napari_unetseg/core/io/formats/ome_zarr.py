"""OME-Zarr 0.4 (Zarr 2) and 0.5 (Zarr 3) on disk, by zarr, with the metadata models of yaozarrs.

Version 0.5 is written, with coarser levels for viewers. Missing chunks are found here: Zarr reads them as the fill
value, without a word. What this program writes has all its chunks, so that one that is missing was lost.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
import zarr
from yaozarrs import v05

from napari_unetseg.core.geometry.tiles import triple
from napari_unetseg.core.io.formats.zarr_chunks import METADATA, lost, missing_chunks
from napari_unetseg.core.io.formats.zarr_sink import ZarrSink
from napari_unetseg.core.io.legend import KEY, Legend, describe_image_label, parse_image_label
from napari_unetseg.core.io.source import Part, Source, VolumeInfo, check_file, decoding, stack
from napari_unetseg.core.units import UNIT_NAMES, in_grid_unit, length_unit
from napari_unetseg.core.volume import UNITS, Grid, Labels, Shape, Triple, Volume, default_channels, place
from napari_unetseg.core.voxels import partition
from napari_unetseg.errors import InputError

DEFAULT_AXES = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}


def open_source(path: Path) -> Source:
    """Open an OME-Zarr image, a label image, or a bare Zarr array, by its metadata.

    Raises
    ------
    InputError
        If it is no Zarr, its metadata are not those of OME-Zarr, or an array that they name is missing.
    """
    _check_marks(path)
    with decoding(path, "Zarr"):
        node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return _bare(path, node)
    metadata = _metadata(node)
    if "multiscales" not in metadata and (path / "0").is_dir():
        return open_source(path / "0")  # the layout of bioformats2raw: images are numbered groups
    multiscale = _multiscale(path, metadata)
    folders = [_inside(path, dataset.path) for dataset in multiscale.datasets]
    with decoding(path, "OME-Zarr"):
        arrays = [zarr.open_array(str(folder), mode="r") for folder in folders]
        names = [axis.name for axis in multiscale.axes]
    _check_axes(path, names, arrays[0].shape)
    legend = parse_image_label(metadata, Legend.parse(metadata.get(KEY)))
    grids = tuple(legend.place_scanner(_grid(multiscale, dataset)) for dataset in multiscale.datasets)
    sizes = dict(zip(names, arrays[0].shape, strict=True))
    info = VolumeInfo(
        path=path,
        format=f"OME-Zarr {metadata.get('version') or '0.4'}",
        shape=_shape(names, arrays[0].shape),
        channels=_channels(metadata, legend, sizes.get("c", 1)),
        dtype=arrays[0].dtype.newbyteorder("="),
        grid=grids[0],
        times=sizes.get("t", 1),
        levels=tuple(_shape(names, array.shape) for array in arrays),
    )
    chunk = _shape(names, arrays[0].shards or arrays[0].chunks)
    read = partial(_read, path, [d.path for d in multiscale.datasets], names, KEY in dict(node.attrs))
    return Source(info, read, legend, grids, chunk, max(map(_decoded, arrays)), _marks(path, *folders))


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
        notes=(f"The Zarr array does not name its axes; {', '.join(names)} are assumed.",),
    )
    chunk, read = _shape(names, array.shards or array.chunks), partial(_read, path, [""], names, False)
    return Source(info, read, chunk=chunk, unit=_decoded(array), files=_marks(path))


def _decoded(array: zarr.Array[Any]) -> int:
    """Bytes of a chunk, with the copy that is made of it."""
    return 2 * math.prod(array.chunks) * array.dtype.itemsize


def _marks(*folders: Path) -> tuple[Path, ...]:
    """The files of metadata in folders of a Zarr."""
    return tuple(folder / name for folder in folders for name in METADATA if (folder / name).exists())


def _check_marks(folder: Path) -> None:
    for mark in _marks(folder):
        check_file(mark)


def _inside(path: Path, name: str) -> Path:
    """The folder of an array that is named by metadata; raises `InputError` where it is not in the store."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise InputError(f"{path} names an array {name!r} outside of it; expected one below it.")
    _check_marks(path / relative)
    return path / relative


def _metadata(group: zarr.Group) -> dict[str, Any]:
    """The OME metadata of version 0.5, else the attributes, which are those of 0.4; with our own legend."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome")
    return {**ome, KEY: attributes.get(KEY)} if isinstance(ome, dict) else attributes


def _multiscale(path: Path, metadata: Mapping[str, Any]) -> v05.Multiscale:
    try:
        return v05.Multiscale.model_validate(metadata["multiscales"][0])
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(f"{path} is a Zarr group without an image; expected OME-Zarr (multiscales).") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path} is not OME-Zarr 0.4 or 0.5: {where}: {first['msg']}") from error


def _check_axes(path: Path, names: list[str], shape: tuple[int, ...]) -> None:
    if not {"y", "x"} <= set(names) <= set("tczyx") or len(names) != len(shape):
        raise InputError(f"{path} has axes {names} of sizes {shape}; expected t, c, z, y and x alone.")


def _grid(multiscale: v05.Multiscale, dataset: v05.Dataset) -> Grid:
    """Spacing and origin: the level's transformations, then those of the whole pyramid."""
    names = [axis.name for axis in multiscale.axes]
    scale, origin = np.ones(len(names)), np.zeros(len(names))
    for transform in [*dataset.coordinateTransformations, *(multiscale.coordinateTransformations or [])]:
        if isinstance(transform, v05.ScaleTransformation):
            scale, origin = scale * transform.scale, origin * transform.scale
        else:
            origin = origin + transform.translation
    metres = [_metres(axis) for axis in multiscale.axes]
    if not all(size for size, name in zip(metres, names, strict=True) if name in "zyx"):
        return Grid(_zyx(names, scale), "pixel", _zyx(names, origin, 0.0))
    _, unit = in_grid_unit(1.0, _unit(multiscale.axes[names.index("x")]))
    # a factor of exactly 1 where the units agree
    factors = np.array([1.0 if size in (None, UNITS[unit]) else size / UNITS[unit] for size in metres])
    return Grid(_zyx(names, scale * factors), unit, _zyx(names, origin * factors, 0.0))


def _metres(axis: Any) -> float | None:
    unit = length_unit(_unit(axis))
    return None if unit is None else unit.metres


def _unit(axis: Any) -> str:
    return str(getattr(axis, "unit", None) or "")


def _zyx(names: list[str], values: npt.NDArray[np.float64], missing: float | None = None) -> Triple:
    """The values of z, y, x; without a z axis, z is as `missing` or as x."""
    by_name = dict(zip(names, (float(v) for v in values), strict=True))
    return by_name.get("z", by_name["x"] if missing is None else missing), by_name["y"], by_name["x"]


def _shape(names: list[str], shape: tuple[int, ...]) -> Shape:
    sizes = dict(zip(names, shape, strict=True))
    return sizes.get("z", 1), sizes["y"], sizes["x"]


def _channels(metadata: Mapping[str, Any], legend: Legend, count: int) -> tuple[str, ...]:
    if len(legend.channels) == count:
        return legend.channels
    omero = metadata.get("omero")
    listed = omero.get("channels", []) if isinstance(omero, dict) else []
    names = tuple(str(channel.get("label") or "") for channel in listed if isinstance(channel, dict))
    return names if len(names) == count and all(names) else default_channels(count)


def _read(path: Path, levels: list[str], names: list[str], is_ours: bool, part: Part) -> npt.NDArray[Any]:
    with decoding(path, "OME-Zarr"):
        array = zarr.open_array(str(path / levels[part.level]), mode="r")
        index: dict[str, Any] = dict(zip("tzyx", (slice(part.time, part.time + 1), *part.box), strict=True))
        planes, missing = [], list[Path]()
        for channel in part.channels:
            where = tuple(slice(channel, channel + 1) if name == "c" else index[name] for name in names)
            missing += missing_chunks(path / levels[part.level], array, where, part.allow_missing)
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


def _create_labels(path: Path, labels: Labels) -> Levels:
    return _create(path, labels, {"image-label": describe_image_label(labels)})


def _create_volume(path: Path, volume: Volume) -> Levels:
    return _create(path, volume, {})


def _create(path: Path, data: Labels | Volume, ome: dict[str, Any]) -> Levels:
    """The arrays of all levels, still empty, the finest first."""
    grid, ndim = data.grid, data.array.ndim
    steps = _steps(data.shape, grid.spacing)
    multiscale = v05.Multiscale(
        name=data.name,
        axes=[*_axes(grid, ndim)],
        datasets=[_dataset(str(i), grid, step, ndim) for i, step in enumerate(steps)],
        type="nearest",
    )
    metadata = {"version": "0.5", "multiscales": [multiscale.model_dump(mode="json", exclude_none=True)], **ome}
    attributes: dict[str, Any] = {"ome": metadata, KEY: Legend.of(data).dump()}
    group = zarr.open_group(str(path), mode="w", zarr_format=3, attributes=attributes)
    lead = data.array.shape[:-3]
    levels = []
    for i, step in enumerate(steps):
        shape = [-(-n // s) for n, s in zip(data.shape, step, strict=True)]
        # empty chunks are written too, so that a missing one can be told from background
        level = group.create_array(
            str(i),
            shape=(*lead, *shape),
            dtype=data.array.dtype,
            chunks=(*(1 for _ in lead), *(min(c, n) for c, n in zip(CHUNK, shape, strict=True))),
            dimension_names=["c", "z", "y", "x"][-ndim:],
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


def _axes(grid: Grid, ndim: int) -> list[Any]:
    unit = UNIT_NAMES.get(grid.unit)
    space: list[Any] = [v05.SpaceAxis(name=name, type="space", unit=unit) for name in "zyx"]
    return [v05.ChannelAxis(name="c", type="channel"), *space] if ndim == 4 else space


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
