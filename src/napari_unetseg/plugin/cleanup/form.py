"""Clean-up steps as the widget offers them, and a form for any of them, made from the fields of its record."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, get_args

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from qtpy.QtCore import QLocale, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from napari_unetseg.core.steps import ProbabilityStep, Step
from napari_unetseg.core.volume import Grid, Structure
from napari_unetseg.plugin.parts.fields import combo, form
from napari_unetseg.plugin.parts.text import quantity

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
SMALLEST, LARGEST = 1e-4, 1e12
"""What a box of numbers can hold."""


class PlainNumber(QDoubleSpinBox):
    """A number with the digits that it has."""

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """Without zeros at the end."""
        return f"{value:.6g}"


@dataclass(frozen=True)
class Editor:
    """A widget for one parameter: what it says, and the signal of its changes."""

    widget: QWidget
    value: Callable[[], Any]
    changed: Any


class StepForm(QWidget):
    """Shows one step at a time; `step` is what the form says."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._kind: Any = None
        self._unit: dict[str, Any] = {}
        self.editors: dict[str, Editor] = {}

    def show_step(self, step: Step | None, structures: tuple[Structure, ...] = (), flat: bool = False) -> None:
        """Show a step's parameters; None leaves the form empty."""
        while self._column.count():
            self._column.takeAt(0).widget().deleteLater()
        self.editors = {}
        if step is None:
            return
        self._kind = type(step)
        self._unit = {"unit": step.unit} if hasattr(step, "unit") else {}
        inside, rows = QWidget(), form()
        inside.setLayout(rows)
        for name, field in sorted(parameters(self._kind).items(), key=lambda item: item[0] == "structures"):
            editor = _editor(name, field, getattr(step, name), structures, unit_of(step, name, flat))
            if field.description:
                editor.widget.setToolTip(field.description)
            editor.changed.connect(lambda *_: self.changed.emit())
            rows.addRow("" if isinstance(editor.widget, QCheckBox) else _words(name), editor.widget)
            self.editors[name] = editor
        self._column.addWidget(inside)

    @property
    def step(self) -> Step:
        """The step with the parameters that the form shows."""
        values = {name: editor.value() for name, editor in self.editors.items()}
        step: Step = self._kind(**values, **self._unit)
        return step


def _editor(name: str, field: FieldInfo, value: Any, structures: tuple[Structure, ...], unit: str) -> Editor:
    if name == "structures":
        return _labels(value, structures)
    if isinstance(value, bool):
        return _flag(name, value)
    if isinstance(value, str):
        return _choice(value, get_args(field.annotation))
    if isinstance(value, tuple):
        return _triple(value)
    return _number(field, value, unit) if isinstance(value, float) else _count(field, value)


def _labels(value: tuple[int, ...], structures: tuple[Structure, ...]) -> Editor:
    """All structures, one of them, or several labels with commas between."""
    box = combo()
    box.setEditable(True)
    box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
    box.addItem(ALL)
    box.addItems([f"{structure.label} {structure.name}" for structure in structures])
    box.setToolTip("The structures to work on: all, one of them, or labels with commas between, such as 1, 3.")
    text = ", ".join(map(str, value)) or ALL
    index = next((i for i in range(box.count()) if box.itemText(i).split()[0] == text), -1)
    box.setCurrentIndex(index)
    if index < 0:
        box.setEditText(text)
    return Editor(box, lambda: read_labels(box.currentText()), box.editTextChanged)


def read_labels(text: str) -> tuple[int, ...]:
    """The labels that a text begins with or lists; empty for ``all``, and for what is no label."""
    parts = (re.match(r"\s*(\d+)", part) for part in text.split(","))
    return tuple(int(part[1]) for part in parts if part is not None)


def _flag(name: str, value: bool) -> Editor:
    box = QCheckBox(_words(name).lower())
    box.setChecked(value)
    return Editor(box, box.isChecked, box.toggled)


def _choice(value: str, choices: tuple[str, ...]) -> Editor:
    box = combo()
    box.addItems(choices)
    box.setCurrentText(value)
    return Editor(box, box.currentText, box.currentIndexChanged)


def _count(field: FieldInfo, value: int) -> Editor:
    box = QSpinBox()
    box.setRange(next((limit.ge for limit in field.metadata if isinstance(limit, Ge)), 0), 10**6)
    box.setValue(value)
    box.setKeyboardTracking(False)
    return Editor(box, box.value, box.valueChanged)


def _number(field: FieldInfo, value: float, unit: str) -> Editor:
    """A number above 0, or from 0 on where the record says so."""
    box = PlainNumber()
    box.setLocale(QLocale.c())
    box.setDecimals(4)
    box.setRange(*_limits(field))
    box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
    box.setSuffix(f" {unit}" if unit else "")
    box.setValue(value)
    box.setKeyboardTracking(False)
    return Editor(box, box.value, box.valueChanged)


def _limits(field: FieldInfo) -> tuple[float, float]:
    """The smallest and the largest number that a record allows, to the digits that the box has."""
    low, high = SMALLEST, LARGEST
    for limit in field.metadata:
        match limit:
            case Ge():
                low = float(limit.ge)  # type: ignore[arg-type] # a number, in our records
            case Gt():
                low = float(limit.gt) + SMALLEST  # type: ignore[arg-type]
            case Le():
                high = float(limit.le)  # type: ignore[arg-type]
            case Lt():
                high = float(limit.lt) - SMALLEST  # type: ignore[arg-type]
    return low, high


def _triple(value: tuple[int, ...]) -> Editor:
    """Three whole numbers above 0: z, y, x. The signal is that of the last box, which hears the others."""
    holder, boxes = QWidget(), [QSpinBox() for _ in value]
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    for box, number in zip(boxes, value, strict=True):
        box.setRange(1, 10**6)
        box.setValue(number)
        box.setKeyboardTracking(False)
        row.addWidget(box, 1)
    for box in boxes[:-1]:
        box.valueChanged.connect(lambda: boxes[-1].valueChanged.emit(boxes[-1].value()))
    return Editor(holder, lambda: tuple(box.value() for box in boxes), boxes[-1].valueChanged)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
