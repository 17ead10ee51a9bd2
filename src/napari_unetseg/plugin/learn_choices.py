"""The rows about how learning goes on: the model that it begins with, the time for a U-Net, and more settings."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QVBoxLayout, QWidget

from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.plugin.fields import form
from napari_unetseg.plugin.learn_settings import LearnSettings
from napari_unetseg.plugin.start_box import StartBox


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
