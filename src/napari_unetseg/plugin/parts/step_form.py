"""Clean-up steps as widgets offer them, and a form for any of them, made from its record."""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod
from typing import Any, get_args

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.steps import ProbabilityStep, Step
from napari_unetseg.core.text import display_text
from napari_unetseg.core.units import quantity
from napari_unetseg.core.volume import Structure
from napari_unetseg.plugin.parts.fields import combo
from napari_unetseg.plugin.parts.settings_form import SettingsForm, parameters_of

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


def _plain(kind: Any) -> list[str]:
    """The parameters of a step that a user sets, but the structures; the unit is the layer's."""
    return [name for name in kind.model_fields if name not in ("kind", "unit", "structures")]


def unit_of(step: Step, name: str, flat: bool) -> str:
    """The unit of a parameter: of a length, a volume or (`flat`) an area; empty for a plain number."""
    if name in LENGTHS:
        return str(getattr(step, "unit", ""))
    return f"{getattr(step, 'unit', '')}{'²' if flat else '³'}" if name == "volume" else ""


def describe(step: Step, flat: bool = False) -> str:
    """One line: ``Remove small: volume 50 µm³, structures 1, 2``."""
    names = [name for name in ("structures", *_plain(type(step))) if not _is_understood(step, name)]
    told = (_told(name, getattr(step, name), unit_of(step, name, flat)) for name in names)
    return ": ".join(filter(None, (title(type(step)), ", ".join(filter(None, told)))))


def _is_understood(step: Step, name: str) -> bool:
    """Whether a parameter goes without saying: steps that weigh have many, which are seldom changed."""
    return (
        isinstance(step, ProbabilityStep)
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


ALL = "all"


class StepForm(QWidget):
    """Shows one step at a time; `step` is what the form says, and ``form[name]`` magicgui's widget of a parameter."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._kind: Any = None
        self._unit: dict[str, Any] = {}
        self._form: SettingsForm | None = None
        self.structures = combo()

    def __getitem__(self, name: str) -> Any:
        if self._form is None:
            raise KeyError(name)
        return self._form[name]

    def show_step(self, step: Step | None, structures: tuple[Structure, ...] = (), flat: bool = False) -> None:
        """Show a step's parameters; None leaves the form empty."""
        if self._form is not None:
            self._form.setParent(None)
            self._form.deleteLater()
            self._form = None
        if step is None:
            return
        self._kind = type(step)
        self._unit = {"unit": step.unit} if hasattr(step, "unit") else {}
        shown = [replace(p, unit=unit_of(step, p.name, flat)) for p in parameters_of(self._kind, _plain(self._kind))]
        self._form = SettingsForm(shown, step.model_dump())
        self._form.changed.connect(self.changed)
        self.structures = _structures_box(step.structures, structures)
        self.structures.editTextChanged.connect(lambda: self.changed.emit())
        self._form.rows.addRow("Structures", self.structures)
        self._column.addWidget(self._form)

    @property
    def step(self) -> Step:
        """The step with the parameters that the form shows."""
        values = self._form.values if self._form is not None else {}
        step: Step = self._kind(**values, structures=read_labels(self.structures.currentText()), **self._unit)
        return step


def _structures_box(value: tuple[int, ...], structures: tuple[Structure, ...]) -> QComboBox:
    """All structures, one of them, or several labels with commas between."""
    box = combo()
    box.setEditable(True)
    box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
    box.addItem(ALL)
    box.addItems([display_text(f"{structure.label} {structure.name}") for structure in structures])
    box.setToolTip("The structures to work on: all, one of them, or labels with commas between, such as 1, 3.")
    text = ", ".join(map(str, value)) or ALL
    index = next((i for i in range(box.count()) if box.itemText(i).split()[0] == text), -1)
    box.setCurrentIndex(index)
    if index < 0:
        box.setEditText(text)
    return box


def read_labels(text: str) -> tuple[int, ...]:
    """The labels that a text begins with or lists; empty for ``all``, and for what is no label."""
    parts = (re.match(r"\s*(\d+)", part) for part in text.split(","))
    return tuple(int(part[1]) for part in parts if part is not None)
