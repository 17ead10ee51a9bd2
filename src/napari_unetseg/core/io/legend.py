"""Legends: names and colours of structures in files, as our JSON text, OME-Zarr's ``image-label`` or 3D Slicer's keys.

What a format has no field of its own for (structures, objects, origin and orientation) is one JSON text. Names and
colours of labels are written as OME-Zarr (https://ngff.openmicroscopy.org/0.5/#label-md) and 3D Slicer
(``.seg.nrrd``) know them, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import pydantic

from napari_unetseg.core.grid import UNITS, Grid, ScannerFrame, Triple
from napari_unetseg.core.volume import Labels, MadeBy, Structure, Volume

KEY = "napari_unetseg"
BACKGROUND = "background"
"""The first channel of probabilities."""


class Legend(pydantic.BaseModel):
    """Names and colours of labels, and the place in space. Every field may be missing.

    Parameters
    ----------
    structures : tuple of Structure
    are_objects : bool
    channels : tuple of str
        Names of the channels, for formats that cannot name them.
    unit : str or None
        The unit of the spacing, for formats that have fewer units.
    origin : (z, y, x) or None
        In that unit.
    affine, file_codes :
        The fields of `ScannerFrame`, or None.
    made_by : MadeBy or None
        The model whose result labels are.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")

    structures: tuple[Structure, ...] = ()
    are_objects: bool = False
    channels: tuple[str, ...] = ()
    unit: str | None = None
    origin: Triple | None = None
    affine: tuple[tuple[float, float, float, float], ...] | None = None
    file_codes: tuple[str, str, str] | None = None
    made_by: MadeBy | None = None

    @pydantic.model_validator(mode="after")
    def _lies_somewhere(self) -> Self:
        Grid(unit=self.unit or "pixel", origin=self.origin or (0.0, 0.0, 0.0))
        if self.affine and self.file_codes:
            ScannerFrame(self.affine, self.file_codes)
        return self

    @classmethod
    def of(cls, data: Labels | Volume) -> Legend:
        """The legend of labels or of a volume; a structure keeps label, name and colour."""
        scanner = data.grid.scanner
        return cls.model_validate(
            {
                "structures": [s.model_dump(include={"label", "name", "colour"}) for s in data.structures]
                if isinstance(data, Labels)
                else (),
                "are_objects": isinstance(data, Labels) and data.are_objects,
                "channels": data.channels if isinstance(data, Volume) else (),
                "unit": data.grid.unit,
                "origin": data.grid.origin if data.grid.is_placed else None,
                "affine": scanner and scanner.affine,
                "file_codes": scanner and scanner.file_codes,
                "made_by": data.made_by if isinstance(data, Labels) else None,
            }
        )

    @classmethod
    def parse(cls, text: object) -> Legend:
        """Read a legend; an empty one where there is none or it is not ours, since files are from anywhere."""
        try:
            return cls.model_validate_json(text) if isinstance(text, str) else cls()
        except pydantic.ValidationError:
            return cls()

    @property
    def is_of_a_result(self) -> bool:
        """Whether it is that of labels or of probabilities, which are no image to be segmented."""
        return bool(self.structures) or self.are_objects or self.made_by is not None or BACKGROUND in self.channels[:1]

    def dump(self) -> str:
        """The legend as JSON, without what is empty."""
        return self.model_dump_json(exclude_defaults=True)

    def place(self, grid: Grid) -> Grid:
        """`grid` at the legend's origin and orientation, where it has them."""
        return replace(self.place_scanner(grid), origin=self.origin or grid.origin)

    def place_scanner(self, grid: Grid) -> Grid:
        """`grid` in the legend's orientation, where it has one."""
        if not self.affine or not self.file_codes:
            return grid
        return replace(grid, scanner=ScannerFrame(self.affine, self.file_codes))

    def in_unit(self, grid: Grid) -> Grid:
        """`grid` in the legend's unit, where it has one."""
        if self.unit not in UNITS or not grid.is_physical or self.unit == grid.unit:
            return replace(grid, unit="pixel") if self.unit == "pixel" else grid
        factor = UNITS[grid.unit] / UNITS[self.unit]
        oz, oy, ox = (o * factor for o in grid.origin)
        return Grid(grid.spacing_in(self.unit), self.unit, (oz, oy, ox), grid.scanner, grid.placed)


def describe_image_label(labels: Labels) -> dict[str, Any]:
    """The ``image-label`` of labels: colours, and names as properties."""
    if labels.are_objects or not labels.structures:
        return {}
    return {
        "colors": [{"label-value": s.label, "rgba": [*bytes.fromhex(s.colour[1:]), 255]} for s in labels.structures],
        "properties": [{"label-value": s.label, "name": s.name} for s in labels.structures],
    }


def parse_image_label(metadata: Mapping[str, Any], legend: Legend) -> Legend:
    """The legend with the structures of ``image-label``, where it has none of its own."""
    label = metadata.get("image-label")
    if legend.structures or not isinstance(label, dict):
        return legend
    try:
        names = {p["label-value"]: p["name"] for p in label.get("properties") or [] if "name" in p}
        structures = tuple(
            Structure(
                label=colour["label-value"],
                name=str(names.get(colour["label-value"], f"label {colour['label-value']}")),
                colour="#{:02x}{:02x}{:02x}".format(*colour["rgba"][:3]),
            )
            for colour in label.get("colors") or []
            if colour["label-value"] > 0
        )
    except (KeyError, TypeError, IndexError, ValueError, pydantic.ValidationError):
        return legend
    return legend.model_copy(update={"structures": structures})


def segment_keys(labels: Labels) -> dict[str, str]:
    """Slicer's keys for the structures of labels; numbered objects have none of their own."""
    if labels.are_objects or not labels.structures:
        return {}
    z, y, x = labels.array.shape
    found = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for i, structure in enumerate(labels.structures):
        found |= {
            f"Segment{i}_ID": f"Segment_{structure.label}",
            f"Segment{i}_Name": structure.name,
            f"Segment{i}_NameAutoGenerated": "0",
            f"Segment{i}_Color": " ".join(f"{c / 255:.6f}" for c in bytes.fromhex(structure.colour[1:])),
            f"Segment{i}_ColorAutoGenerated": "0",
            f"Segment{i}_LabelValue": str(structure.label),
            f"Segment{i}_Layer": "0",
            f"Segment{i}_Extent": f"0 {x - 1} 0 {y - 1} 0 {z - 1}",
        }
    return found


def segment_fields(found: Mapping[str, str]) -> dict[str, Any]:
    """The legend's ``structures`` from Slicer's keys; empty where there are none, or they are damaged."""
    structures = []
    for i in range(sum(key.endswith("_LabelValue") for key in found)):
        try:
            colour = "".join(f"{round(float(c) * 255):02x}" for c in found[f"Segment{i}_Color"].split())
            label = int(found[f"Segment{i}_LabelValue"])
            structures.append(Structure(label=label, name=found[f"Segment{i}_Name"], colour=f"#{colour}"))
        except (KeyError, ValueError):
            return {}
    return {"structures": tuple(structures)} if structures else {}
