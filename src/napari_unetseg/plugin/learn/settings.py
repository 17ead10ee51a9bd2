"""Settings of learning: the model that it begins with, the time for a U-Net, and more that is seldom opened."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QSpinBox, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_unetseg.core.annotations.sparse_labels import BACKGROUND
from napari_unetseg.core.models.advice import Advice, follow
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.fine_tuned_card import MOST_WEIGHT, FineTuneSettings, why_nothing_is_kept
from napari_unetseg.core.settings import help_of
from napari_unetseg.plugin.parts.fields import form, note
from napari_unetseg.plugin.parts.model_picker import StartBox

DEFAULTS = FineTuneSettings()
WHEN = {
    "whole": (
        " Each step takes longer, and it wants more paint. It helps where the start has seen images much like yours. "
        "As always it is not used where it is worse on held-out paint."
    ),
    "keep_structures": (
        " Each step takes longer: a frozen copy of the start is asked too. It helps where you mend one structure, or "
        "add one, and want the others as they were. The quick model shows only what is painted; the U-Net shows all."
    ),
}
"""What two settings cost, and when they help."""


class LearnSettings(QCollapsible):
    """Controls for what a `FineTuneSettings` says beside its time."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__("More settings")
        self._start: ModelCard | None = None
        self._minutes = 0.0
        self.weight, self.boundary, self.scales, self.seed = QDoubleSpinBox(), QDoubleSpinBox(), QCheckBox(), QSpinBox()
        self.whole, self.keep = QCheckBox("the start itself"), QCheckBox("and keep its structures")
        self.about = note()
        self.weight.setRange(1, MOST_WEIGHT)
        self.weight.setSuffix(" ×")
        self.boundary.setRange(0, 1)
        self.scales.setText("several scales")
        self.seed.setRange(0, 2**31 - 1)
        for box, step in ((self.weight, 0.5), (self.boundary, 0.1)):
            box.setDecimals(1)
            box.setSingleStep(step)
        self._lay_out()
        self._show(DEFAULTS)
        self._explain()
        for signal in (
            self.whole.toggled,
            self.keep.toggled,
            self.weight.valueChanged,
            self.boundary.valueChanged,
            self.scales.toggled,
            self.seed.valueChanged,
        ):
            signal.connect(self._tell)

    def _lay_out(self) -> None:
        inside = QWidget()
        rows = form()
        rows.setContentsMargins(0, 0, 0, 4)
        inside.setLayout(rows)
        controls = {
            "whole": ("Train", self.whole),
            "keep_structures": ("", self.keep),
            "": ("", self.about),
            "structure_weight": ("Structures", self.weight),
            "boundary_weight": ("Boundaries", self.boundary),
            "several_scales": ("", self.scales),
            "seed": ("Seed", self.seed),
        }
        for name, (text, control) in controls.items():
            rows.addRow(text, control)
            if name:
                control.setToolTip(help_of(FineTuneSettings, name) + WHEN.get(name, ""))
        self.addWidget(inside)

    def settings(self, minutes: float) -> FineTuneSettings:
        """All settings, with a time to train the U-Net for; 0: the light head alone."""
        return FineTuneSettings(
            minutes=minutes or None,
            steps=None if minutes else 0,
            seed=self.seed.value(),
            structure_weight=self.weight.value(),
            boundary_weight=self.boundary.value(),
            whole=self.whole.isChecked(),
            keep_structures=self.keep.isChecked(),
            several_scales=self.scales.isChecked(),
        )

    def set_start(self, start: ModelCard | None, minutes: float) -> None:
        """What learning begins with, and how long a U-Net is trained: not everything can be asked for then."""
        self._start, self._minutes = start, minutes
        can_keep = why_nothing_is_kept(start) is None
        if not can_keep:
            self.keep.setChecked(False)
        self.keep.setEnabled(can_keep)
        self.whole.setText("the start itself" if start is not None else "an ordinary U-Net, without a start")
        self._explain()

    @property
    def kept_names(self) -> dict[int, str]:
        """Names by painted value of the structures that learning goes on with; empty where none are kept."""
        if self._start is None or not self.keep.isChecked():
            return {}
        return {structure.label + BACKGROUND: structure.name for structure in self._start.structures}

    def follow(self, advice: Iterable[Advice]) -> None:
        """Set what the advice says, and show it."""
        self._show(follow(self.settings(0), advice))
        self.expand(animate=False)

    def _show(self, settings: FineTuneSettings) -> None:
        self.whole.setChecked(settings.whole)
        self.keep.setChecked(settings.keep_structures)
        self.weight.setValue(settings.structure_weight)
        self.boundary.setValue(settings.boundary_weight)
        self.scales.setChecked(settings.several_scales)
        self.seed.setValue(settings.seed)

    def _tell(self) -> None:
        self._explain()
        self.changed.emit()

    def _explain(self) -> None:
        """One line on the first two settings, and whether they can be changed."""
        keeps, is_3d = self.keep.isChecked(), self._start is not None and self._start.dimensions == 3
        self.whole.setEnabled(not keeps and not is_3d)
        self.about.setText(self._words(keeps=keeps, is_3d=is_3d))

    def _words(self, *, keeps: bool, is_3d: bool) -> str:
        if (keeps or self.whole.isChecked()) and not self._minutes:
            return "Without effect: Train U-Net is set to not at all."
        if keeps:
            kept = ", ".join(f"{name} ({value})" for value, name in self.kept_names.items())
            return f"Kept, by their number in the painted layer: {kept}. New structures follow."
        reason = why_nothing_is_kept(self._start)
        if is_3d:
            return f"A 3D start is always trained itself. {reason or ''}".strip()
        return reason or "Off: a U-Net is trained beside the start, and knows only what is painted."


class LearnChoices(QWidget):
    """*Start from*, *Train U-Net* and *More settings*, which depend on each other."""

    start_changed = Signal()
    settings_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.start = StartBox()
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0, 600)
        self.minutes.setValue(1.0)
        self.minutes.setDecimals(1)
        self.minutes.setSingleStep(0.5)
        self.minutes.setSuffix(" min")
        self.minutes.setSpecialValueText("not at all")
        self.minutes.setToolTip(
            "How long to train a U-Net on top, when the quick model has predicted everything. It is kept unless it "
            "is worse on held-out paint. A new stroke interrupts it."
        )
        self.more = LearnSettings()
        rows = form()
        rows.addRow("Start from", self.start)
        rows.addRow("Train U-Net", self.minutes)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(rows)
        column.addWidget(self.more)
        self.start.changed.connect(self._show)
        self.minutes.valueChanged.connect(self._show)
        self.start.changed.connect(self.start_changed)
        self.more.changed.connect(self.settings_changed)
        self._show()

    @property
    def settings(self) -> FineTuneSettings:
        """How to train."""
        return self.more.settings(self.minutes.value())

    def _show(self) -> None:
        self.more.set_start(self.start.card, self.minutes.value())
