"""Pictures, small, of what each model makes of the part in view, side by side; a click on one chooses its model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.text import display_text
from napari_unetseg.plugin.parts.fields import note
from napari_unetseg.plugin.parts.text import tip
from napari_unetseg.plugin.segment.trials import Tried

COLUMNS = 3
PICTURE = 104
"""Pixels of the longer side of a picture on the screen."""


FRAME = "QToolButton {border: 2px solid transparent; font-size: 11px;} QToolButton:checked {border-color: #4f8cff;}"


class CompareBox(QWidget):
    """A button, and a grid of pictures that fills while the models are tried."""

    asked = Signal()
    """The button was clicked."""
    chosen = Signal(object)
    """The card whose picture was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self.button = QPushButton("Compare models")
        self.button.setToolTip("Try every model that fits on the part in view, and show what each finds there.")
        self.button.clicked.connect(self.asked)
        self.pictures: list[QToolButton] = []
        self._grid = QGridLayout()
        self._grid.setSpacing(4)
        self._grid.setColumnStretch(COLUMNS, 1)
        self.problems = note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.button)
        column.addLayout(self._grid)
        column.addWidget(self.problems)
        self.clear()

    def clear(self) -> None:
        """Take away what was tried before."""
        for picture in self.pictures:
            picture.setParent(None)
            picture.deleteLater()
        self.pictures.clear()
        self.problems.setText("")
        self.problems.hide()

    def add(self, tried: Tried) -> None:
        """Show the picture of one more model, or why there is none."""
        card = tried.candidate.card
        if tried.picture is None:
            self.problems.setText("\n".join(filter(None, (self.problems.text(), f"{card.name}: {tried.error}"))))
            self.problems.show()
            return
        picture = _button(card, tried)
        picture.clicked.connect(lambda: self.chosen.emit(card))
        self._grid.addWidget(picture, len(self.pictures) // COLUMNS, len(self.pictures) % COLUMNS)
        self.pictures.append(picture)

    def mark(self, card: ModelCard | None) -> None:
        """Frame the picture of the chosen model."""
        for picture in self.pictures:
            picture.setChecked(card is not None and picture.property("model") == card.name)


def _button(card: ModelCard, tried: Tried) -> QToolButton:
    picture = QToolButton()
    picture.setCheckable(True)
    picture.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
    pixmap = _pixmap(tried.picture)
    size = pixmap.size().scaled(PICTURE, PICTURE, Qt.AspectRatioMode.KeepAspectRatio)
    picture.setIcon(QIcon(pixmap))
    picture.setIconSize(size)
    picture.setFixedSize(PICTURE + 8, max(size.height(), 40) + 28)
    picture.setStyleSheet(FRAME)
    picture.setText(display_text(card.name))
    picture.setToolTip(tip(card.title, f"Found here: {tried.found}", "Click to choose this model."))
    picture.setProperty("model", card.name)
    return picture


def _pixmap(picture: npt.NDArray[np.uint8] | None) -> QPixmap:
    """A picture (height, width, 3) for the screen."""
    if picture is None:
        return QPixmap()
    height, width, _ = picture.shape
    pixels = np.ascontiguousarray(picture)
    return QPixmap.fromImage(QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy())
