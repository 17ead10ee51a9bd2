"""Metadata of OME-Zarr 0.1 to 0.5: the images of a store, and their axes, voxel sizes and channel names.

They are brought to the form of 0.5, and checked by the models of yaozarrs. What other programs write beside the
standard (short units, sizes of 0 or below, axes without a type) is understood here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
import zarr
from yaozarrs import v05

from napari_unetseg.core.grid import UNITS, Grid, Triple
from napari_unetseg.core.io.formats.zarr_chunks import METADATA
from napari_unetseg.core.io.legend import KEY, Legend
from napari_unetseg.core.io.source import check_file
from napari_unetseg.core.notes import Note
from napari_unetseg.core.units import LengthUnit, in_grid_unit, length_unit
from napari_unetseg.core.volume import default_channels
from napari_unetseg.errors import InputError

DEFAULT_AXES = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}
AXIS_TYPES = {"t": "time", "c": "channel"}
MOST_IMAGES = 10_000
"""Fields of view that are listed of a plate."""
NEGATIVE = Note("The file gives a negative voxel size; its absolute value is taken.", "spacing-negative", "--spacing")
ZERO = Note(
    "The file gives a voxel size of 0, or none that is a number: it is not known; give it by --spacing.",
    "spacing-not-known",
    "--spacing",
)


@dataclass(frozen=True)
class Image:
    """One image of a store.

    Parameters
    ----------
    folder : Path
        Its group.
    name : str
        For people: where in the store it is.
    number : int
        Which of the group's multiscales it is.
    """

    folder: Path
    name: str
    number: int = 0


@dataclass(frozen=True)
class Pyramid:
    """The levels of an image: names of axes, folders and grids, the finest first.

    Parameters
    ----------
    axes : str
        Of ``tczyx``, in the file's order.
    """

    axes: str
    folders: tuple[Path, ...]
    arrays: tuple[zarr.Array[Any], ...]
    grids: tuple[Grid, ...]
    notes: tuple[Note, ...] = field(default=())


def metadata_files(*folders: Path) -> tuple[Path, ...]:
    """The files of metadata in folders of a Zarr."""
    return tuple(folder / name for folder in folders for name in METADATA if (folder / name).exists())


def check_files(folder: Path) -> None:
    """Raise `InputError` where a file of metadata is a pipe or a device."""
    for mark in metadata_files(folder):
        check_file(mark)


def ome_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The OME metadata of version 0.5 in a group's attributes, else these, as up to 0.4; with our own legend."""
    ome = attributes.get("ome")
    return {**ome, KEY: attributes.get(KEY)} if isinstance(ome, dict) else dict(attributes)


def images_of(path: Path, metadata: Mapping[str, Any]) -> list[Image]:
    """The images of a group: its own, else the fields of a plate or a well, numbered series, or groups in it."""
    own = metadata.get("multiscales")
    if isinstance(own, list):
        names = [str(each.get("name") or number) if isinstance(each, dict) else "" for number, each in enumerate(own)]
        return [Image(path, name, number) for number, name in enumerate(names)]
    found = []
    for name in _paths_of_parts(path, metadata):
        folder = inside(path, name)
        if folder.is_dir() and isinstance(_read_attributes(folder).get("multiscales"), list):
            found.append(Image(folder, name))
        if len(found) == MOST_IMAGES:
            break
    return found


def _paths_of_parts(path: Path, metadata: Mapping[str, Any]) -> Iterator[str]:
    """Where images may be in a group that is none itself, as paths in it."""
    plate = metadata.get("plate")
    if isinstance(plate, dict):
        for well in _paths(plate.get("wells")):
            for image in _paths((_read_attributes(inside(path, well)).get("well") or {}).get("images")):
                yield f"{well}/{image}"
    elif isinstance(metadata.get("well"), dict):
        yield from _paths(metadata["well"].get("images"))
    else:
        yield from sorted((p.name for p in path.iterdir() if p.is_dir() and p.name != "OME"), key=_in_order)


def _paths(listed: Any) -> list[str]:
    entries = listed if isinstance(listed, list) else []
    return [entry["path"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("path"), str)]


