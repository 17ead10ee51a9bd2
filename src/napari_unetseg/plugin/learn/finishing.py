"""Steps that every result of a saved model goes through, such as one that numbers objects; seen first in *Clean up*."""

from __future__ import annotations

from collections.abc import Sequence

from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.steps import Separate, Step
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.parts.fields import note
from napari_unetseg.plugin.parts.step_form import describe, new_step


class FinishingRows(QWidget):
    """A tick that numbers objects, a button that shows what it does, and the steps in words."""

    look_asked = Signal()
    """The steps should be seen, and changed, on what was learned."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: tuple[Step, ...] = ()
        self._image: Layer | None = None
        self._grid, self._shape = Grid(), (1, 1, 1)
        self.check = QCheckBox("Number objects")
        self.check.setToolTip(
            "Saved models, and Apply to…, cut what touches and give every object a number of its own. "
            "What is learned here, and its scores, stay by structure."
        )
        self.look_button = QPushButton("Preview…")
        self.look_button.setToolTip("Show in Clean up what the steps make of what was learned, and change them there.")
        self.line = note()
        row = QHBoxLayout()
        row.addWidget(self.check, 1)
        row.addWidget(self.look_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.line)
        self.check.toggled.connect(self._tick)
        self.look_button.clicked.connect(lambda: self.look_asked.emit())
        self.take(())

    def begin(self, image: Layer, grid: Grid, shape: tuple[int, int, int]) -> None:
        """Learning begins anew on an image of this size in voxels; another one's steps are not done to its results."""
        is_other = not same_layer(image, self._image)
        self._image, self._grid, self._shape = image, grid, shape
        if is_other:
            self.take(())

    def take(self, steps: Sequence[Step]) -> None:
        """Do these steps, or none."""
        self.steps = tuple(steps)
        blocked = self.check.blockSignals(True)
        self.check.setChecked(bool(self.steps))
        self.check.blockSignals(blocked)
        told = "; ".join(describe(step, self._shape[0] == 1) for step in self.steps)
        self.line.setText(f"Saved models do: {told}." if told else "")
        self.line.setVisible(bool(told))
        self.look_button.setVisible(bool(told))

    def _tick(self, wanted: bool) -> None:
        self.take((new_step(Separate, self._grid, self._shape),) if wanted else ())
