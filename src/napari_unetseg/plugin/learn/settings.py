"""Settings of learning: the model that it begins with, the time for a U-Net, and more that is seldom opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_unetseg.core.annotations.sparse_labels import BACKGROUND
from napari_unetseg.core.models.advice import Advice, follow
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.catalogue import list_models
from napari_unetseg.core.models.fine_tuned_card import (
    FineTuneSettings,
    starting_model,
    why_not_begun_with,
    why_nothing_is_kept,
)
from napari_unetseg.plugin.parts.fields import form, note
from napari_unetseg.plugin.parts.model_picker import CARD, ModelPicker
from napari_unetseg.plugin.parts.settings_form import SettingsForm, parameters_of
from napari_unetseg.plugin.parts.text import tip

NAMES = ("whole", "keep_structures", "structure_weight", "boundary_weight", "several_scales", "learning_rate", "seed")
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
        self.about = note()
        shown = [replace(p, help=p.help + WHEN.get(p.name, "")) for p in parameters_of(FineTuneSettings, NAMES)]
        self.form = SettingsForm(shown, asdict(FineTuneSettings()), {"whole": "Train"})
        self.form.rows.setContentsMargins(0, 0, 0, 4)
        self.form.rows.insertRow(NAMES.index("structure_weight"), "", self.about)
        self.addWidget(self.form)
        self._explain()
        self.form.changed.connect(self._tell)

    def settings(self, minutes: float) -> FineTuneSettings:
        """All settings, with a time to train the U-Net for; 0: the light head alone."""
        return FineTuneSettings(minutes=minutes or None, steps=None if minutes else 0, **self.form.values)

    def set_start(self, start: ModelCard | None, minutes: float) -> None:
        """What learning begins with, and how long a U-Net is trained: not everything can be asked for then."""
        self._start, self._minutes = start, minutes
        can_keep, keep = why_nothing_is_kept(start) is None, self.form["keep_structures"]
        if not can_keep:
            keep.value = False
        keep.enabled = can_keep
        self.form["whole"].text = "the start itself" if start is not None else "an ordinary U-Net, without a start"
        self._explain()

    @property
    def kept_names(self) -> dict[int, str]:
        """Names by painted value of the structures that learning goes on with; empty where none are kept."""
        if self._start is None or not self.form["keep_structures"].value:
            return {}
        return {structure.label + BACKGROUND: structure.name for structure in self._start.structures}

    def follow(self, advice: Iterable[Advice]) -> None:
        """Set what the advice says, and show it."""
        self.form.show_values(asdict(follow(self.settings(0), advice)))
        self.expand(animate=False)

    def _tell(self) -> None:
        self._explain()
        self.changed.emit()

    def _explain(self) -> None:
        """One line on the first two settings, and whether they can be changed."""
        keeps, is_3d = self.form["keep_structures"].value, self._start is not None and self._start.dimensions == 3
        self.form["whole"].enabled = not keeps and not is_3d
        self.about.setText(self._words(keeps=keeps, is_3d=is_3d))

    def _words(self, *, keeps: bool, is_3d: bool) -> str:
        if (keeps or self.form["whole"].value) and not self._minutes:
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
        cards = [card for card in list_models() if len(card.channels) == 1]
        self.start = ModelPicker(cards, none="nothing", file_tip="Begin with a model file (.safetensors).")
        self.start.box.setToolTip(
            "What is known when learning begins: a 2D model lends its features, a 3D one is itself trained on stacks;\n"
            "or an earlier result."
        )
        self.start.choose(starting_model(cards))
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
        self.start.model_changed.connect(self._show)
        self.minutes.valueChanged.connect(self._show)
        self.start.model_changed.connect(self.start_changed)
        self.more.changed.connect(self.settings_changed)
        self._show()

    def follow(self, advice: Iterable[Advice]) -> None:
        """Set what the advice says, the time to train among it, and show it."""
        wanted = follow(self.settings, advice := tuple(advice)).minutes
        self.minutes.setValue(wanted or 0.0)
        self.more.follow(advice)

    def see(self, channels: int, *, is_2d: bool) -> None:
        """Offer only the starts that can see such images; the others say in their tool tip why they cannot."""
        box, is_lost = self.start.box, False
        for index in range(box.count()):
            reason = why_not_begun_with(box.itemData(index, CARD), channels, is_2d=is_2d)
            item = box.model().item(index)
            item.setEnabled(reason is None)
            item.setToolTip(tip(reason) if reason is not None else "")
            is_lost = is_lost or (reason is not None and index == box.currentIndex())
        if is_lost:
            self.start.choose(starting_model(self.start.cards))

    @property
    def settings(self) -> FineTuneSettings:
        """How to train."""
        return self.more.settings(self.minutes.value())

    def _show(self) -> None:
        self.more.set_start(self.start.card, self.minutes.value())
