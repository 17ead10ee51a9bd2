"""Table under a segmentation: how much there is of each structure."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_unetseg.core.metrics.measure import StructureSummary
from napari_unetseg.core.text import display_text
from napari_unetseg.core.units import quantity, readable_unit


class ResultsTable(QTableWidget):
    """One row per structure: its colour and name, objects, voxels, and volume or area. Can be copied."""

    def __init__(self) -> None:
        super().__init__(0, 4)
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setShowGrid(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def show_structures(self, structures: Sequence[StructureSummary], unit: str, dimensions: int) -> None:
        """Fill the table; `unit` is that of lengths. Sizes are shown in the unit in which they are read best."""
        counted = any(s.objects is not None for s in structures)
        measured = any(s.size is not None for s in structures)
        title, factor = readable_unit([s.size for s in structures if s.size is not None], unit, dimensions)
        self.setHorizontalHeaderLabels(["structure", "objects", "voxels", title])
        self.setColumnHidden(1, not counted)
        self.setColumnHidden(3, not measured)
        self.setRowCount(len(structures))
        for row, structure in enumerate(structures):
            self._fill(row, structure, factor)
        rows = sum(self.rowHeight(row) for row in range(self.rowCount()))
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows + 2 * self.frameWidth())

    def _fill(self, row: int, structure: StructureSummary, factor: float) -> None:
        square = QPixmap(12, 12)
        square.fill(QColor(structure.colour))
        name = QTableWidgetItem(display_text(structure.name))
        name.setData(Qt.ItemDataRole.DecorationRole, square)
        self.setItem(row, 0, name)
        size = None if structure.size is None else structure.size * factor
        for column, value in enumerate((structure.objects, structure.voxels, size), start=1):
            item = QTableWidgetItem("" if value is None else quantity(value))
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, column, item)
