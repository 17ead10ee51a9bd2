"""Pickers of a model: bundled ones by name, others by file, or none; and one that shows what the model's card says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.catalogue import find_model, list_models, picture_of, read_card
from napari_unetseg.core.text import display_text
from napari_unetseg.errors import ModelError
from napari_unetseg.plugin.bridge import tell
from napari_unetseg.plugin.parts.fields import combo, note, rich_note
from napari_unetseg.plugin.parts.text import card_details, card_lines

CARD = int(Qt.ItemDataRole.UserRole) + 1
"""Where the box has a model's card, beside its name."""
MOST_TITLE = 100
"""Characters of a model's title in the box."""
PICTURE = 96
"""Pixels of the longer side of a model's picture."""


class ModelPicker(QWidget):
    """A combo box of models, and a button that opens a model file.

    Parameters
    ----------
    cards : iterable of ModelCard
        The bundled models on offer.
    none : str
        Where it is given, a first entry that stands for no model.
    """

    model_changed = Signal()

    def __init__(self, cards: Iterable[ModelCard], *, none: str = "", file_tip: str = "") -> None:
        super().__init__()
        self.box = combo()
        if none:
            self.box.addItem(none, None)
        for card in cards:
            self._offer(card.name, card)
        button = QPushButton("…")
        button.setFixedWidth(28)
        button.setToolTip(file_tip or "Open a model file (.safetensors).")
        button.clicked.connect(self._choose_file)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.box, 1)
        row.addWidget(button)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(6)
        self.column.addLayout(row)
        self.box.currentIndexChanged.connect(self._show)

    @property
    def card(self) -> ModelCard | None:
        """The chosen model's card, or None where there is no model."""
        card: ModelCard | None = self.box.currentData(CARD)
        return card

    @property
    def model(self) -> str | None:
        """The bundled model's name, or the path of a model file; None where there is no model."""
        name: str | None = self.box.currentData()
        return name

    @property
    def offers(self) -> list[tuple[str, ModelCard]]:
        """Name or path, and card, of all models on offer."""
        items = ((self.box.itemData(index), self.box.itemData(index, CARD)) for index in range(self.box.count()))
        return [(name, card) for name, card in items if card is not None]

    @property
    def cards(self) -> list[ModelCard]:
        """The cards of all models on offer."""
        return [card for _, card in self.offers]

    def choose(self, model: str | None) -> None:
        """Choose a model by its name or path, where it is on offer."""
        index = self.box.findData(model)
        if index >= 0:
            self.box.setCurrentIndex(index)

    def take(self, model: str) -> None:
        """Choose a model by its name or path, and offer it where it was not on offer."""
        if self.box.findData(model) < 0:
            self.add_file(model)
        self.choose(model)

    def add_file(self, path: str | Path) -> None:
        """Offer a model file and choose it; shows one notification where it is not a model file."""
        try:
            card = read_card(find_model(path))
        except ModelError as error:
            tell(error)
        else:
            with signals_blocked(self.box):
                self._offer(str(path), card)
                self.box.setCurrentIndex(self.box.count() - 1)
            self._show()

    def _offer(self, model: str, card: ModelCard) -> None:
        self.box.addItem(self._title(card), model)
        self.box.setItemData(self.box.count() - 1, card, CARD)

    def _title(self, card: ModelCard) -> str:
        title = display_text(card.title, MOST_TITLE)
        return title if card.dimensions == 2 or "3D" in title else f"{title}, 3D"

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a model", "", "U-Net models (*.safetensors)")
        if path:
            self.add_file(path)

    def _show(self) -> None:
        self.model_changed.emit()


class ModelBox(ModelPicker):
    """Chooses what to look for, and shows the chosen model's card in short, and its picture.

    A model that is proposed may be one that was not made for such images: then `warn` says so, and nothing is segmented
    until a person has chosen one.
    """

    chosen_by_hand = Signal()
    """A person chose: an entry of the box, the same one again, or a file."""
    learn_asked = Signal()
    """A person would rather have a model made."""

    def __init__(self) -> None:
        super().__init__(card for card in list_models() if not card.is_start)  # a start finds nothing by itself
        self.box.setToolTip("What to look for.")
        self.about, self.picture = rich_note(), QLabel()
        self.picture.setToolTip("What the model finds in an image that it never saw.")
        card = QHBoxLayout()
        card.setSpacing(8)
        card.addWidget(self.about, 1, Qt.AlignmentFlag.AlignTop)
        card.addWidget(self.picture, 0, Qt.AlignmentFlag.AlignTop)
        self.column.addLayout(card)
        self.warning, self.learn = note(), QPushButton("Learn")
        self.learn.setToolTip("Paint what you look for in a few slices, and make a model for such images.")
        self.learn.clicked.connect(self.learn_asked)
        self.column.addWidget(self.warning)
        self.column.addWidget(self.learn)
        self.box.activated.connect(self.chosen_by_hand)
        self.warn("")
        self._show()

    @property
    def is_doubted(self) -> bool:
        """Whether the chosen model was not made for such images, and no person chose it."""
        return bool(self.warning.text())

    def warn(self, text: str) -> None:
        """Say why no model is proposed with confidence, and what to do; nothing where the text is empty."""
        self.warning.setText(f"{text}\nCompare models, choose one yourself, or learn a new one." if text else "")
        self.warning.setVisible(bool(text))
        self.learn.setVisible(bool(text))

    def add_file(self, path: str | Path) -> None:
        """Offer a model file and choose it, as by hand; shows one notification where it is not a model file."""
        count = self.box.count()
        super().add_file(path)
        if self.box.count() > count:
            self.chosen_by_hand.emit()

    def choose_card(self, card: ModelCard) -> None:
        """Choose the model of one of `cards`."""
        self.choose(next(name for name, offered in self.offers if offered == card))

    def _title(self, card: ModelCard) -> str:
        return display_text(card.title, MOST_TITLE)  # what else there is to know stands below

    def _show(self) -> None:
        self.about.setText(card_lines(self.card) if self.card else "No model is here yet: open a model file.")
        self.about.setToolTip(card_details(self.card) if self.card else "")
        self._show_picture()
        super()._show()

    def _show_picture(self) -> None:
        path = picture_of(self.model) if self.model is not None else None
        self.picture.setVisible(path is not None)
        if path is not None:
            fitted = QPixmap(str(path)).scaled(
                PICTURE, PICTURE, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            )
            self.picture.setPixmap(fitted)
