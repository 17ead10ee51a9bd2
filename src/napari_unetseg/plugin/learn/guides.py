"""Guides of painting: the uncertainty, *Where next*, and the other painted images that are learned from."""

from __future__ import annotations

from collections.abc import Sequence

from napari.viewer import Viewer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_unetseg.core.annotations.next_slice import UncertaintyMap
from napari_unetseg.core.text import display_text
from napari_unetseg.plugin.annotate.annotations import Canvas
from napari_unetseg.plugin.annotate.store import Survey
from napari_unetseg.plugin.layers.viewport import go_next


class LearnGuides(QWidget):
    """A tick and a button."""

    uncertainty_toggled = Signal(bool)
    next_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.uncertainty_check = QCheckBox("Show uncertainty")
        self.uncertainty_check.setToolTip("A layer that is bright where the model is in doubt between two classes.")
        self.next_button = QPushButton("Where next")
        self.next_button.setToolTip(
            "Go to the slice that brings paint nearest to what the model is unsure of, along the axis of the slider. "
            "In our benchmark that was a little better than random slices, from the third one on."
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.uncertainty_check, 1)
        row.addWidget(self.next_button)
        self.uncertainty_check.toggled.connect(self.uncertainty_toggled)
        self.next_button.clicked.connect(lambda: self.next_asked.emit())


def show_next(viewer: Viewer, canvas: Canvas | None, uncertainties: UncertaintyMap) -> str:
    """Move to the slice that is worth painting next; returns what to say about it."""
    if canvas is None or canvas.last is None:
        return "Add a painted layer first, and paint in one slice."
    survey = canvas.survey or Survey.of(canvas.last)
    found = go_next(viewer, canvas.layer, uncertainties, survey.occupied)
    if found is None:
        return "There is paint in every slice along this axis."
    return f"Slice {found[1]} along {found[0].lower()} is worth painting next."


MOST_ROWS = 4


class OtherImages(QWidget):
    """A list of images with paint of their own, each with a tick; hidden where there is none."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.list = QListWidget()
        self.list.setToolTip(
            "Other images that you have painted: tick those that show the same structures, with the same numbers."
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(QLabel("Also learn from"))
        column.addWidget(self.list)
        self.list.itemChanged.connect(lambda _item: self.changed.emit())
        self.hide()

    @property
    def chosen(self) -> list[Canvas]:
        """Those that are ticked."""
        return [canvas for canvas, ticked in self._rows() if ticked]

    def show_canvases(self, canvases: Sequence[Canvas]) -> None:
        """Offer these; those that were ticked before stay so."""
        ticked = self.chosen
        if [canvas for canvas, _ in self._rows()] == list(canvases):
            return
        with signals_blocked(self.list):
            self.list.clear()
            for canvas in canvases:
                item = QListWidgetItem(display_text(canvas.image.name))
                item.setData(Qt.ItemDataRole.UserRole, canvas)
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                is_ticked = any(canvas is each for each in ticked)
                item.setCheckState(Qt.CheckState.Checked if is_ticked else Qt.CheckState.Unchecked)
                self.list.addItem(item)
        rows = min(len(canvases), MOST_ROWS)
        self.list.setFixedHeight(rows * max(20, self.list.sizeHintForRow(0)) + 2 * self.list.frameWidth() + 2)
        self.setVisible(bool(canvases))

    def tick(self, canvas: Canvas, ticked: bool = True) -> None:
        """Tick an image, or not."""
        for index in range(self.list.count()):
            item = self.list.item(index)
            if item.data(Qt.ItemDataRole.UserRole) is canvas:
                item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)

    def _rows(self) -> list[tuple[Canvas, bool]]:
        items = [self.list.item(index) for index in range(self.list.count())]
        return [(i.data(Qt.ItemDataRole.UserRole), i.checkState() == Qt.CheckState.Checked) for i in items]
