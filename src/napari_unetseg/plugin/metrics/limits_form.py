"""A part of the Metrics widget, in which limits are chosen and edited."""

from __future__ import annotations

from qtpy.QtCore import QLocale, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QWidget
from superqt import QCollapsible
from superqt.utils import signals_blocked

from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.settings import help_of
from napari_unetseg.plugin.metrics.columns import KINDS
from napari_unetseg.plugin.metrics.limits import PRESETS, Limit
from napari_unetseg.plugin.parts.fields import combo, form

EDITABLE = ("dice", "iou", "precision", "sensitivity", "nsd", "hausdorff", "hausdorff95", "assd")
OWN, NONE = "my own", "none"


class LimitsForm(QCollapsible):
    """A set of limits, each of which can be edited, and the tolerance of the surface figures.

    `preset`, which chooses a set, is left for a form to place.
    """

    changed = Signal()
    """Of the limits."""
    tolerance_changed = Signal()

    def __init__(self) -> None:
        super().__init__("Edit limits")
        self.setDuration(0)
        self._unit = "mm"
        self.preset = combo()
        self.preset.addItems([*(name.capitalize() for name in PRESETS), OWN, NONE])
        self.preset.setToolTip(
            "Rows turn green where all limits are met, amber where one is missed by a tenth or less."
        )
        inside = QWidget()
        self._fields = form()
        inside.setLayout(self._fields)
        self.boxes = {metric: self._box(metric) for metric in EDITABLE}
        self.tolerance = _spin_box("a voxel's side")
        self.tolerance.setToolTip(help_of(MetricSettings, "tolerance"))
        self._fields.addRow("NSD tolerance", self.tolerance)
        self.addWidget(inside)
        self.preset.currentIndexChanged.connect(self._take_preset)
        self.tolerance.valueChanged.connect(lambda: self.tolerance_changed.emit())
        self._take_preset()

    def _box(self, metric: str) -> QDoubleSpinBox:
        box = _spin_box("off")
        distance = Limit(metric, 0).is_distance
        box.setToolTip(f"{KINDS[metric].tip}. {'Smaller' if distance else 'Larger'} is better; 0 switches it off.")
        box.valueChanged.connect(self._edited)
        if not distance:
            box.setRange(0, 1)
            box.setSingleStep(0.01)
        self._fields.addRow(f"{KINDS[metric].title} {'below' if distance else 'above'}", box)
        return box

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits as they are shown; a distance is in the unit that was last given to `set_unit`."""
        name = self.preset.currentText().lower()
        if name in PRESETS:
            return PRESETS[name]
        boxes = {metric: box.value() for metric, box in self.boxes.items()}
        units = {metric: self._unit if Limit(metric, 0).is_distance else "" for metric in boxes}
        return tuple(Limit(metric, value, units[metric]) for metric, value in boxes.items() if value > 0)

    def set_unit(self, unit: str) -> None:
        """Show distances in the unit of the table."""
        limits, self._unit = self.limits, unit
        self._show(limits)

    def _take_preset(self) -> None:
        name = self.preset.currentText().lower()
        if name != OWN:
            self._show(PRESETS.get(name, ()))
        self.changed.emit()

    def _edited(self) -> None:
        with signals_blocked(self.preset):
            self.preset.setCurrentText(OWN)
        self.changed.emit()

    def _show(self, limits: tuple[Limit, ...]) -> None:
        given = {limit.metric: limit for limit in limits}
        for metric, box in self.boxes.items():
            limit = given.get(metric)
            distance = Limit(metric, 0).is_distance
            with signals_blocked(box):
                box.setSuffix(f" {self._unit}" if distance else "")
                box.setValue(((limit.value_in(self._unit) if distance else limit.value) or 0.0) if limit else 0.0)
        self.tolerance.setSuffix(f" {self._unit}")


def _spin_box(zero: str) -> QDoubleSpinBox:
    """A number that says `zero` at 0."""
    box = QDoubleSpinBox()
    box.setLocale(QLocale.c())
    box.setRange(0, 1e9)
    box.setDecimals(3)
    box.setSpecialValueText(zero)
    box.setKeyboardTracking(False)
    return box
