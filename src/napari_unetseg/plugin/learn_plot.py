"""The curve of learning: held-out Dice of each accepted model. pyqtgraph is loaded when there are two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unetseg.core.learned import Version
from napari_unetseg.core.structure import Structure

if TYPE_CHECKING:
    import pyqtgraph

HEIGHT = 120
MOST_TICKS = 8


class LearnPlot(QWidget):
    """One line a structure, in its colour, over the versions; hidden until there are two versions with a score."""

    def __init__(self) -> None:
        super().__init__()
        self._canvas: pyqtgraph.PlotWidget | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.setFixedHeight(HEIGHT)
        self.setToolTip("Dice of each version on held-out paint. The paint it is measured on grows as you go on.")
        self.hide()

    def show_versions(self, versions: Sequence[Version], structures: Sequence[Structure]) -> None:
        """Show the scores of these versions; a structure without a score leaves a gap."""
        scored = [version for version in versions if version.dice]
        self.setVisible(len(scored) > 1)
        if len(scored) < 2:
            return
        canvas = self._canvas or self._make()
        canvas.clear()
        numbers = [version.number for version in scored]
        canvas.getAxis("bottom").setTicks([[(n, str(n)) for n in numbers[:: 1 + len(numbers) // MOST_TICKS]]])
        for structure in structures:
            dice = np.array([version.dice.get(structure.label, np.nan) for version in scored])
            canvas.plot(
                numbers, dice, pen={"color": structure.colour, "width": 1.5}, connect="finite", symbol="o",
                symbolSize=4, symbolBrush=structure.colour, symbolPen=None,
            )  # fmt: skip

    def _make(self) -> pyqtgraph.PlotWidget:
        import pyqtgraph

        text = self.palette().text().color()
        canvas = pyqtgraph.PlotWidget(background=None)
        canvas.setMouseEnabled(False, False)
        canvas.setMenuEnabled(False)
        canvas.hideButtons()
        canvas.setYRange(0, 1, padding=0.12)
        for side, label in (("left", "Dice"), ("bottom", "version")):
            axis = canvas.getAxis(side)
            axis.setLabel(label)
            axis.setPen(text)
            axis.setTextPen(text)
        canvas.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        canvas.showGrid(y=True, alpha=0.15)
        self._canvas = canvas
        self.layout().addWidget(canvas)
        return canvas

    @property
    def lines(self) -> int:
        """How many lines are shown."""
        return len(self._canvas.listDataItems()) if self._canvas is not None else 0
