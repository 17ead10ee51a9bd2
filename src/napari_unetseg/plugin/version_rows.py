"""The rows about accepted models: which one is in use, going back, saving."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetseg.core.annotations.versions import Version
from napari_unetseg.plugin.fields import combo


class VersionRows(QWidget):
    """Chooses among the accepted models."""

    reverted = Signal(int)
    """A version's number: it should be in use again."""
    save_asked = Signal(object)
    """The path of the file to write."""

    def __init__(self) -> None:
        super().__init__()
        self.box = combo()
        self.box.setToolTip("The models that were accepted, the newest last, with their Dice on held-out paint.")
        self.revert_button = QPushButton("Revert")
        self.revert_button.setToolTip("Use the chosen model again.")
        self.save_button = QPushButton("Save model…")
        self.save_button.setToolTip("Write the model in use to one file. Segment and the command line can open it.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addWidget(self.box, 1)
        row.addWidget(self.revert_button)
        column.addLayout(row)
        column.addWidget(self.save_button)
        self.current: Version | None = None
        self.box.currentIndexChanged.connect(self._refresh)
        self.revert_button.clicked.connect(lambda: self.reverted.emit(self.box.currentData().number))
        self.save_button.clicked.connect(self._choose_file)
        self.set_versions(())

    def set_versions(self, versions: Sequence[Version]) -> None:
        """Show these; the last one is in use."""
        self.box.clear()
        self.current = None
        for version in versions:
            self.add(version)
        self.setVisible(bool(versions))

    def add(self, version: Version) -> None:
        """Add a version, which is in use."""
        self.box.addItem(_words(version), version)
        self.use(version)

    def use(self, version: Version) -> None:
        """Show which version is in use."""
        self.current = version
        self.box.setCurrentIndex([self.box.itemData(i).number for i in range(self.box.count())].index(version.number))
        self.setVisible(True)
        self._refresh()

    @property
    def versions(self) -> list[Version]:
        """All that are shown."""
        return [self.box.itemData(index) for index in range(self.box.count())]

    def _refresh(self) -> None:
        chosen = self.box.currentData()
        self.revert_button.setEnabled(chosen is not None and chosen != self.current)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the model", "", "U-Net models (*.safetensors)")
        if path:
            self.save_asked.emit(Path(path).with_suffix(".safetensors"))


def _words(version: Version) -> str:
    score = f", Dice {version.mean_dice:.2f}" if version.mean_dice is not None else ""
    return f"{version.number}: {version.kind}{score}"
