"""Voxel size and channel names from OME-XML and ImageJ tags.

A plain TIFF's resolution tags are print resolutions (72 dpi, 1 × 1), not voxel sizes, and are not believed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import tifffile

from napari_unetseg.core.io.legend import KEY, Legend
from napari_unetseg.core.units import in_grid_unit
from napari_unetseg.core.volume import UNITS, Grid


@dataclass(frozen=True)
class TiffMetadata:
    """What the description of a TIFF says."""

    grid: Grid = field(default_factory=Grid)
    channels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    legend: Legend = field(default_factory=Legend)


def read(tif: tifffile.TiffFile) -> TiffMetadata:
    """The description's metadata; the default ones where there are none, or they make no sense."""
    if tif.is_ome and tif.ome_metadata:
        return _of_ome(tifffile.xml2dict(tif.ome_metadata).get("OME", {}))
    if tif.is_imagej and tif.imagej_metadata:
        return _of_imagej(tif.imagej_metadata, tif.pages.first)
    return TiffMetadata()


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


def _of_ome(ome: dict[str, Any]) -> TiffMetadata:
    pixels = _first(_first(ome.get("Image")).get("Pixels"))
    sizes = {
        axis: _in_unit(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX"
    }
    names = tuple(str(c.get("Name", "")) for c in _list(pixels.get("Channel")))
    return TiffMetadata(_grid(sizes), names if all(names) else (), _notes(sizes), _legend(ome))


def _legend(ome: dict[str, Any]) -> Legend:
    for annotation in _list(_first(ome.get("StructuredAnnotations")).get("MapAnnotation")):
        for entry in _list(_first(annotation.get("Value")).get("M")):
            if isinstance(entry, dict) and entry.get("K") == KEY:
                return Legend.parse(str(entry.get("value", "")))
    return Legend()


def _of_imagej(metadata: dict[str, Any], page: Any) -> TiffMetadata:
    unit = str(metadata.get("unit", "pixel"))
    sizes = {"Z": _in_unit(metadata.get("spacing"), unit)}
    for axis in "YX":
        count, length = page.tags.valueof(f"{axis}Resolution", (0, 1))
        sizes[axis] = _in_unit(length / count if count else None, unit)
    return TiffMetadata(_grid(sizes), notes=_notes(sizes))


def _notes(sizes: dict[str, tuple[float, str] | None]) -> tuple[str, ...]:
    if sizes["Z"] or not _grid(sizes).is_physical:
        return ()
    return ("The file does not say the distance between slices; the pixel size is taken.",)


def _in_unit(size: Any, unit: str) -> tuple[float, str] | None:
    """A size and one of our units, or None if it is not a size above 0."""
    if not isinstance(size, int | float) or not 0 < size < float("inf"):
        return None
    return in_grid_unit(float(size), unit)


def _grid(sizes: dict[str, tuple[float, str] | None]) -> Grid:
    """One spacing in the unit of x; a missing z is as large as x, and without x and y there is no physical size."""
    x, y = sizes["X"], sizes["Y"]
    if x is None or y is None:
        return Grid()
    unit = x[1]
    z = sizes["Z"] or (x[0], unit)
    if len({unit == "pixel", y[1] == "pixel", z[1] == "pixel"}) > 1:
        return Grid()
    in_unit = [size * UNITS.get(own, 1.0) / UNITS.get(unit, 1.0) if own != unit else size for size, own in (z, y, x)]
    return Grid((in_unit[0], in_unit[1], in_unit[2]), unit)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _first(value: Any) -> dict[str, Any]:
    found = next(iter(_list(value)), None)
    return found if isinstance(found, dict) else {}
