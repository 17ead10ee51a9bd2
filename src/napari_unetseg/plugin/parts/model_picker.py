"""Pickers of a model: bundled ones by name, others by file, with their cards' words; or nothing, to begin learning."""

from __future__ import annotations

from pathlib import Path

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.catalogue import find_model, list_models, picture_of, read_card
from napari_unetseg.core.models.fine_tuned_card import starting_model
from napari_unetseg.errors import ModelError
from napari_unetseg.plugin.parts.fields import combo, note
from napari_unetseg.plugin.parts.text import card_details, card_lines

PICTURE = 96
"""Pixels of the longer side of a model's picture."""


class ModelBox(QWidget):
    """A combo box of models, a button that opens a model file, and the chosen model's card in short."""

    model_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.box = combo()
        self.box.setToolTip("What to look for.")
        self.about = note()
        self.picture = QLabel()
        self.picture.setToolTip("What the model finds in an image that it never saw.")
        self._open = QPushButton("…")
        self._open.setFixedWidth(28)
        self._open.setToolTip("Open a model file (.safetensors).")
        self._open.clicked.connect(self._choose_file)
        for card in list_models():
            if not card.is_start:  # there is nothing that it could find
                self._offer(card.name, card)
        self._lay_out()
        self.box.currentIndexChanged.connect(self._show)
        self._show()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.box, 1)
        row.addWidget(self._open)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(row)
        card = QHBoxLayout()
        card.setSpacing(8)
        card.addWidget(self.about, 1, Qt.AlignmentFlag.AlignTop)
        card.addWidget(self.picture, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(card)

    @property
    def card(self) -> ModelCard | None:
        """The chosen model's card, or None where there is no model."""
        data = self.box.currentData()
        return data[1] if data else None

    @property
    def model(self) -> str:
        """The bundled model's name, or the path of a model file."""
        return str(self.box.currentData()[0])

    @property
    def cards(self) -> list[ModelCard]:
        """The cards of all models on offer."""
        return [self.box.itemData(index)[1] for index in range(self.box.count())]

    @property
    def offers(self) -> list[tuple[str, ModelCard]]:
        """Name or path, and card, of all models on offer."""
        return [self.box.itemData(index)[:2] for index in range(self.box.count())]

    def choose(self, card: ModelCard) -> None:
        """Choose one of `cards`."""
        self.box.setCurrentIndex(self.cards.index(card))

    def add_file(self, path: str | Path) -> None:
        """Offer a model file and choose it; shows one notification where it is not a model file."""
        try:
            card = read_card(find_model(path))
        except ModelError as error:
            show_error(str(error))
        else:
            self._offer(str(path), card)
            self.box.setCurrentIndex(self.box.count() - 1)

    def _offer(self, model: str, card: ModelCard) -> None:
        self.box.addItem(card.title, (model, card, picture_of(model)))

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a model", "", "U-Net models (*.safetensors)")
        if path:
            self.add_file(path)

    def _show(self) -> None:
        self.about.setText(card_lines(self.card) if self.card else "No model is here yet: open a model file.")
        self.about.setToolTip(card_details(self.card) if self.card else "")
        self._show_picture()
        self.model_changed.emit()

    def _show_picture(self) -> None:
        path = self.box.currentData()[2] if self.card else None
        self.picture.setVisible(path is not None)
        if path is not None:
            fitted = QPixmap(str(path)).scaled(
                PICTURE, PICTURE, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            )
            self.picture.setPixmap(fitted)


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
