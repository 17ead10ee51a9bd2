"""OME-Zarr 0.4 (Zarr 2) and 0.5 (Zarr 3) on disk, by zarr, with the metadata models of yaozarrs.

https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
import zarr
from yaozarrs import v05

from napari_unetseg.core.formats import label_metadata
from napari_unetseg.core.formats.legend import KEY, Legend
from napari_unetseg.core.formats.source import Part, Shape, Source, VolumeInfo, decoding, stack
from napari_unetseg.core.formats.zarr_chunks import check_chunks
from napari_unetseg.core.volume import UNITS, Grid, Triple, default_channels
from napari_unetseg.errors import InputError

UNIT_NAMES = {"nanometer": "nm", "micrometer": "µm", "millimeter": "mm", "centimeter": "cm", "meter": "m"}
OTHER_UNITS = {"angstrom": 1e-10, "picometer": 1e-12, "inch": 25.4e-3}
DEFAULT_AXES = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}


def open_source(path: Path) -> Source:
    """Open an OME-Zarr image, a label image, or a bare Zarr array, by its metadata.

    Raises
    ------
    InputError
        If it is no Zarr, its metadata are not those of OME-Zarr, or an array that they name is missing.
    """
    with decoding(path, "Zarr"):
        node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return _bare(path, node)
    metadata = _metadata(node)
    if "multiscales" not in metadata and (path / "0").is_dir():
        return open_source(path / "0")  # the layout of bioformats2raw: images are numbered groups
    multiscale = _multiscale(path, metadata)
    with decoding(path, "OME-Zarr"):
        arrays = [zarr.open_array(str(path / dataset.path), mode="r") for dataset in multiscale.datasets]
        names = [axis.name for axis in multiscale.axes]
    _check_axes(path, names, arrays[0].shape)
    legend = label_metadata.parse(metadata, Legend.parse(metadata.get(KEY)))
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
    return Source(info, partial(_read, path, [d.path for d in multiscale.datasets], names), legend, grids)


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
    return Source(info, partial(_read, path, [""], names))


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
    unit = UNIT_NAMES.get(str(getattr(multiscale.axes[names.index("x")], "unit", None)), "µm")
    # a factor of exactly 1 where the units agree
    factors = np.array([1.0 if size in (None, UNITS[unit]) else size / UNITS[unit] for size in metres])
    return Grid(_zyx(names, scale * factors), unit, _zyx(names, origin * factors, 0.0))


def _metres(axis: Any) -> float | None:
    name = getattr(axis, "unit", None) or ""
    return UNITS.get(UNIT_NAMES.get(name, ""), OTHER_UNITS.get(name))


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


def _read(path: Path, levels: list[str], names: list[str], part: Part) -> npt.NDArray[Any]:
    with decoding(path, "OME-Zarr"):
        array = zarr.open_array(str(path / levels[part.level]), mode="r")
        index: dict[str, Any] = dict(zip("tzyx", (slice(part.time, part.time + 1), *part.box), strict=True))
        planes, missing = [], 0
        for channel in part.channels:
            where = tuple(slice(channel, channel + 1) if name == "c" else index[name] for name in names)
            missing += check_chunks(path / levels[part.level], array, where)
            spatial = [name for name in names if name in "zyx"]
            plane = np.asarray(array[where]).squeeze(tuple(i for i, name in enumerate(names) if name in "tc"))
            plane = plane.transpose([spatial.index(name) for name in "zyx" if name in spatial])
            planes.append(plane.reshape(part.shape[1:]))
    if missing:
        warnings.warn(f"{path}: {missing} chunks are not on disk and read as {array.fill_value}.", stacklevel=2)
    return stack(planes)
