"""Fields that several widgets are made of: panels, forms, notes, boxes of layers and of voxel sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import QLocale, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_unetseg.core.grid import UNITS, Grid, Triple
from napari_unetseg.core.text import display_lines, display_text
from napari_unetseg.plugin.layers.gl_context import ContextHolder
from napari_unetseg.plugin.layers.identity import own_layer, same_layer
from napari_unetseg.plugin.parts.docks import gather

WIDTH, LEAST_WIDTH = 380, 300
"""Pixels that a docked widget wants, and those that it can be used in."""


class Panel(QScrollArea):
    """A docked widget that scrolls where the window is low, and whose rows are as wide as the dock.

    Parameters
    ----------
    viewer : Viewer
        That it works in. While the widget lives, layers can be removed safely, see `ContextHolder`.
    """

    docked = Signal()
    """It is shown for the first time."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        ContextHolder(viewer, self)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(LEAST_WIDTH)
        self._is_placed = False
        inside = QWidget()
        self.rows = QVBoxLayout(inside)
        self.rows.setContentsMargins(10, 10, 10, 10)
        self.rows.setSpacing(8)
        self.setWidget(inside)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Leave most of the window to the image."""
        return QSize(WIDTH, 640)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Join the other panels' docks when it is docked; where someone puts it later is left alone."""
        super().showEvent(event)
        if not self._is_placed:
            self._is_placed = True
            self.docked.emit()
            QTimer.singleShot(0, self._join_others)

    def _join_others(self) -> None:
        gather(self, Panel)


def form() -> QFormLayout:
    """A form whose fields take all the width and whose labels stand beside them."""
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setHorizontalSpacing(12)
    layout.setVerticalSpacing(8)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)  # where the dock is narrow
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return layout


class PlainLabel(QLabel):
    """A label that shows any text as text: Qt would take what looks like HTML for it."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(text)

    def setText(self, text: str) -> None:  # noqa: N802 - Qt's name
        """Show a text, of one line or several, with all that cannot be seen spelled out."""
        super().setText(display_lines(text))


def note() -> QLabel:
    """A line of quiet text that wraps and can be copied."""
    return quiet(PlainLabel())


def rich_note() -> QLabel:
    """The same for rich text of our own, in which text of others is escaped (see `parts.text.markup`)."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.RichText)
    return quiet(label)


def quiet(label: QLabel) -> QLabel:
    """Make a label small, let it wrap and be copied."""
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    label.setMargin(0)
    label.setStyleSheet("font-size: 11px;")
    return label


def combo() -> QComboBox:
    """A combo box that may be narrower than its longest entry."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


def narrow(widget: QAbstractSpinBox) -> None:
    """Let a spin box be narrower than Qt (by the longest number it can show) and napari's style would have it."""
    widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    widget.setStyleSheet("min-width: 36px;")


class LayerBox(QComboBox):
    """Chooses one of the viewer's layers of a kind; follows the layer list and the layer that is active in it.

    Parameters
    ----------
    accepts : callable
        Whether a layer may be chosen.
    follows : bool
        Whether the active layer becomes the chosen one.
    none : str
        Where it is given, a last entry that stands for no layer, and is chosen at first.
    """

    layer_changed = Signal(object)
    """The layer that is chosen now, or None."""

    def __init__(
        self, viewer: Viewer, accepts: Callable[[Layer], bool], *, follows: bool = True, none: str = ""
    ) -> None:
        super().__init__()
        self._viewer, self._accepts, self._none = viewer, accepts, none
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.currentIndexChanged.connect(lambda: self.layer_changed.emit(self.layer))
        for event in ("inserted", "removed", "reordered"):
            getattr(viewer.layers.events, event).connect(self._refill)
        self._refill()
        if follows:
            viewer.layers.selection.events.active.connect(self._follow)
            self._follow()

    @property
    def layer(self) -> Any:
        """The chosen layer, or None."""
        return self.currentData()

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer, or none, where it is among the entries."""
        index = self._index(layer)
        if index >= 0:
            self.setCurrentIndex(index)

    def _refill(self, _event: object = None) -> None:
        chosen = self.layer
        with signals_blocked(self):
            self.clear()
            for layer in reversed(self._viewer.layers):  # the list shows the top one first
                if self._accepts(layer):
                    self.addItem(display_text(layer.name), own_layer(layer))
                    layer.events.name.connect(self._rename)
            if self._none:
                self.addItem(self._none, None)
            self.setCurrentIndex(max(0, self._index(chosen if self._index(chosen) >= 0 else None)))
        if not same_layer(self.layer, chosen):
            self.layer_changed.emit(self.layer)

    def _follow(self, _event: object = None) -> None:
        if self._viewer.layers.selection.active is not None:
            self.choose(self._viewer.layers.selection.active)

    def _rename(self, _event: object = None) -> None:
        for index in range(self.count()):
            if self.itemData(index) is not None:
                self.setItemText(index, display_text(self.itemData(index).name))

    def _index(self, layer: Layer | None) -> int:
        return next((index for index in range(self.count()) if same_layer(self.itemData(index), layer)), -1)


class _Number(QDoubleSpinBox):
    """A length above 0, shown with the digits that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.setLocale(QLocale.c())
        self.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setDecimals(12)
        self.setRange(1e-9, 1e9)
        self.setKeyboardTracking(False)
        narrow(self)

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        return f"{value:.5g}"


class VoxelSizeFields(QWidget):
    """Three lengths (z, y, x) and their unit, which a user may mend."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self.numbers = [_Number() for _ in "zyx"]
        for axis, number in zip("zyx", self.numbers, strict=True):
            number.setToolTip(f"Distance between voxel centres along {axis}.")
            number.valueChanged.connect(lambda: self.changed.emit())
            row.addWidget(number, 1)
        self.unit_box = combo()
        self.unit_box.setMinimumContentsLength(2)
        self.unit_box.addItems([*UNITS, "pixel"])
        self.unit_box.setToolTip("Unit of the voxel size. pixel: no physical size is known.")
        self.unit_box.currentIndexChanged.connect(lambda: self.changed.emit())
        row.addWidget(self.unit_box)

    def show_grid(self, grid: Grid, *, flat: bool = False) -> None:
        """Fill in a grid's spacing and unit; `flat` hides z."""
        with signals_blocked(self):
            for number, size in zip(self.numbers, grid.spacing, strict=True):
                number.setValue(size)
            self.unit_box.setCurrentText(grid.unit)
        self.numbers[0].setVisible(not flat)

    def shows(self, grid: Grid) -> bool:
        """Whether the numbers are a grid's own: nothing was mended."""
        return self.unit == grid.unit and np.allclose(self.spacing, grid.spacing, rtol=1e-6, atol=0)

    @property
    def spacing(self) -> Triple:
        """Spacing (z, y, x) in `unit`."""
        z, y, x = (number.value() for number in self.numbers)
        return z, y, x

    @property
    def unit(self) -> str:
        """One of `core.volume.UNITS`, or ``pixel``."""
        return str(self.unit_box.currentText())


def show_row(layout: QFormLayout, field: QWidget, visible: bool) -> None:
    """Show or hide a row of a form, its label too."""
    field.setVisible(visible)
    layout.labelForField(field).setVisible(visible)
