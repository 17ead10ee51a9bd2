"""Which other painted images are learned from, beside the one in view."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_unetseg.plugin.paint_canvas import Canvas

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
        self.list.blockSignals(True)
        self.list.clear()
        for canvas in canvases:
            item = QListWidgetItem(canvas.image.name)
            item.setData(Qt.ItemDataRole.UserRole, canvas)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            is_ticked = any(canvas is each for each in ticked)
            item.setCheckState(Qt.CheckState.Checked if is_ticked else Qt.CheckState.Unchecked)
            self.list.addItem(item)
        self.list.blockSignals(False)
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
