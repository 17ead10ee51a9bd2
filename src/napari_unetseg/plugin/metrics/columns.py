"""Columns of the table of metrics: how figures are headed and written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_unetseg.core.metrics.table import safe_text
from napari_unetseg.core.text import display_text
from napari_unetseg.plugin.parts.text import quantity

Row = dict[str, Any]
NAMES = ("label", "object", "name", "structure", "unit")
"""Keys of a row that are no figures."""


@dataclass(frozen=True)
class ColumnKind:
    """One figure.

    Parameters
    ----------
    title : str
        Heads its column.
    power : str
        Of the unit of lengths: empty for a plain number, else ``L``, ``L²``, ``L³``; `dimensions` makes ``Lⁿ`` an
        area or a volume, ``Lᵐ`` a length or an area.
    tip : str
    """

    title: str
    power: str = ""
    tip: str = ""


KINDS = {
    "dice": ColumnKind("Dice", tip="Overlap: 2 |P ∩ R| / (|P| + |R|)"),
    "iou": ColumnKind("IoU", tip="Overlap: |P ∩ R| / |P ∪ R|, also called Jaccard index"),
    "precision": ColumnKind("Precision", tip="Share of what was predicted that is right"),
    "sensitivity": ColumnKind("Sensitivity", tip="Share of the reference that was found"),
    "specificity": ColumnKind("Specificity", tip="Share of what is outside the reference that was left out"),
    "hausdorff": ColumnKind("HD", "L", "Hausdorff distance: the largest distance from either surface to the other"),
    "hausdorff95": ColumnKind("HD95", "L", "95th percentile of the distances between the surfaces"),
    "assd": ColumnKind("ASSD", "L", "Average symmetric surface distance"),
    "nsd": ColumnKind(
        "NSD", tip="Normalised surface Dice: share of both surfaces that is within the tolerance of the other"
    ),
    "boundary_dice": ColumnKind("Boundary Dice", tip="Dice of the inner bands of both, as wide as the tolerance"),
    "objects": ColumnKind("Objects"),
    "reference_objects": ColumnKind("Reference objects"),
    "matched": ColumnKind("Matched", tip="Objects that match at IoU 0.5"),
    "f1": ColumnKind("F1", tip="At IoU 0.5"),
    "panoptic_quality": ColumnKind("PQ", tip="Panoptic quality at IoU 0.5"),
    "mean_f1": ColumnKind("Mean F1", tip="Over IoU 0.5 to 0.95"),
    "mean_panoptic_quality": ColumnKind("Mean PQ", tip="Panoptic quality, mean over IoU 0.5 to 0.95"),
    "splits": ColumnKind("Splits", tip="Reference objects that several predicted ones share"),
    "merges": ColumnKind("Merges", tip="Predicted objects that join several reference ones"),
    "volume": ColumnKind("Volume", "Lⁿ"),
    "reference_volume": ColumnKind("Reference volume", "Lⁿ"),
    "volume_difference": ColumnKind("Difference", "Lⁿ", "Prediction minus reference"),
    "volume_difference_percent": ColumnKind(
        "Difference", "%", "Prediction minus reference, in percent of the reference"
    ),
    "voxels": ColumnKind("Voxels"),
    "surface": ColumnKind("Surface", "Lᵐ", "Area of the mesh around it; in 2D, length of the outline"),
    "parts": ColumnKind("Parts", tip="Connected parts"),
    "reference_parts": ColumnKind("Reference parts", tip="Connected parts of the reference"),
    "mean_intensity": ColumnKind("Mean intensity"),
    "equivalent_diameter": ColumnKind("Diameter", "L", "Of a ball, in 2D a disc, of the same size"),
    "major_axis": ColumnKind("Major axis", "L"),
    "minor_axis": ColumnKind("Minor axis", "L"),
    **{f"extent_{axis}": ColumnKind(f"Extent {axis}", "L", "Side of the bounding box") for axis in "zyx"},
    **{f"centre_{axis}": ColumnKind(f"Centre {axis}", "L", "From the centre of the first voxel") for axis in "zyx"},
}
FLAT = {"Volume": "Area", "Reference volume": "Reference area", "Surface": "Perimeter"}
"""Titles that are others in two dimensions."""


@dataclass(frozen=True)
class Column:
    """A column of the table: the key of its figures in the rows, its heading with the unit, and its tool tip."""

    key: str
    heading: str
    tip: str


def columns_of(rows: Sequence[Row], dimensions: int) -> tuple[Column, ...]:
    """The columns of rows in reading order; figures that apply to no row are left out."""
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if key not in NAMES and _applies(value))
    order = [*(key for key in KINDS if key in keys), *(key for key in keys if key not in KINDS)]
    return tuple(_column(key, str(rows[0]["unit"]), dimensions) for key in order)


def _column(key: str, unit: str, dimensions: int) -> Column:
    kind = KINDS.get(key) or ColumnKind(key.replace("_", " ").capitalize())
    flat = dimensions == 2
    title = FLAT.get(kind.title, kind.title) if flat else kind.title
    powers = {"L": unit, "Lᵐ": unit if flat else f"{unit}²", "Lⁿ": f"{unit}{'²' if flat else '³'}"}
    power = powers.get(kind.power, kind.power)
    return Column(key, f"{title} [{power}]" if power else title, kind.tip)


def name_of(row: Row) -> str:
    """What a row is about: a structure's name, or an object's with its number."""
    return f"{row['structure']} {row['object']}" if "object" in row else str(row["name"])


def label_of(row: Row) -> int:
    """The label that a row is about; of an object, its number."""
    return int(row["object"] if "object" in row else row["label"])


def cell(value: float | None) -> str:
    """A figure as the table shows it: a dash where it does not apply."""
    if not _applies(value):
        return "–"
    assert value is not None  # noqa: S101 - for the type checker
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if isinstance(value, int):
        return quantity(value) if abs(value) >= 1000 else str(value)
    return f"{value:.3f}" if abs(value) < 10 and round(abs(value), 3) >= 0.01 else quantity(value)


def as_text(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """The table as tab-separated lines, headings first: what a spreadsheet takes from the clipboard."""
    lines = [["structure", *(column.heading for column in columns)]]
    lines += [[_name(row), *(_plain(row.get(column.key)) for column in columns)] for row in rows]
    return "\n".join("\t".join(line) for line in lines) + "\n"


def _name(row: Row) -> str:
    return safe_text(display_text(name_of(row)))


def _plain(value: float | None) -> str:
    return f"{value:.6g}" if _applies(value) else ""


def _applies(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
