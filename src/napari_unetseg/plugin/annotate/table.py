"""The table of structures: what to paint with, how much is painted, and how good the model is at it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem
from superqt.utils import signals_blocked

from napari_unetseg.core.annotations.expected_dice import ExpectedDice
from napari_unetseg.core.annotations.sparse_labels import BACKGROUND
from napari_unetseg.core.text import display_text
from napari_unetseg.core.units import quantity
from napari_unetseg.core.volume import Structure
from napari_unetseg.plugin.annotate.classes import KEYS

NAME, KEY, PAINTED, DICE = range(4)
MOST_ROWS = 8


class PaintTable(QTableWidget):
    """One row a painted value: colour and name (double click renames), key, painted voxels, held-out Dice."""

    picked = Signal(int)
    """The painted value of the row that was clicked."""
    renamed = Signal(int, str)

    def __init__(self) -> None:
        super().__init__(0, 4)
        self.setHorizontalHeaderLabels(["structure", "key", "painted", "Dice"])
        tips = (
            "Click to paint with a structure; double click its name to change it.",
            "Press it while the painted layer is active.",
            "Painted voxels.",
            "Dice on paint that was held out, and in brackets how far it may be off: how well the model continues what "
            "you painted. Paint each structure in several places on several slices to know it better.",
        )
        for column, tip in enumerate(tips):
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.verticalHeader().hide()
        self.setShowGrid(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.cellClicked.connect(lambda row, _column: self.picked.emit(row + BACKGROUND))
        self.itemChanged.connect(self._rename)

    def show_structures(self, structures: Sequence[Structure], removed: Container[int] = ()) -> None:
        """Fill the table; figures that are shown stay, and rows of removed painted values are hidden."""
        with signals_blocked(self):
            self.setRowCount(len(structures))
            for row, structure in enumerate(structures):
                if self.item(row, NAME) is None:
                    self._make(row)
                square = QPixmap(12, 12)
                square.fill(QColor(structure.colour))
                self.item(row, NAME).setText(display_text(structure.name))
                self.item(row, NAME).setData(Qt.ItemDataRole.DecorationRole, square)
                self.setRowHidden(row, row + BACKGROUND in removed)
        heights = [self.rowHeight(row) for row in range(len(structures)) if not self.isRowHidden(row)]
        rows = sum(heights[:MOST_ROWS])
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows + 2 * self.frameWidth())

    def show_painted(self, counts: Sequence[int]) -> None:
        """Show how many voxels are painted of each value 0, 1, …."""
        for row in range(self.rowCount()):
            value = row + BACKGROUND
            self._write(row, PAINTED, quantity(int(counts[value])) if value < len(counts) and counts[value] else "")

    def show_dice(self, expected: Mapping[int, ExpectedDice]) -> None:
        """Show what Dice to expect by output label, and in the tooltip what it rests on or what is missing."""
        for row in range(self.rowCount()):
            found = expected.get(row + BACKGROUND - 1)
            self._write(row, DICE, found.shown if found is not None else "")
            self.item(row, DICE).setToolTip(_dice_tip(found))

    def mark(self, value: int) -> None:
        """Select the row of a painted value."""
        self.selectRow(value - BACKGROUND)

    def _make(self, row: int) -> None:
        for column in range(4):
            item = QTableWidgetItem()
            if column > NAME:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if column > NAME or row == 0:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            self.setItem(row, column, item)
        self.item(row, KEY).setText(f"Ctrl+{row + BACKGROUND}" if row + BACKGROUND <= KEYS else "")

    def _write(self, row: int, column: int, text: str) -> None:
        with signals_blocked(self):
            self.item(row, column).setText(text)

    def _rename(self, item: QTableWidgetItem) -> None:
        if item.column() == NAME:
            self.renamed.emit(item.row() + BACKGROUND, item.text())


def _dice_tip(found: ExpectedDice | None) -> str:
    if found is None:
        return "Nothing of it is held out yet: paint some of it on another slice."
    words = found.words
    return f"{words[0].upper()}{words[1:]}."
