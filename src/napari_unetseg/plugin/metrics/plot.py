"""Plot of Dice per slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor

from napari_unetseg.plugin.parts.plot import Plot

if TYPE_CHECKING:
    import pyqtgraph

HEIGHT = 130
MOST_LINES = 12
"""Of more structures, only the worst have a line from the beginning."""


class SlicePlot(Plot):
    """One line a structure, in its colour, over the slices; a mark stands at the slice in view."""

    slice_clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__("slice", "Dice", "Dice of each slice. Click to move there.", HEIGHT)
        self._mark: Any = None
        self._slices = 0
        self._dice: dict[int, npt.NDArray[np.float64]] = {}
        self._colours: dict[int, QColor] = {}
        self.lines: dict[int, Any] = {}
        """pyqtgraph's curves by label."""

    def show_lines(self, dice: dict[int, npt.NDArray[np.float64]], colours: dict[int, QColor]) -> None:
        """Show Dice by slice, of each label."""
        canvas = self.canvas
        if self._mark is None:
            self._add_mark()
        self._dice, self._colours = dice, colours
        self._slices = max((len(values) for values in dice.values()), default=0)
        for label in [label for label in self.lines if label not in dice]:
            canvas.removeItem(self.lines.pop(label))
        for label in sorted(dice, key=lambda label: _mean(dice[label]))[:MOST_LINES]:
            self._draw(canvas, label)
        canvas.setXRange(-0.5, self._slices - 0.5, padding=0)

    def emphasise(self, label: int | None) -> None:
        """Show one line alone, or all of them."""
        if label in self._dice:
            self._draw(self.canvas, label)
        for of, line in self.lines.items():
            line.setVisible(label in (None, of))

    def _draw(self, canvas: pyqtgraph.PlotWidget, label: int) -> None:
        """Each slice is a step of its own, so that a lone one between slices without the structure can be seen."""
        import pyqtgraph

        values = self._dice[label]
        edges, pen = np.arange(len(values) + 1) - 0.5, pyqtgraph.mkPen(self._colours[label], width=2)
        if label in self.lines:
            self.lines[label].setData(edges, values, pen=pen)
        else:
            self.lines[label] = pyqtgraph.PlotCurveItem(edges, values, pen=pen, stepMode="center", connect="finite")
            canvas.addItem(self.lines[label])

    def mark(self, slice_number: int) -> None:
        """Put the mark at the slice in view."""
        if self._mark is not None:
            self._mark.setValue(slice_number)

    @property
    def marked(self) -> int:
        """Where the mark is."""
        return round(self._mark.value())

    def _add_mark(self) -> None:
        import pyqtgraph

        self.show_shares()
        pen = pyqtgraph.mkPen(self.palette().text().color(), style=Qt.PenStyle.DashLine)
        self._mark = pyqtgraph.InfiniteLine(pen=pen)
        self.canvas.addItem(self._mark)
        self.canvas.scene().sigMouseClicked.connect(self._click)

    def _click(self, event: Any) -> None:
        place = self.canvas.getPlotItem().getViewBox().mapSceneToView(event.scenePos())
        self.slice_clicked.emit(min(max(round(place.x()), 0), self._slices - 1))


def _mean(dice: npt.NDArray[np.float64]) -> float:
    """Mean over the slices that have the structure; 1 where none has."""
    known = dice[~np.isnan(dice)]
    return float(known.mean()) if known.size else 1.0
