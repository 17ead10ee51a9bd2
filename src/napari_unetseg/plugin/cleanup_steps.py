"""Clean-up steps as the widget offers them: which there are, how a new one begins, and what it says of itself."""

from __future__ import annotations

from math import prod
from typing import Any, get_args

from pydantic.fields import FieldInfo

from napari_unetseg.core.cleanup import Step
from napari_unetseg.core.volume import Grid
from napari_unetseg.plugin.wording import quantity

KINDS: tuple[Any, ...] = get_args(get_args(Step)[0])
"""The record of each kind of step, in the order in which they are defined."""
LENGTHS = ("distance", "radius", "depth")
SMALL = 50
"""Voxels: what a step that removes small parts begins with."""


def title(kind: Any) -> str:
    """A kind of step in words: ``Remove small``."""
    return str(kind.model_fields["kind"].default).replace("_", " ").capitalize()


def new_step(kind: Any, grid: Grid, shape: tuple[int, int, int]) -> Step:
    """A step to begin with: lengths of a voxel and volumes of fifty, in the grid's unit, and a tile as large as all.

    Parameters
    ----------
    shape : (z, y, x)
        Of the labels.
    """
    spacing = grid.spacing[1:] if shape[0] == 1 else grid.spacing
    sizes = {"volume": SMALL * prod(spacing), **dict.fromkeys(LENGTHS, min(spacing))}
    values: dict[str, Any] = {name: float(f"{size:.3g}") for name, size in sizes.items()}
    values |= {"unit": grid.unit, "tile": shape}
    step: Step = kind(**{name: value for name, value in values.items() if name in kind.model_fields})
    return step


def parameters(kind: Any) -> dict[str, FieldInfo]:
    """The fields of a step that a user sets; the unit is the layer's."""
    return {name: field for name, field in kind.model_fields.items() if name not in ("kind", "unit")}


def unit_of(step: Step, name: str, flat: bool) -> str:
    """The unit of a parameter: of a length, a volume or (`flat`) an area; empty for a plain number."""
    if name in LENGTHS:
        return str(getattr(step, "unit", ""))
    return f"{getattr(step, 'unit', '')}{'²' if flat else '³'}" if name == "volume" else ""


def describe(step: Step, flat: bool = False) -> str:
    """One line: ``Remove small: volume 50 µm³, structures 1, 2``."""
    told = (_told(name, getattr(step, name), unit_of(step, name, flat)) for name in parameters(type(step)))
    return ": ".join(filter(None, (title(type(step)), ", ".join(filter(None, told)))))


def _told(name: str, value: Any, unit: str) -> str:
    words = name.replace("_", " ")
    if isinstance(value, bool):
        return words if value else ""
    if isinstance(value, tuple):
        return f"{words} {', '.join(map(str, value))}" if value else ""
    return f"{words} {quantity(value) if isinstance(value, float) else value} {unit}".strip()
