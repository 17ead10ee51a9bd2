"""All that the docked widgets show is in words that their users know, and in numbers that can be read."""

import re

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QAbstractSpinBox, QComboBox, QTableView, QWidget

from napari_unetseg.plugin.parts.docks import COMMANDS
from support import PATIENCE

FORBIDDEN = re.compile(
    r"`|light head|light model|\bforecast\b|\bcanvas\b|\bckpt\b|\bstride\b|\blogits?\b|bfloat16|traceback|"
    r"\bnan\b|(?-i:\bNone\b)|"
    r"--\w+(?<!--limits)\b",
    re.IGNORECASE,
)
NUMBER = re.compile(r"(?<![\w.@])\d+(?:[ ,]\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")


def significant(number: str) -> int:
    """Digits of a number that carry meaning; zeros after a whole number's last other digit are none."""
    digits = re.sub(r"e.*|[ ,]", "", number)
    digits = digits.lstrip("0.") if "." in digits else digits.strip("0")
    return len(digits.replace(".", ""))


def texts(widget: QWidget) -> set[str]:
    """What a widget and all inside it show, their tooltips too."""
    found = set()
    for part in (widget, *widget.findChildren(QWidget)):
        found.add(QWidget.toolTip(part))
        if callable(getattr(part, "text", None)):
            found.add(part.text())
        if isinstance(part, QAbstractSpinBox):
            found.add(getattr(part, "specialValueText", str)())
        if isinstance(part, QComboBox):
            for row in range(part.count()):
                found |= {part.itemText(row), part.itemData(row, Qt.ItemDataRole.ToolTipRole) or ""}
        if isinstance(part, QTableView):
            found |= cells(part)
    return found - {""}


def cells(table: QAbstractItemView) -> set[str]:
    """A table's cells and headers."""
    model, roles = table.model(), (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole)
    shown = {model.headerData(n, Qt.Orientation.Horizontal, role) for n in range(model.columnCount()) for role in roles}
    for row in range(model.rowCount()):
        shown |= {model.index(row, n).data(role) for n in range(model.columnCount()) for role in roles}
    return {str(text) for text in shown if text}


@pytest.fixture
def shown(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    """Everything that our widgets show of a sample, by widget."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-unetseg", "hippocampus")
    found = {}
    for title in COMMANDS:
        _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", title)
        if title == "Learn":
            widget.paint.add_button.click()
        if title == "Metrics":
            table = widget.findChild(QTableView)
            qtbot.waitUntil(lambda table=table: table.model().rowCount() > 0, timeout=PATIENCE)
        qtbot.wait(50)
        found[title] = texts(widget)
    return found


def test_no_word_is_of_the_program_alone(shown):
    assert all(len(found) > 10 for found in shown.values())
    assert [(title, text) for title, found in shown.items() for text in found if FORBIDDEN.search(text)] == []


def test_no_number_has_more_than_four_digits(shown):
    long = [
        (title, text)
        for title, found in shown.items()
        for text in found
        for number in NUMBER.findall(text)
        if significant(number) > 4
    ]
    assert long == []


def test_the_tables_are_walked_through(shown):
    assert any("anterior hippocampus" in text or "structure 1" in text for text in shown["Metrics"])