def _in_order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() and len(name) < 10 else (10**10, name)


def _read_attributes(folder: Path) -> dict[str, Any]:
    """The OME attributes of a group by its file of metadata; empty where there is none that can be read."""
    try:
        for name in ("zarr.json", ".zattrs"):
            if (folder / name).is_file():
                found = json.loads((folder / name).read_text(encoding="utf-8"))
                found = found.get("attributes", {}) if name == "zarr.json" else found
                return dict(found.get("ome") or found)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        pass
    return {}


def inside(path: Path, name: str) -> Path:
    """The folder of what metadata name; raises `InputError` where it is not in the store."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise InputError(f"{path} names an array {name!r} outside of it; expected one below it.")
    check_files(path / relative)
    return path / relative


def version_of(metadata: Mapping[str, Any], number: int) -> str:
    """The version that metadata give, such as ``0.4``."""
    own = metadata["multiscales"][number]
    told = metadata.get("version") or (own.get("version") if isinstance(own, dict) else None)
    return str(told or "0.4")


def read_pyramid(path: Path, metadata: Mapping[str, Any], number: int) -> Pyramid:
    """The levels of one of a group's images.

    Raises
    ------
    InputError
        If the metadata are not those of OME-Zarr, an array that they name is missing, or its axes are others.
    """
    found = metadata["multiscales"][number]
    if not isinstance(found, dict) or not _paths(found.get("datasets")):
        raise InputError(f"{path} names no array of its image; expected OME-Zarr of version 0.1 to 0.5.")
    folders = tuple(inside(path, name) for name in _paths(found["datasets"]))
    arrays = tuple(zarr.open_array(str(folder), mode="r") for folder in folders)
    axes, units = _axes(path, found, arrays[0].ndim)
    names = "".join(axis["name"] for axis in axes)
    if not {"y", "x"} <= set(names) <= set("tczyx") or len(names) != arrays[0].ndim:
        raise InputError(
            f"{path} has axes {', '.join(a['name'] for a in axes)} of sizes {arrays[0].shape}; expected t, c, z, y and "
            "x alone."
        )
    sizes = [_transformations(entry, len(axes)) for entry in found["datasets"] if isinstance(entry, dict)]
    scaled = bool(found.get("coordinateTransformations")) or any(sizes)
    made = [_as_05(own, arrays[0].shape, array.shape) for own, array in zip(sizes, arrays, strict=True)]
    notes, is_known = _mend([scale for transforms in made for scale in transforms], names)
    multiscale = _checked(path, found, axes, made)
    grids = tuple(_grid(multiscale, dataset, units, is_known and scaled) for dataset in multiscale.datasets)
    if not scaled:
        notes.append(Note("The file does not say the voxel size.", "spacing-not-known", "--spacing"))
    return Pyramid(names, folders, arrays, grids, tuple(notes))


def _axes(path: Path, found: Mapping[str, Any], ndim: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Names and types of the axes, and the units of those that have one; 0.3 has names alone, and 0.1 none."""
    listed = found.get("axes") or list(DEFAULT_AXES.get(ndim, ""))
    if not isinstance(listed, list):
        raise InputError(f"{path} has axes that cannot be read; expected OME-Zarr of version 0.1 to 0.5.")
    axes, units = list[dict[str, Any]](), dict[str, str]()
    for each in listed:
        axis = {"name": each} if isinstance(each, str) else each
        if not isinstance(axis, dict) or not isinstance(axis.get("name"), str):
            raise InputError(f"{path} has an axis without a name; expected OME-Zarr of version 0.1 to 0.5.")
        name = axis["name"].lower()
        axes.append({"name": name, "type": AXIS_TYPES.get(name, "space")})
        units[name] = str(axis.get("unit") or "")
    return axes, units


