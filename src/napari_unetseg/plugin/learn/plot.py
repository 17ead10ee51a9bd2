"""Curves of learning: loss over the steps of training, and held-out Dice over the accepted models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_unetseg.core.annotations.versions import Version
from napari_unetseg.core.volume import Structure
from napari_unetseg.plugin.parts.plot import Plot

if TYPE_CHECKING:
    import pyqtgraph

MOST_TICKS = 4
SMOOTH = 0.9
"""Of the running mean that is drawn over the losses of single steps."""
FAINT, STRONG = "#8a93a666", "#8ab4f8"


class ScorePlot(Plot):
    """One line a structure, in its colour, over the versions; hidden until there are two versions with a score."""

    def __init__(self) -> None:
        super().__init__(
            "version", "Dice", "Dice of each version on held-out paint. The paint it is measured on grows as you go on."
        )

    def show_versions(self, versions: Sequence[Version], structures: Sequence[Structure]) -> None:
        """Show the scores of these versions; a structure without a score leaves a gap."""
        scored = [version for version in versions if version.dice]
        self.setVisible(len(scored) > 1)
        if len(scored) < 2:
            return
        canvas, numbers = self.canvas, [version.number for version in scored]
        canvas.clear()
        self.show_shares()
        canvas.getAxis("bottom").setTicks([[(n, str(n)) for n in numbers[:: 1 + len(numbers) // MOST_TICKS]]])
        for structure in structures:
            dice = np.array([version.dice.get(structure.label, np.nan) for version in scored])
            if np.isnan(dice).all():  # one that is kept, and not painted
                continue
            canvas.plot(
                numbers, dice, pen={"color": structure.colour, "width": 1.5}, connect="finite", symbol="o",
                symbolSize=4, symbolBrush=structure.colour, symbolPen=None,
            )  # fmt: skip


class LossPlot(Plot):
    """The loss of every step of the training that goes on, and its running mean; hidden until there are two."""

    def __init__(self) -> None:
        super().__init__(
            "step", "loss", "Loss of the U-Net while it is trained: each step, and the running mean. It should fall."
        )
        self._losses: list[float] = []
        self._curves: tuple[pyqtgraph.PlotDataItem, ...] = ()

    def add(self, losses: Sequence[float], *, begins: bool) -> None:
        """Show more steps; those of an earlier training go where this one begins."""
        self._losses = [*([] if begins else self._losses), *losses]
        self.setVisible(len(self._losses) > 1)
        if len(self._losses) < 2:
            return
        if not self._curves:
            pens = ({"color": FAINT, "width": 1}, {"color": STRONG, "width": 1.5})
            self._curves = tuple(self.canvas.plot(pen=pen, connect="finite") for pen in pens)
        steps = np.arange(1, len(self._losses) + 1)
        for curve, values in zip(self._curves, (self._losses, running_mean(self._losses)), strict=True):
            curve.setData(steps, np.array(values))

    def clear(self) -> None:
        """Show nothing."""
        self._losses = []
        self.hide()


def running_mean(losses: Sequence[float]) -> list[float]:
    """Exponential mean of each step and those before it, without the pull towards 0 at the beginning."""
    means, total, weight = [], 0.0, 0.0
    for loss in losses:
        if np.isfinite(loss):
            total, weight = SMOOTH * total + (1 - SMOOTH) * loss, SMOOTH * weight + (1 - SMOOTH)
        means.append(total / weight if weight else float("nan"))
    return means
