"""The part of the *Learn* widget that is seldom opened: how the paint is weighed, and the seed."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QSpinBox, QWidget
from superqt import QCollapsible

from napari_unetseg.core.fine_tuning import MOST_WEIGHT, FineTuneSettings
from napari_unetseg.core.metrics import Advice, follow
from napari_unetseg.core.settings import help_of
from napari_unetseg.plugin.fields import form

DEFAULTS = FineTuneSettings()


class LearnSettings(QCollapsible):
    """Controls for what a `FineTuneSettings` says beside its time."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__("More settings")
        self.weight, self.boundary, self.scales, self.seed = QDoubleSpinBox(), QDoubleSpinBox(), QCheckBox(), QSpinBox()
        self.weight.setRange(1, MOST_WEIGHT)
        self.weight.setSuffix(" ×")
        self.boundary.setRange(0, 1)
        self.scales.setText("several scales")
        self.seed.setRange(0, 2**31 - 1)
        for box, step in ((self.weight, 0.5), (self.boundary, 0.1)):
            box.setDecimals(1)
            box.setSingleStep(step)
        inside = QWidget()
        rows = form()
        rows.setContentsMargins(0, 0, 0, 4)
        inside.setLayout(rows)
        controls = {
            "structure_weight": ("Structures", self.weight),
            "boundary_weight": ("Boundaries", self.boundary),
            "several_scales": ("", self.scales),
            "seed": ("Seed", self.seed),
        }
        for name, (text, control) in controls.items():
            control.setToolTip(help_of(FineTuneSettings, name))
            rows.addRow(text, control)
        self.addWidget(inside)
        self._show(DEFAULTS)
        for signal in (
            self.weight.valueChanged,
            self.boundary.valueChanged,
            self.scales.toggled,
            self.seed.valueChanged,
        ):
            signal.connect(lambda: self.changed.emit())

    def settings(self, minutes: float) -> FineTuneSettings:
        """All settings, with a time to train the U-Net for; 0: the light head alone."""
        return FineTuneSettings(
            minutes=minutes or None,
            steps=None if minutes else 0,
            seed=self.seed.value(),
            structure_weight=self.weight.value(),
            boundary_weight=self.boundary.value(),
            several_scales=self.scales.isChecked(),
        )

    def follow(self, advice: Iterable[Advice]) -> None:
        """Set what the advice says, and show it."""
        self._show(follow(self.settings(0), advice))
        self.expand(animate=False)

    def _show(self, settings: FineTuneSettings) -> None:
        self.weight.setValue(settings.structure_weight)
        self.boundary.setValue(settings.boundary_weight)
        self.scales.setChecked(settings.several_scales)
        self.seed.setValue(settings.seed)
