"""What learning begins with: a bundled model that fits, a file, or nothing."""

from __future__ import annotations

from pathlib import Path

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.catalogue import list_models, read_card
from napari_unetseg.core.models.fine_tuned_card import starting_model
from napari_unetseg.errors import ModelError
from napari_unetseg.plugin.fields import combo

CARD = int(Qt.ItemDataRole.UserRole) + 1
"""Where the box has a model's card, beside its name."""


class StartBox(QWidget):
    """A combo box of models to begin with, and a button that opens a model file."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.box = combo()
        self.box.setToolTip(
            "What is known when learning begins: a 2D model lends its features, a 3D one is itself trained on stacks;\n"
            "or an earlier result."
        )
        self.box.addItem("nothing", None)
        cards = [card for card in list_models() if len(card.channels) == 1]
        for card in cards:
            self._offer(card.name, card)
        self.box.setCurrentIndex(max(0, self.box.findData(starting_model(cards))))
        button = QPushButton("…")
        button.setFixedWidth(28)
        button.setToolTip("Begin with a model file (.safetensors).")
        button.clicked.connect(self._choose_file)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.box, 1)
        row.addWidget(button)
        self.box.currentIndexChanged.connect(self.changed)

    @property
    def model(self) -> str | None:
        """Name or path of the model; None for nothing."""
        data = self.box.currentData()
        return None if data is None else str(data)

    @property
    def card(self) -> ModelCard | None:
        """That of the model; None for nothing."""
        card: ModelCard | None = self.box.currentData(CARD)
        return card

    def add_file(self, path: str | Path) -> None:
        """Offer a model file and choose it; shows one notification where it is not a model file."""
        try:
            card = read_card(Path(path))
        except ModelError as error:
            show_error(str(error))
        else:
            self._offer(str(path), card)
            self.box.setCurrentIndex(self.box.count() - 1)

    def _offer(self, model: str, card: ModelCard) -> None:
        self.box.addItem(card.title if card.dimensions == 2 or "3D" in card.title else f"{card.title}, 3D", model)
        self.box.setItemData(self.box.count() - 1, card, CARD)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Begin with a model", "", "U-Net models (*.safetensors)")
        if path:
            self.add_file(path)
