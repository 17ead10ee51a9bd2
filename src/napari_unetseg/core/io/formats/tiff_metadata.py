"""Voxel size and channel names from OME-XML, also in a file of its own, ImageJ's description and resolution tags.

A plain TIFF's resolution tags are print resolutions (72 dpi, 1 × 1), not voxel sizes, and are not believed, unless
they are finer than any printer or scanner is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_unetseg.core.grid import UNITS, Grid
from napari_unetseg.core.io.formats.registry import COMPANION
from napari_unetseg.core.io.legend import KEY, Legend
from napari_unetseg.core.notes import Note
from napari_unetseg.core.units import in_grid_unit
from napari_unetseg.errors import InputError

LARGEST_COMPANION = 2**27
"""Bytes."""
RESOLUTION_UNITS = {2: "inch", 3: "cm"}
FINEST_PRINT = 5.0
"""µm: 5,080 dots an inch. A plain TIFF of smaller pixels was made by a microscope."""
SCREEN = 1 / 72
"""Inches: what programs write that know no size."""
SPACING_ASSUMED = Note(
    "The file does not say the distance between slices; the pixel size is taken.", "spacing-assumed", "--spacing"
)
NEGATIVE = Note("The file gives a negative voxel size; its absolute value is taken.", "spacing-negative", "--spacing")
ZERO = Note("The file gives a voxel size of 0: it is not known.", "spacing-not-known", "--spacing")


@dataclass(frozen=True)
class TiffMetadata:
    """What the description of a TIFF says."""

    grid: Grid = field(default_factory=Grid)
    channels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    legend: Legend = field(default_factory=Legend)


@dataclass(frozen=True)
class Described:
    """A TIFF, and where its OME-XML is.

    Parameters
    ----------
    path : Path
        The TIFF to open.
    xml : str or None
        OME-XML that lies in a file of its own; None where the TIFF has its own, or none.
    notes : tuple of Note
    """

    path: Path
    xml: str | None = None
    notes: tuple[Note, ...] = ()


def find_description(path: Path) -> Described:
    """The TIFF to open for `path`: a companion file names it, and one that holds only pixels names its metadata.

    Raises
    ------
    InputError
        If a companion file is no OME-XML, or names no TIFF beside it.
    """
    if path.name.lower().endswith(COMPANION):
        xml = _companion(path)
        names = [
            name for name in _attributes(path, xml, "UUID", "FileName") if (path.parent / Path(name).name).is_file()
        ]
        if not names:
            raise InputError(f"{path} describes TIFFs, none of which lies beside it; copy them into its folder.")
        return Described(path.parent / Path(names[0]).name, xml)
    with tifffile.TiffFile(path) as tif:
        own = tif.ome_metadata if tif.is_ome else None
    named = _attributes(path, own, "BinaryOnly", "MetadataFile") if own and "BinaryOnly" in own else []
    if not named:
        return Described(path)
    master = path.parent / Path(named[0]).name
    if not master.is_file():
        text = f"The voxel size and the other planes are described in {master.name}, which does not lie beside it: this file alone is read."  # noqa: E501
        return Described(path, None, (Note(text, "companion-missing"),))
    return Described(path, _companion(master)) if not _is_tiff(master) else Described(master)


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (b"II", b"MM")


def _companion(path: Path) -> str:
    if path.stat().st_size > LARGEST_COMPANION:
        raise InputError(f"{path} is larger than OME-XML is; expected at most {LARGEST_COMPANION:,} bytes.")
    return path.read_text(encoding="utf-8", errors="replace")


def _attributes(path: Path, xml: str, element: str, name: str) -> list[str]:
    """An attribute of all elements of a kind in OME-XML, in their order."""
    try:
        found = tifffile.xml2dict(xml)
    except (SyntaxError, ValueError) as error:  # ElementTree's ParseError is a SyntaxError
        if path.name.lower().endswith(COMPANION):
            raise InputError(f"{path} is not whole OME-XML. Is it damaged? Copy it again.") from error
        return []
    return [str(each[name]) for each in _elements(found, element) if isinstance(each, dict) and name in each]


def _elements(tree: Any, name: str) -> Iterator[Any]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        for each in _list(value):
            if key == name:
                yield each
            yield from _elements(each, name)


def read(tif: tifffile.TiffFile, image: int = 0) -> TiffMetadata:
    """The description's metadata of an image; the default ones where there are none, or they make no sense."""
    if tif.is_ome and tif.ome_metadata:
        return _of_ome(tifffile.xml2dict(tif.ome_metadata).get("OME", {}), image)
    if tif.is_imagej and tif.imagej_metadata:
        return _of_imagej(tif.imagej_metadata, tif.pages.first)
    return _of_resolution(tif.series[image].keyframe)


def calibration(tif: tifffile.TiffFile) -> tuple[float, float] | None:
    """Factor and offset from stored to real values, of ImageJ's straight line or GDAL's; None where there are none."""
    if tif.is_imagej and (found := tif.imagej_metadata or {}).get("cf") == 0:
        return _line(found.get("c1", 1), found.get("c0", 0))
    if tif.is_gdal and tif.gdal_metadata:
        try:
            items = list(_elements(tifffile.xml2dict(tif.gdal_metadata), "Item"))
        except (SyntaxError, ValueError):
            return None
        roles = {i.get("role"): i.get("value") for i in items if isinstance(i, dict) and i.get("sample", 0) == 0}
        return _line(roles.get("scale", 1), roles.get("offset", 0))
    return None


