"""A part of the Metrics widget, in which limits are chosen and edited."""

from __future__ import annotations

from qtpy.QtCore import QLocale, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QWidget
from superqt import QCollapsible
from superqt.utils import signals_blocked

from napari_unetseg.core.metrics.columns import KINDS
from napari_unetseg.core.metrics.limits import PRESETS, TITLES, Limit, Limits
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.settings import help_of
from napari_unetseg.plugin.parts.fields import combo, form, narrow

EDITABLE = (
    "dice", "iou", "precision", "sensitivity", "specificity", "small_recall", "nsd", "hausdorff", "hausdorff95", "assd",
)  # fmt: skip
OWN, NONE = "my own", "none"
Pair = tuple[QDoubleSpinBox, QDoubleSpinBox]


class LimitsForm(QCollapsible):
    """A set of limits, each of which can be edited on both its levels, and the tolerance of the surface figures.

    `preset`, which chooses a set, is left for a form to place.
    """

    changed = Signal()
    """Of the limits."""
    tolerance_changed = Signal()

    def __init__(self) -> None:
        super().__init__("Edit limits")
        self.setDuration(0)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self._unit = "mm"
        self.preset = combo()
        for name in ("planning", *(name for name in PRESETS if name != "planning")):
            self.preset.addItem(TITLES[name], name)
        self.preset.addItem(OWN, None)
        self.preset.addItem(NONE, NONE)
        self.preset.setToolTip(
            "Rows turn green where all limits are met, amber where the second level is met or, without one, where a\n"
            "limit is missed by a tenth or less, and red otherwise. On the command line: evaluate --limits."
        )
        inside = QWidget()
        self._fields = form()
        inside.setLayout(self._fields)
        self.levels = {metric: self._pair(metric) for metric in EDITABLE}
        self.tolerance = _spin_box("a voxel's side")
        self.tolerance.setToolTip(help_of(MetricSettings, "tolerance"))
        self._fields.addRow("NSD tolerance", self.tolerance)
        self.addWidget(inside)
        self.preset.currentIndexChanged.connect(self._take_preset)
        self.tolerance.valueChanged.connect(lambda: self.tolerance_changed.emit())
        self._take_preset()

    @property
    def boxes(self) -> dict[str, QDoubleSpinBox]:
        """The box of each metric's first level."""
        return {metric: good for metric, (good, _) in self.levels.items()}

    def _pair(self, metric: str) -> Pair:
        distance = Limit(metric, 0).is_distance
        better = "Smaller" if distance else "Larger"
        good, acceptable = _spin_box("off"), _spin_box("–")
        good.setToolTip(f"{KINDS[metric].tip}. {better} is better; 0 switches it off.")
        acceptable.setToolTip("A second level: beyond it, a row is not good, but acceptable. 0: none.")
        row = QHBoxLayout()
        for box in (good, acceptable):
            box.valueChanged.connect(self._edited)
            if not distance:
                box.setRange(0, 1)
                box.setSingleStep(0.01)
            row.addWidget(box, 1)
        self._fields.addRow(f"{KINDS[metric].title} {'below' if distance else 'above'}", row)
        return good, acceptable

    @property
    def limits(self) -> Limits:
        """The limits as they are shown; a distance is in the unit that was last given to `set_unit`."""
        name = self.preset.currentData()
        if name in PRESETS:
            return PRESETS[name]
        return tuple(self._limit(metric) for metric, box in self.boxes.items() if box.value() > 0)

    def _limit(self, metric: str) -> Limit:
        good, acceptable = self.levels[metric]
        unit = self._unit if Limit(metric, 0).is_distance else ""
        return Limit(metric, good.value(), unit, acceptable.value() or None)

    def set_unit(self, unit: str) -> None:
        """Show distances in the unit of the table."""
        limits, self._unit = self.limits, unit
        self._show(limits)

    def _take_preset(self) -> None:
        name = self.preset.currentData()
        if name is not None:
            self._show(PRESETS.get(name, ()))
        self.changed.emit()

    def _edited(self) -> None:
        with signals_blocked(self.preset):
            self.preset.setCurrentText(OWN)
        self.changed.emit()

    def _show(self, limits: Limits) -> None:
        given = {limit.metric: limit.in_unit(self._unit) for limit in limits}
        for metric, boxes in self.levels.items():
            limit = given.get(metric)
            values = (0.0, 0.0) if limit is None else (limit.value, limit.acceptable or 0.0)
            for box, value in zip(boxes, values, strict=True):
                with signals_blocked(box):
                    box.setSuffix(f" {self._unit}" if Limit(metric, 0).is_distance else "")
                    box.setValue(value)
        self.tolerance.setSuffix(f" {self._unit}")


class ShortNumber(QDoubleSpinBox):
    """A number with the digits that it has."""

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """At most four of them."""
        return f"{value:.4g}"


def _spin_box(zero: str) -> QDoubleSpinBox:
    """A number that says `zero` at 0."""
    box = ShortNumber()
    box.setLocale(QLocale.c())
    box.setRange(0, 1e9)
    box.setDecimals(3)
    box.setSpecialValueText(zero)
    box.setKeyboardTracking(False)
    narrow(box)
    return box
