"""A form for a settings record: a row a field, which magicgui makes of its type, its limits and its help text.

The record may be a frozen dataclass of `core.settings.setting` fields, or a pydantic model, such as a clean-up step::

    form = SettingsForm(parameters_of(FineTuneSettings, ("structure_weight", "seed")), asdict(FineTuneSettings()))
    form.changed.connect(learn_again)
    settings = FineTuneSettings(**form.values)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields
from functools import cache
from typing import Any, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from magicgui.application import use_app
from magicgui.widgets import create_widget
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import QLocale, Signal
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QDoubleSpinBox, QWidget

from napari_unetseg.plugin.parts.fields import form
from napari_unetseg.plugin.parts.text import without_marks

DIGITS = 4
"""Behind the point, of a number whose step follows its size."""
SMALLEST = 10.0**-DIGITS
LARGEST, MOST = 1e12, 2**31 - 1
"""What a box holds where a record names no limit: a number, and a count."""


@dataclass(frozen=True)
class Parameter:
    """One field of a settings record, as a form shows it.

    Parameters
    ----------
    annotation : type
        bool, int, float, a `Literal` of texts, or a tuple of int.
    label : str
        Beside the box; of a tick, behind it.
    limits : pair of float
        Smallest and largest value.
    step : float or None
        Of the arrows; None follows the size of the number.
    unit : str
        Behind the number.
    """

    name: str
    annotation: Any
    label: str
    help: str = ""
    limits: tuple[float, float] = (0, LARGEST)
    step: float | None = None
    unit: str = ""


def parameters_of(record: type[Any], names: Iterable[str] | None = None) -> tuple[Parameter, ...]:
    """The fields of a record as parameters: those named, in that order, or all."""
    if issubclass(record, BaseModel):
        found = {name: _of_model(name, field) for name, field in record.model_fields.items()}
    else:
        hints = get_type_hints(record)
        found = {field.name: _of_setting(field, hints[field.name]) for field in fields(record)}
    return tuple(found[name] for name in (found if names is None else names))


def in_words(name: str) -> str:
    """A field's name as a label: ``per_slice`` is ``Per slice``."""
    return name.replace("_", " ").capitalize()


def _of_setting(field: Field[Any], annotation: Any) -> Parameter:
    shown = {"label": in_words(field.name), "limits": (0, MOST if annotation is int else LARGEST), **field.metadata}
    return Parameter(field.name, annotation, **shown)


def _of_model(name: str, field: FieldInfo) -> Parameter:
    return Parameter(name, field.annotation, in_words(name), field.description or "", _limits(field))


def _limits(field: FieldInfo) -> tuple[float, float]:
    """The smallest and the largest number that a model allows, to the digits that a box has."""
    whole = field.annotation is int
    low, high = (0.0, float(MOST)) if whole else (SMALLEST, LARGEST)
    least = 1 if whole else SMALLEST
    for limit in field.metadata:
        match limit:
            case Ge():
                low = float(limit.ge)  # type: ignore[arg-type] # a number, in our records
            case Gt():
                low = float(limit.gt) + least  # type: ignore[arg-type]
            case Le():
                high = float(limit.le)  # type: ignore[arg-type]
            case Lt():
                high = float(limit.lt) - least  # type: ignore[arg-type]
    return low, high


class SettingsForm(QWidget):
    """Rows for parameters, each a widget of magicgui's; ``form[name]`` is that of one.

    Parameters
    ----------
    values : mapping
        What each parameter is at first.
    titles : mapping
        What stands beside ticks, of those beside which anything does.
    """

    changed = Signal()

    def __init__(
        self, parameters: Iterable[Parameter], values: Mapping[str, Any], titles: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.rows = form()
        self.setLayout(self.rows)
        self._widgets: dict[str, Any] = {}
        for parameter in parameters:
            widget = self._widgets[parameter.name] = _widget(parameter, values[parameter.name])
            is_tick = isinstance(widget.native, QCheckBox)
            title = (titles or {}).get(parameter.name, "") if is_tick else parameter.label
            self.rows.addRow(title, widget.native)
            widget.changed.connect(self._tell)

    def __getitem__(self, name: str) -> Any:
        return self._widgets[name]

    @property
    def values(self) -> dict[str, Any]:
        """What the form says, by name."""
        return {name: widget.value for name, widget in self._widgets.items()}

    def show_values(self, values: Mapping[str, Any]) -> None:
        """Show these; of names that are no parameter nothing. `changed` comes once, where anything does change."""
        before = self.values
        for name in values.keys() & self._widgets.keys():
            with self._widgets[name].changed.blocked():
                self._widgets[name].value = values[name]
        if self.values != before:
            self.changed.emit()

    def _tell(self, _value: object = None) -> None:
        self.changed.emit()


def _widget(parameter: Parameter, value: Any) -> Any:
    """Magicgui's widget for a parameter, in the look of the other forms."""
    kind, options = parameter.annotation, dict[str, Any]()
    if kind is bool:
        options["text"] = parameter.label[:1].lower() + parameter.label[1:]
    elif get_origin(kind) is tuple:
        options["options"] = {"min": 1, "max": MOST}
    plain = _plain_numbers() if kind is float else None
    widget = create_widget(annotation=kind, name=parameter.name, widget_type=plain, options=options)
    native = widget.native
    for box in [native] if isinstance(native, QAbstractSpinBox) else native.findChildren(QAbstractSpinBox):
        _dress(box, parameter)
    if kind in (int, float):
        widget.min, widget.max = parameter.limits
        widget.step = 1 if kind is int else parameter.step
    widget.tooltip = without_marks(parameter.help)
    widget.value = value
    return widget


def _dress(box: QAbstractSpinBox, parameter: Parameter) -> None:
    """A point whatever the country, news when all of a number is typed, its unit, and as many digits as it needs."""
    box.setLocale(QLocale.c())
    box.setKeyboardTracking(False)
    if isinstance(box, QDoubleSpinBox):
        box.setSuffix(f" {parameter.unit}" if parameter.unit else "")
        box.setDecimals(DIGITS if parameter.step is None else len(f"{parameter.step:g}".partition(".")[2]))


class _PlainNumber(QDoubleSpinBox):
    """A number with the digits that it has; all of them, where its step is fixed."""

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        return f"{value:.6g}" if self.decimals() == DIGITS else super().textFromValue(value)


@cache
def _plain_numbers() -> Any:
    """Magicgui's own number box for Qt, around ours."""
    number = use_app().get_obj("FloatSpinBox")

    class PlainNumbers(number):  # type: ignore[misc, valid-type] # magicgui knows its type when it runs
        def __init__(self, **kwargs: Any) -> None:
            super(number, self).__init__(_PlainNumber, **kwargs)

    return PlainNumbers
