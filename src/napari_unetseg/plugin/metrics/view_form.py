"""View of the table: which columns it has, which figure colours the labels, and which rows are hidden."""

from __future__ import annotations

import json
from collections.abc import Sequence

from qtpy.QtCore import QLocale, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QHBoxLayout, QLabel, QMenu, QToolButton, QWidget
from superqt.utils import signals_blocked

from napari_unetseg.core.io.cache import user_cache
from napari_unetseg.core.metrics.columns import Column, Row, first_columns
from napari_unetseg.plugin.metrics.limits_form import ShortNumber
from napari_unetseg.plugin.parts.fields import combo, narrow

KIND, KEY = "metrics", "columns"
"""Where the choice of columns is kept."""


class ViewForm(QWidget):
    """A menu of columns, and, where rows are labels, what colours and what hides them."""

    changed = Signal()
    """Other columns, colours or rows are to be shown."""

    def __init__(self) -> None:
        super().__init__()
        self._columns: tuple[Column, ...] = ()
        self._limited: tuple[str, ...] = ()
        self._chosen = _kept()
        self._build()

    def _build(self) -> None:
        self.columns_button = QToolButton()
        self.columns_button.setText("Columns")
        self.columns_button.setStyleSheet("padding-right: 14px;")  # room for the arrow
        self.columns_button.setToolTip("Which figures the table shows. The choice is kept.")
        self.columns_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu = QMenu(self.columns_button)
        self.columns_button.setMenu(self.menu)
        self.colour_box, self.filter_box = combo(), combo()
        for box in (self.colour_box, self.filter_box):
            box.setMinimumContentsLength(4)
        self.colour_box.setToolTip("Colour the labels by a figure, from dark (smallest) to yellow (largest).")
        self.filter_box.setToolTip("Show only rows, and their labels, with a figure between two values.")
        self.low, self.high = (_number(text) for text in ("least", "most"))
        self.range = QWidget()
        line = QHBoxLayout(self.range)
        line.setContentsMargins(0, 0, 0, 0)
        for widget in (QLabel("from"), self.low, QLabel("to"), self.high):
            line.addWidget(widget, 1 if isinstance(widget, QDoubleSpinBox) else 0)
        self._titles = (QLabel("Colour by"), QLabel("Show"))
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        for row, (title, box) in enumerate(zip(self._titles, (self.colour_box, self.filter_box), strict=True)):
            grid.addWidget(title, row, 0)
            grid.addWidget(box, row, 1)
        grid.addWidget(self.columns_button, 0, 2)
        grid.addWidget(self.range, 2, 1, 1, 2)
        self.range.hide()
        self.colour_box.currentIndexChanged.connect(lambda: self.changed.emit())
        self.filter_box.currentIndexChanged.connect(self._choose_filter)
        for box in (self.low, self.high):
            box.valueChanged.connect(lambda: self.changed.emit())

    def set_columns(self, columns: tuple[Column, ...], *, of_labels: bool) -> None:
        """Offer the columns of a table; `of_labels`: each of its rows is a label of the layer."""
        for part in (*self._titles, self.colour_box, self.filter_box):
            part.setVisible(of_labels)
        if columns == self._columns:
            return
        self._columns = columns
        self._fill_menu()
        for box, nothing in ((self.colour_box, "own colours"), (self.filter_box, "all")):
            key = box.currentData()
            with signals_blocked(box):
                box.clear()
                box.addItem(nothing, None)
                for column in columns:
                    box.addItem(f"{column.heading} …" if box is self.filter_box else column.heading, column.key)
                box.setCurrentIndex(max(0, box.findData(key)))
        self.range.setVisible(self._filter is not None)

    def set_limited(self, metrics: Sequence[str]) -> None:
        """The figures that have limits are among the first columns."""
        self._limited = tuple(metrics)
        self._fill_menu()

    @property
    def visible(self) -> set[str]:
        """Keys of the columns to show."""
        first = {column.key for column in first_columns(self._columns, self._limited)}
        return {column.key for column in self._columns if self._chosen.get(column.key, column.key in first)}

    @property
    def colour_key(self) -> str | None:
        """The figure that colours the labels; None: their own colours."""
        key: str | None = self.colour_box.currentData()
        return None if self.colour_box.isHidden() else key

    def hides(self, row: Row) -> bool:
        """Whether a row is not to be shown."""
        column = self._filter
        if column is None:
            return False
        value = row.get(column.key)
        shown = float("nan") if value is None else float(value) * column.factor
        low, high = (box.value() if box.value() > box.minimum() else None for box in (self.low, self.high))
        return not ((low is None or shown >= low) and (high is None or shown <= high))

    @property
    def _filter(self) -> Column | None:
        key = None if self.filter_box.isHidden() else self.filter_box.currentData()
        return next((column for column in self._columns if column.key == key), None)

    def _choose_filter(self) -> None:
        for box in (self.low, self.high):
            with signals_blocked(box):
                box.setValue(box.minimum())
        self.range.setVisible(self._filter is not None)
        self.changed.emit()

    def _fill_menu(self) -> None:
        self.menu.clear()
        visible = self.visible
        for column in self._columns:
            action = QAction(column.heading, self.menu, checkable=True, checked=column.key in visible)
            action.setToolTip(column.tip)
            action.setData(column.key)
            action.toggled.connect(self._choose_column)
            self.menu.addAction(action)
        self.menu.addSeparator()
        self.menu.addAction("What matters first").triggered.connect(self._forget)

    def _choose_column(self) -> None:
        self._chosen |= {action.data(): action.isChecked() for action in self.menu.actions() if action.isCheckable()}
        self._keep()

    def _forget(self) -> None:
        self._chosen = {}
        self._fill_menu()
        self._keep()

    def _keep(self) -> None:
        user_cache().write(KIND, KEY, json.dumps(self._chosen).encode())
        self.changed.emit()


def _kept() -> dict[str, bool]:
    """The columns that were switched on and off, in this session or an earlier one."""
    entry = user_cache().read(KIND, KEY)
    return {} if entry is None else {str(key): bool(on) for key, on in json.loads(entry).items()}


def _number(nothing: str) -> QDoubleSpinBox:
    """A number that says `nothing` at its smallest."""
    box = ShortNumber()
    box.setLocale(QLocale.c())
    box.setDecimals(4)
    box.setRange(-1e9, 1e9)
    box.setSpecialValueText(nothing)
    box.setValue(box.minimum())
    box.setKeyboardTracking(False)
    narrow(box)
    return box