def _transformations(dataset: Mapping[str, Any], ndim: int) -> list[dict[str, Any]]:
    """The transformations of a level; those that change nothing are left out."""
    listed = dataset.get("coordinateTransformations")
    found = [dict(each) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    found = [each for each in found if each.get("type") != "identity"]
    if found and found[0].get("type") == "translation":
        found.insert(0, {"type": "scale", "scale": [1.0] * ndim})
    return found


def _as_05(own: list[dict[str, Any]], full: tuple[int, ...], shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """The transformations of a level; without any, what its shape says."""
    ratios = [a / b if b else 1.0 for a, b in zip(full, shape, strict=False)]
    return own or [{"type": "scale", "scale": ratios}]


def _mend(transforms: list[dict[str, Any]], names: str) -> tuple[list[Note], bool]:
    """Take absolute values of scales, and 1 for those of 0; returns notes, and whether all sizes in space are known."""
    notes, is_known = list[Note](), True
    for transform in transforms:
        scale = transform.get("scale")
        if not isinstance(scale, list) or not all(isinstance(s, int | float) for s in scale):
            continue
        in_space = [s for s, name in zip(scale, names, strict=False) if name in "zyx"]
        if any(s == 0 or not math.isfinite(s) for s in in_space):
            is_known = False
            notes.append(ZERO)
        elif any(s < 0 for s in in_space):
            notes.append(NEGATIVE)
        transform["scale"] = [abs(s) if s and math.isfinite(s) else 1.0 for s in scale]
    return list(dict.fromkeys(notes)), is_known


def _checked(
    path: Path, found: Mapping[str, Any], axes: list[dict[str, Any]], made: list[list[dict[str, Any]]]
) -> v05.Multiscale:
    whole = found.get("coordinateTransformations")
    record = {
        "name": found.get("name") if isinstance(found.get("name"), str) else None,
        "axes": axes,
        "datasets": [
            {"path": name, "coordinateTransformations": own}
            for name, own in zip(_paths(found["datasets"]), made, strict=True)
        ],
        **({"coordinateTransformations": _transformations(found, len(axes))} if whole else {}),
    }
    try:
        return v05.Multiscale.model_validate(record)
    except pydantic.ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "multiscales"
        raise InputError(
            f"{path} has metadata that are not those of OME-Zarr 0.1 to 0.5, at {where}. Mend them, or convert it."
        ) from error


def _grid(multiscale: v05.Multiscale, dataset: v05.Dataset, words: Mapping[str, str], is_known: bool) -> Grid:
    """Spacing and origin: the level's transformations, then those of the whole pyramid."""
    names = [axis.name for axis in multiscale.axes]
    scale, origin = np.ones(len(names)), np.zeros(len(names))
    for transform in [*dataset.coordinateTransformations, *(multiscale.coordinateTransformations or [])]:
        if isinstance(transform, v05.ScaleTransformation):
            scale, origin = scale * transform.scale, origin * transform.scale
        else:
            origin = origin + transform.translation
    units: list[LengthUnit | None] = [length_unit(words.get(name, "")) for name in names]
    if not is_known or not all(unit for unit, name in zip(units, names, strict=True) if name in "zyx"):
        return Grid(_zyx(names, scale), "pixel", _zyx(names, origin, 0.0), placed=True)
    _, unit = in_grid_unit(1.0, words["x"])
    # a factor of exactly 1 where the units agree
    factors = np.array([1.0 if u is None or u.metres == UNITS[unit] else u.metres / UNITS[unit] for u in units])
    return Grid(_zyx(names, scale * factors), unit, _zyx(names, origin * factors, 0.0), placed=True)


def _zyx(names: list[str], values: npt.NDArray[np.float64], missing: float | None = None) -> Triple:
    """The values of z, y, x; without a z axis, z is as `missing` or as x."""
    by_name = dict(zip(names, (float(v) for v in values), strict=True))
    return by_name.get("z", by_name["x"] if missing is None else missing), by_name["y"], by_name["x"]


def channel_names(metadata: Mapping[str, Any], legend: Legend, count: int) -> tuple[str, ...]:
    """Names of the channels: of our own legend, else of omero."""
    if len(legend.channels) == count:
        return legend.channels
    omero = metadata.get("omero")
    listed = omero.get("channels") if isinstance(omero, dict) else None
    labels = [each.get("label") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    names = tuple(str(label or "") for label in labels)
    return names if len(names) == count and all(names) else default_channels(count)