def _line(factor: Any, offset: Any) -> tuple[float, float] | None:
    try:
        line = float(factor), float(offset)
    except (TypeError, ValueError):
        return None
    return line if np.isfinite(line).all() and line[0] != 0 and line != (1, 0) else None


def count_planes(tif: tifffile.TiffFile) -> int:
    """How many planes the description declares at most for an image; 0 where it does not say."""
    if not tif.is_ome or not tif.ome_metadata:
        return 0
    images = _list(tifffile.xml2dict(tif.ome_metadata).get("OME", {}).get("Image"))
    pixels = [_first(_first(image).get("Pixels")) for image in images]
    return max((prod(_count(each.get(f"Size{axis}")) for axis in "CZT") for each in pixels), default=0)


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 1


def physical_size(grid: Grid) -> dict[str, Any]:
    """The OME attributes of a spacing."""
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", grid.spacing, strict=True)}
    units = {f"PhysicalSize{axis}Unit": grid.unit for axis in "ZYX"}
    return {**sizes, **units}


def _of_ome(ome: dict[str, Any], image: int) -> TiffMetadata:
    images = _list(ome.get("Image"))
    pixels = _first(_first(images[image : image + 1]).get("Pixels"))
    sizes = {
        axis: _Size.of(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX"
    }
    names = tuple(str(c.get("Name", "")) for c in _list(pixels.get("Channel")) if isinstance(c, dict))
    return TiffMetadata(_grid(sizes), names if all(names) else (), _notes(sizes), _legend(ome))


def _legend(ome: dict[str, Any]) -> Legend:
    for annotation in _list(_first(ome.get("StructuredAnnotations")).get("MapAnnotation")):
        for entry in _list(_first(annotation.get("Value")).get("M")):
            if isinstance(entry, dict) and entry.get("K") == KEY:
                return Legend.parse(str(entry.get("value", "")))
    return Legend()


def _of_imagej(metadata: dict[str, Any], page: Any) -> TiffMetadata:
    """As ImageJ reads it: without a unit in the description, the tag's is taken, unless it is a screen's."""
    told = RESOLUTION_UNITS.get(page.tags.valueof("ResolutionUnit", 1), "pixel")
    lengths = _pixel_sizes(page)
    if told == "inch" and lengths["X"] is not None and abs(lengths["X"] - SCREEN) < 1e-6:
        told = "pixel"
    unit = str(metadata.get("unit") or told)
    sizes = {"Z": _Size.of(metadata.get("spacing"), unit), **{a: _Size.of(lengths[a], unit) for a in "YX"}}
    return TiffMetadata(_grid(sizes), notes=_notes(sizes))


def _of_resolution(page: Any) -> TiffMetadata:
    unit = RESOLUTION_UNITS.get(page.tags.valueof("ResolutionUnit", 2))
    sizes = {axis: _Size.of(length, unit or "") for axis, length in _pixel_sizes(page).items()}
    grid = _grid({"Z": None, **sizes})
    if not grid.is_physical or max(grid.spacing_in("µm")) > FINEST_PRINT:
        return TiffMetadata()
    z, y, x = grid.spacing_in("µm")
    note = Note("The pixel size is that of the resolution tags.", "spacing-of-resolution-tags", "--spacing")
    return TiffMetadata(Grid((z, y, x), "µm"), notes=(note, SPACING_ASSUMED))


def _pixel_sizes(page: Any) -> dict[str, float | None]:
    """Along y and x, in the unit of the resolution tags; None where there is none."""
    sizes = {}
    for axis in "YX":
        found = page.tags.valueof(f"{axis}Resolution", (0, 1))
        count, length = found if isinstance(found, tuple) and len(found) == 2 else (0, 1)
        sizes[axis] = length / count if count else None
    return sizes


def _notes(sizes: dict[str, _Size | None]) -> tuple[Note, ...]:
    """What to say of the spacing; that slices have none is left out by the reader of a single one."""
    known = [size for size in sizes.values() if size is not None]
    notes = [NEGATIVE] if any(size.value < 0 for size in known) else []
    if any(size.value == 0 for size in known):
        notes.append(ZERO)
    if _grid(sizes).is_physical and not _sound(sizes["Z"]):
        notes.append(SPACING_ASSUMED)
    return tuple(notes)


@dataclass(frozen=True)
class _Size:
    """A size that a file gives, of either sign or 0, and the unit of grids that it is in."""

    value: float
    unit: str

    @classmethod
    def of(cls, size: Any, unit: Any) -> _Size | None:
        """The size and one of our units; None where it is no finite number."""
        if isinstance(size, bool) or not isinstance(size, int | float) or not np.isfinite(size):
            return None
        return cls(*in_grid_unit(float(size), str(unit)))


def _sound(size: _Size | None) -> bool:
    return size is not None and size.value != 0


def _grid(sizes: dict[str, _Size | None]) -> Grid:
    """One spacing in the unit of x; a missing z is as large as x, and without x and y there is no physical size."""
    x, y, z = sizes["X"], sizes["Y"], sizes["Z"]
    if x is None or y is None or x.value == 0 or y.value == 0:
        return Grid()
    z = z if z is not None and z.value != 0 else x
    if len({size.unit == "pixel" for size in (x, y, z)}) > 1:
        return Grid()
    same = [abs(s.value) * (UNITS[s.unit] / UNITS[x.unit] if s.unit != x.unit else 1.0) for s in (z, y, x)]
    return Grid((same[0], same[1], same[2]), x.unit)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _first(value: Any) -> dict[str, Any]:
    found = next(iter(_list(value)), None)
    return found if isinstance(found, dict) else {}
