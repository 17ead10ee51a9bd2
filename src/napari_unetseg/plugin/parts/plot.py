"""A small plot in a dock, drawn with pyqtgraph, which is loaded when the first one is wanted."""

from __future__ import annotations

import importlib
import sys
import threading
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    import pyqtgraph

HEIGHT = 120
SHARES = [[(0, "0"), (0.5, "0.5"), (1, "1")]]


def load_plots() -> None:
    """Load pyqtgraph in a thread: it takes half a second, for which the window would stall at the first curve."""
    if "pyqtgraph" not in sys.modules:
        threading.Thread(target=importlib.import_module, args=("pyqtgraph",), daemon=True, name="plots").start()


class Plot(QWidget):
    """A plot that cannot be moved, and is hidden at first; its canvas is made when there is something to draw.

    Parameters
    ----------
    bottom, left : str
        What stands at the axes.
    tip : str
    height : int
        Pixels.
    """

    def __init__(self, bottom: str, left: str, tip: str, height: int = HEIGHT) -> None:
        super().__init__()
        self._labels = {"bottom": bottom, "left": left}
        self._made: pyqtgraph.PlotWidget | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.setFixedHeight(height)
        self.setToolTip(tip)
        self.hide()

    @property
    def canvas(self) -> pyqtgraph.PlotWidget:
        """Where it is drawn."""
        if self._made is None:
            self._made = self._make()
            self.layout().addWidget(self._made)
        return self._made

    def show_shares(self) -> None:
        """Let the left axis go from 0 to 1, as Dice does."""
        self.canvas.setYRange(0, 1, padding=0.12)
        self.canvas.getAxis("left").setTicks(SHARES)

    def _make(self) -> pyqtgraph.PlotWidget:
        import pyqtgraph

        text = self.palette().text().color()
        canvas = pyqtgraph.PlotWidget(background=None)
        canvas.setMouseEnabled(False, False)
        canvas.setMenuEnabled(False)
        canvas.hideButtons()
        for side, label in self._labels.items():
            axis = canvas.getAxis(side)
            axis.setLabel(label)
            axis.enableAutoSIPrefix(False)
            axis.setPen(text)
            axis.setTextPen(text)
        canvas.showGrid(y=True, alpha=0.15)
        return canvas
