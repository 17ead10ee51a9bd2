"""The row of what helps to find where to paint: the uncertainty, and *Where next*."""

from __future__ import annotations

from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QWidget

from napari_unetseg.core.annotations.next_slice import DoubtMap, occupied
from napari_unetseg.plugin.learn_next import go_next
from napari_unetseg.plugin.paint_canvas import Canvas


class LearnGuides(QWidget):
    """A tick and a button."""

    doubt_toggled = Signal(bool)
    next_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.doubt_check = QCheckBox("Show uncertainty")
        self.doubt_check.setToolTip("A layer that is bright where the model is in doubt between two classes.")
        self.next_button = QPushButton("Where next")
        self.next_button.setToolTip(
            "Go to the slice that brings paint nearest to what the model is unsure of, along the axis of the slider. "
            "In our benchmark that was a little better than random slices, from the third one on."
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.doubt_check, 1)
        row.addWidget(self.next_button)
        self.doubt_check.toggled.connect(self.doubt_toggled)
        self.next_button.clicked.connect(lambda: self.next_asked.emit())


def show_next(viewer: Viewer, canvas: Canvas | None, doubts: DoubtMap) -> str:
    """Move to the slice that is worth painting next; returns what to say about it."""
    if canvas is None or canvas.last is None:
        return "Add a painted layer first, and paint in one slice."
    painted = canvas.survey.occupied if canvas.survey is not None else occupied(canvas.last)
    found = go_next(viewer, canvas.layer, doubts, painted)
    if found is None:
        return "There is paint in every slice along this axis."
    return f"Slice {found[1]} along {found[0].lower()} is worth painting next."
