"""The offer of kept paint: what was painted on an image before, and who paints on it now."""

from __future__ import annotations

import datetime
from enum import Enum
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_unetseg.core.text import display_text
from napari_unetseg.plugin.annotate.store import KeptPaint, find_paint, kept_places, other_owner
from napari_unetseg.plugin.parts.fields import note


class Claim(Enum):
    """What someone wants with kept paint."""

    GO_ON = "go on"
    READ = "read"
    COPY = "copy"


class PaintOffer(QWidget):
    """Offers paint that was kept of an image, and its last accepted model."""

    claimed = Signal(object)
    """A `Claim` on the paint in `kept`."""
    model_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.kept: KeptPaint | None = None
        self._shape: tuple[int, ...] = ()
        self._model_waits = False
        self.line = note()
        self.places_box = QComboBox()
        self.places_box.setToolTip("Paint of this image that was kept: its own, what was put aside, and copies.")
        self.restore_button = QPushButton()
        self.read_button = QPushButton("Read only")
        self.read_button.setToolTip("Show the paint as it is now, and change nothing.")
        self.copy_button = QPushButton("Own copy")
        self.copy_button.setToolTip("Go on with a copy of the paint, in a file of its own.")
        buttons = QHBoxLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for part in (self.line, self.places_box):
            column.addWidget(part)
        for button in (self.restore_button, self.read_button, self.copy_button):
            buttons.addWidget(button)
        column.addLayout(buttons)
        self.places_box.currentIndexChanged.connect(self._choose)
        self.restore_button.clicked.connect(self._restore)
        self.read_button.clicked.connect(lambda: self.claimed.emit(Claim.READ))
        self.copy_button.clicked.connect(lambda: self.claimed.emit(Claim.COPY))
        self._show()

    def look(self, place: Path | None, shape: tuple[int, ...]) -> None:
        """Look for paint of an image (z, y, x) whose journal has that place; None where there is no image."""
        self._shape = shape
        places = kept_places(place, shape) if place is not None else []
        with signals_blocked(self.places_box):
            self.places_box.clear()
            for path in places:
                self.places_box.addItem(_called(path), path)
        self._choose()

    def forget(self) -> None:
        """Offer no paint any more."""
        self.kept = None
        self.places_box.clear()
        self._show()

    def offer_model(self, waits: bool) -> None:
        """Whether the last accepted model of the paint in use is on offer."""
        self._model_waits = waits
        self._show()

    def _choose(self, _index: int = 0) -> None:
        path = self.places_box.currentData()
        self.kept = find_paint(path, self._shape) if path is not None else None
        self._show()

    def _restore(self) -> None:
        if self.kept is None:
            self.model_wanted.emit()
        elif self.kept.owner is None and other_owner(self.kept.path) is not None:
            self._choose()  # someone has begun to paint there since
        else:
            self.claimed.emit(Claim.GO_ON)

    def _show(self) -> None:
        owner = self.kept.owner if self.kept is not None else None
        self.setVisible(self.kept is not None or self._model_waits)
        self.places_box.setVisible(self.places_box.count() > 1)
        for button in (self.read_button, self.copy_button):
            button.setVisible(owner is not None)
        if self.kept is not None:
            count = f"{self.kept.painted.voxels:,}".replace(",", " ")
            self.line.setText(
                f"Another window ({display_text(str(owner))}) paints on this image: {count} voxels so far."
                if owner is not None
                else f"{count} painted voxels of this image were kept."
            )
            self.restore_button.setText("Restore paint" if owner is None else "Take over")
            self.restore_button.setToolTip(
                "Bring the paint back, with the last accepted model."
                if owner is None
                else "Go on here. The other window keeps what it paints from then on in a copy."
            )
        elif self._model_waits:
            self.line.setText("The last accepted model of this image was kept. When you learn, it can be reverted to.")
            self.restore_button.setText("Restore model")
            self.restore_button.setToolTip("Use the last accepted model again, and predict with it.")


def _called(path: Path) -> str:
    changed = datetime.datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    return display_text(f"{changed:%d %b %Y, %H:%M} ({path.name})")
