"""Columns of tables of figures as people read them: titles, units, few digits. Files keep all digits, see `table`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_unetseg.core.metrics.table import safe_text
from napari_unetseg.core.text import display_text
from napari_unetseg.core.units import quantity, readable_unit

Row = dict[str, Any]
NAMES = ("case", "label", "object", "name", "structure", "unit")
"""Keys of a row that are no figures."""
FIRST = (
    "dice", "iou", "hausdorff95", "f1", "volume", "surface", "parts", "mean_intensity",
    "equivalent_diameter", "subvoxel_volume",
)  # fmt: skip
"""What matters first. Volumes count only where there is nothing to compare with."""


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
    "small_recall": ColumnKind(
        "Small found", tip="Small-lesion recall: share of the smaller half of the parts of which most was found"
    ),
    "large_recall": ColumnKind("Large found", tip="Share of the larger half of the parts of which most was found"),
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
    "subvoxel_volume": ColumnKind(
        "Sub-voxel volume", "Lⁿ", "With voxels at its surface counted by the share of them that is inside"
    ),
    "subvoxel_surface": ColumnKind("Sub-voxel surface", "Lᵐ", "Area of the surface through the probabilities"),
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
FLAT = {
    "Volume": "Area", "Reference volume": "Reference area", "Surface": "Perimeter",
    "Sub-voxel volume": "Sub-pixel area", "Sub-voxel surface": "Sub-pixel perimeter",
}  # fmt: skip
"""Titles that are others in two dimensions."""


@dataclass(frozen=True)
class Column:
    """A column of the table: the key of its figures in the rows, its heading with the unit, and its tool tip.

    Figures are shown in a unit in which they are read best: `factor` times what they are.
    """

    key: str
    heading: str
    tip: str
    factor: float = 1.0

    def text(self, row: Row) -> str:
        """The figure of a row, as it is shown."""
        return cell(scaled(row.get(self.key), self.factor))


def columns_of(rows: Sequence[Row], dimensions: int) -> tuple[Column, ...]:
    """The columns of rows in reading order; figures that apply to no row are left out."""
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if key not in NAMES and _applies(value))
    order = [*(key for key in KINDS if key in keys), *(key for key in keys if key not in KINDS)]
    return tuple(_column(key, rows, dimensions) for key in order)


def first_columns(columns: Sequence[Column], more: Sequence[str] = ()) -> tuple[Column, ...]:
    """Those of `columns` that matter first, and those whose keys are in `more`."""
    compared = any(column.key in ("dice", "f1") for column in columns)
    unasked = {"volume", "parts"} if compared else set()
    return tuple(c for c in columns if c.key in more or (c.key in FIRST and c.key not in unasked))


def _column(key: str, rows: Sequence[Row], dimensions: int) -> Column:
    kind = KINDS.get(key) or ColumnKind(key.replace("_", " ").capitalize())
    title = FLAT.get(kind.title, kind.title) if dimensions == 2 else kind.title
    power = {"L": 1, "Lᵐ": dimensions - 1, "Lⁿ": dimensions}.get(kind.power)
    unit, factor = kind.power, 1.0
    if power is not None:
        figures = [float(row[key]) for row in rows if _applies(row.get(key))]
        unit, factor = readable_unit(figures, str(rows[0]["unit"]), power)
    return Column(key, f"{title} [{unit}]" if unit else title, kind.tip, factor)


def scaled(value: float | None, factor: float) -> float | None:
    """A figure in another unit; whole numbers stay whole."""
    return value if value is None or factor == 1 else value * factor


def name_of(row: Row) -> str:
    """What a row is about: a structure's name, or an object's with its number."""
    return f"{row['structure']} {row['object']}" if "object" in row else str(row["name"])


def label_of(row: Row) -> int:
    """The label that a row is about; of an object, its number."""
    return int(row["object"] if "object" in row else row["label"])


def cell(value: float | None) -> str:
    """A figure as the table shows it: a dash where it does not apply."""
    if value is None or not _applies(value):
        return "–"
    if isinstance(value, int):
        return quantity(value) if abs(value) >= 1000 else str(value)
    return f"{value:.3f}" if 0.0095 <= abs(value) < 9.9995 else quantity(value)


def as_text(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """The table as tab-separated lines, headings first: what a spreadsheet takes from the clipboard."""
    lines = [["structure", *(column.heading for column in columns)]]
    lines += [[_name(row), *(_plain(scaled(row.get(column.key), column.factor)) for column in columns)] for row in rows]
    return "\n".join("\t".join(line) for line in lines) + "\n"


def _name(row: Row) -> str:
    return safe_text(display_text(name_of(row)))


def _plain(value: float | None) -> str:
    return f"{value:.6g}" if _applies(value) else ""


def _applies(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
