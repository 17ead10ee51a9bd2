"""Clean-up steps as the widget offers them: which there are, how a new one begins, and what it says of itself."""

from __future__ import annotations

from math import prod
from typing import Any, get_args

from pydantic.fields import FieldInfo

from napari_unetseg.core.steps import Step, Weighing
from napari_unetseg.core.volume import Grid
from napari_unetseg.plugin.wording import quantity

KINDS: tuple[Any, ...] = get_args(get_args(Step)[0])
"""The record of each kind of step, in the order in which they are defined."""
TITLES = {"crf": "Follow image (CRF)", "prior": "Anatomical prior"}
LENGTHS = ("distance", "radius", "depth", "softness")
SOFT = 3
"""Voxels: what the softness of a prior begins with."""
SMALL = 50
"""Voxels: what a step that removes small parts begins with."""


def title(kind: Any) -> str:
    """A kind of step in words: ``Remove small``."""
    name = str(kind.model_fields["kind"].default)
    return TITLES.get(name, name.replace("_", " ").capitalize())


def about(kind: Any) -> str:
    """What a kind of step does, in a sentence."""
    return str(kind.__doc__).partition("\n")[0]


def new_step(kind: Any, grid: Grid, shape: tuple[int, int, int]) -> Step:
    """A step to begin with: lengths of a voxel and volumes of fifty, in the grid's unit, and a tile as large as all.

    Parameters
    ----------
    shape : (z, y, x)
        Of the labels.
    """
    spacing = grid.spacing[1:] if shape[0] == 1 else grid.spacing
    sizes = {"volume": SMALL * prod(spacing), **dict.fromkeys(LENGTHS, min(spacing)), "softness": SOFT * min(spacing)}
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
    names = [name for name in parameters(type(step)) if not _is_understood(step, name)]
    told = (_told(name, getattr(step, name), unit_of(step, name, flat)) for name in names)
    return ": ".join(filter(None, (title(type(step)), ", ".join(filter(None, told)))))


def _is_understood(step: Step, name: str) -> bool:
    """Whether a parameter goes without saying: steps that weigh have many, which are seldom changed."""
    return (
        isinstance(step, Weighing)
        and name != "softness"
        and getattr(step, name) == type(step).model_fields[name].default
    )


def _told(name: str, value: Any, unit: str) -> str:
    words = name.replace("_", " ")
    if isinstance(value, bool):
        return words if value else ""
    if isinstance(value, tuple):
        return f"{words} {', '.join(map(str, value))}" if value else ""
    return f"{words} {quantity(value) if isinstance(value, float) else value} {unit}".strip()
