"""The buttons beside the table of structures: structures come and go, strokes are taken back or erased."""

from __future__ import annotations

from napari.layers import Labels as LabelsLayer
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_unetseg.plugin.layers.identity import same_layer


class PaintTools(QWidget):
    """Adds and removes structures, undoes and erases on the layer that is painted on.

    Parameters
    ----------
    viewer : Viewer
    """

    structure_wanted = Signal()
    removal_wanted = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: LabelsLayer | None = None
        self.add_button = _button("Add structure", "Add a structure, at any time: the others are not forgotten.")
        self.remove_button = _button("Remove", "Remove the chosen structure, and erase its paint. Undo brings it back.")
        self.undo_button = _button("Undo", "Take the last stroke back (Ctrl+Z); Ctrl+Shift+Z does it again.")
        self.eraser_button = _button("Eraser", "Take paint away with the brush, until a structure is chosen (1).")
        self.eraser_button.setCheckable(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for button in (self.add_button, self.remove_button, self.undo_button, self.eraser_button):
            row.addWidget(button)
        self.add_button.clicked.connect(self.structure_wanted)
        self.remove_button.clicked.connect(self.removal_wanted)
        self.undo_button.clicked.connect(self._undo)
        self.eraser_button.toggled.connect(self._erase)

    def use(self, layer: LabelsLayer | None) -> None:
        """Work on this layer."""
        if not same_layer(layer, self._layer):
            if self._layer is not None:
                self._layer.events.mode.disconnect(self._show_mode)
            self._layer = layer
            if layer is not None:
                layer.events.mode.connect(self._show_mode)
        self._show_mode()

    def _undo(self) -> None:
        if self._layer is not None:
            self._viewer.layers.selection.active = self._layer
            self._layer.undo()

    def _erase(self, is_on: bool) -> None:
        if self._layer is not None:
            self._viewer.layers.selection.active = self._layer
            self._layer.mode = "erase" if is_on else "paint"

    def _show_mode(self, _event: object = None) -> None:
        with signals_blocked(self.eraser_button):
            self.eraser_button.setChecked(self._layer is not None and self._layer.mode == "erase")
        self.setEnabled(self._layer is not None and self._layer.editable)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button
