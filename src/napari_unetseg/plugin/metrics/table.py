"""The table of metrics: a row a structure in its colour, tinted by how it stands to the limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QColor, QFont, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_unetseg.core.metrics.columns import Column, Row, label_of, name_of
from napari_unetseg.core.metrics.limits import Limit, Rating, Verdict, judge
from napari_unetseg.core.text import display_text
from napari_unetseg.plugin.parts.text import tip

Role = Qt.ItemDataRole
TINTS = {
    Rating.MET: QColor(46, 160, 67, 110),
    Rating.NARROWLY_MISSED: QColor(219, 154, 4, 110),
    Rating.MISSED: QColor(218, 54, 51, 120),
}
"""Transparent, so that they suit a dark and a light theme."""
BOLD = QFont()
BOLD.setBold(True)
MARKS = {Rating.MET: "✓", Rating.NARROWLY_MISSED: "≈", Rating.MISSED: "✗", None: ""}
"""What says the same to those who do not see the colours apart."""
VERDICT = Column("", "", "✓ all limits met, ≈ missed by a tenth or less, ✗ missed by more")
MOST_VISIBLE_ROWS = 12
STYLE = """
QTableView { border: none; background: transparent; }
QHeaderView { font-size: 11px; background: transparent; }
QHeaderView::section { border: none; padding: 3px 6px; }
QTableCornerButton::section { border: none; background: transparent; }
"""


class MetricsModel(QAbstractTableModel):
    """Rows of figures; the first column is the verdict."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []
        self._columns: tuple[Column, ...] = (VERDICT,)
        self._swatches: list[QPixmap] = []
        self._limits: tuple[Limit, ...] = ()
        self._verdicts: list[Verdict] = []

    def show_rows(self, rows: list[Row], columns: tuple[Column, ...], colours: Sequence[QColor]) -> None:
        """Show other figures; a table of the same rows and columns keeps its order and its selection."""
        columns = (VERDICT, *columns)
        same = columns == self._columns and [name_of(row) for row in rows] == [name_of(row) for row in self._rows]
        if not same:
            self.beginResetModel()
        self._rows, self._columns = rows, columns
        self._swatches = [_swatch(colour) for colour in colours]
        self._judge()
        if same:
            self._tell_all()
        else:
            self.endResetModel()

    def set_limits(self, limits: tuple[Limit, ...]) -> None:
        """Rate the rows by other limits."""
        self._limits = limits
        self._judge()
        self._tell_all()

    def set_colours(self, colours: Sequence[QColor]) -> None:
        """Show other colours beside the rows."""
        self._swatches = [_swatch(colour) for colour in colours]
        self._tell_all()

    def row(self, number: int) -> Row:
        """The figures of a row, counted in the order in which they came."""
        return self._rows[number]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of figures, without the verdict's."""
        return self._columns[1:]

    def _judge(self) -> None:
        self._verdicts = [judge(row, self._limits) for row in self._rows]

    def _tell_all(self) -> None:
        if self._rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._rows) - 1, len(self._columns) - 1))
            self.headerDataChanged.emit(Qt.Orientation.Vertical, 0, len(self._rows) - 1)

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """How many rows."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """How many columns, the verdict's among them."""
        return 0 if parent is not None and parent.isValid() else len(self._columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:  # noqa: N802
        """Columns are headed by figure and unit, rows by structure and colour."""
        if orientation == Qt.Orientation.Horizontal:
            column = self._columns[section]
            return {Role.DisplayRole: column.heading, Role.ToolTipRole: column.tip}.get(role)
        if role == Role.DecorationRole:
            return self._swatches[section]
        name = name_of(self._rows[section])
        return {Role.DisplayRole: display_text(name), Role.ToolTipRole: tip(name)}.get(role)

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """A cell's text, order, colour and tool tip."""
        verdict, column = self._verdicts[index.row()], self._columns[index.column()]
        key = column.key
        if role == Role.BackgroundRole:
            return TINTS.get(verdict.rating) if verdict.rating is not None else None
        if role == Role.ToolTipRole:
            return _missed(verdict)
        if role == Role.FontRole and key in {limit.metric for limit in verdict.missed}:
            return BOLD
        if role == Role.TextAlignmentRole:
            return (
                Qt.AlignmentFlag.AlignRight if key else Qt.AlignmentFlag.AlignHCenter
            ) | Qt.AlignmentFlag.AlignVCenter
        if role not in (Role.DisplayRole, Role.UserRole):
            return None
        if not key:
            return MARKS[verdict.rating] if role == Role.DisplayRole else _order(verdict.rating)
        row = self._rows[index.row()]
        return column.text(row) if role == Role.DisplayRole else _order(row.get(key))


class _Rows(QSortFilterProxyModel):
    """Sorts the rows, and leaves those out that are hidden."""

    def __init__(self, parent: QTableView, figures: MetricsModel) -> None:
        super().__init__(parent)
        self._figures = figures
        self._hides: Callable[[Row], bool] = lambda _: False
        self.setSourceModel(figures)
        self.setSortRole(Role.UserRole)

    def set_hidden(self, hides: Callable[[Row], bool]) -> None:
        """Leave out the rows for which `hides` is true."""
        self._hides = hides
        self.invalidate()

    def filterAcceptsRow(self, number: int, _parent: QModelIndex) -> bool:  # noqa: N802 - Qt's name
        return not self._hides(self._figures.row(number))


class MetricsTable(QTableView):
    """Shows a `MetricsModel`; a click on a heading sorts, a click on a row chooses it and a second one lets go."""

    row_chosen = Signal(object)
    """The row that is chosen now, or None."""

    def __init__(self) -> None:
        super().__init__()
        self.figures = MetricsModel()
        self._sorted = _Rows(self, self.figures)
        self.setModel(self._sorted)
        self._chosen: int | None = None
        self.is_following = False
        """Whether a row is being chosen because its object was clicked in the canvas."""
        self._look()
        self.clicked.connect(lambda index: self._choose(index.row()))
        self.verticalHeader().sectionClicked.connect(self._choose)
        self._sorted.modelReset.connect(self._forget)

    def _look(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setStyleSheet(STYLE)
        titles, names = self.horizontalHeader(), self.verticalHeader()
        titles.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        titles.setSortIndicatorClearable(True)
        self.setSortingEnabled(True)
        titles.setMinimumSectionSize(26)
        titles.setHighlightSections(False)
        titles.setResizeContentsPrecision(30)  # rows that are looked at for a column's width
        names.setHighlightSections(False)
        names.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        names.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        names.setDefaultSectionSize(24)

    def show_rows(self, rows: list[Row], columns: tuple[Column, ...], colours: Sequence[QColor]) -> None:
        """Show figures; `show_view` says how many of them."""
        self.figures.show_rows(rows, columns, colours)
        self.setColumnHidden(0, not any(key in row for row in rows for key in ("dice", "iou")))

    def show_view(self, keys: set[str], hides: Callable[[Row], bool]) -> None:
        """Show the columns of these figures and the rows that are not hidden, in as much height as they need."""
        self._sorted.set_hidden(hides)
        for number, column in enumerate(self.figures.columns, start=1):
            self.setColumnHidden(number, column.key not in keys)
        self.resizeColumnsToContents()
        shown = min(max(self._sorted.rowCount(), 1), MOST_VISIBLE_ROWS) * self.verticalHeader().defaultSectionSize()
        bar = self.horizontalScrollBar().sizeHint().height()
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + shown + bar + 2 * self.frameWidth())

    @property
    def chosen(self) -> Row | None:
        """The row that is chosen, or None."""
        return next((row for row in self.rows if label_of(row) == self._chosen), None)

    @property
    def rows(self) -> list[Row]:
        """The rows in the order on screen."""
        places = (self._sorted.index(place, 0) for place in range(self._sorted.rowCount()))
        return [self.figures.row(self._sorted.mapToSource(place).row()) for place in places]

    def choose_label(self, label: int) -> None:
        """Choose the row of a label that was clicked elsewhere, and scroll to it; nothing where it has none."""
        place = next((place for place, row in enumerate(self.rows) if label_of(row) == label), None)
        if place is None:
            return
        self.is_following = True
        try:
            self.selectRow(place)
            self.scrollTo(self._sorted.index(place, 1))
            if label != self._chosen:
                self._choose(place)
        finally:
            self.is_following = False

    def _choose(self, place: int) -> None:
        row = self.rows[place]
        if label_of(row) == self._chosen:
            self._forget()
        else:
            self._chosen = label_of(row)
            self.row_chosen.emit(row)

    def _forget(self) -> None:
        self._chosen = None
        self.clearSelection()
        self.row_chosen.emit(None)


def _missed(verdict: Verdict) -> str | None:
    if verdict.rating is None:
        return None
    return f"Wanted: {', '.join(map(str, verdict.missed))}" if verdict.missed else "All limits are met."


def _order(value: float | None) -> float:
    """What to sort by: a figure that does not apply comes before all."""
    return -math.inf if value is None or math.isnan(value) else float(value)


def _swatch(colour: QColor) -> QPixmap:
    square = QPixmap(12, 12)
    square.fill(colour)
    return square
