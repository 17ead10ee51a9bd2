"""What cards, layers and files say is shown by the widgets as text, whatever it looks like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from docked import docked
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QTextDocument
from qtpy.QtWidgets import QApplication, QComboBox, QLabel, QListWidget, QTableWidget, QToolTip, QWidget

from napari_unetseg.core.metrics.columns import as_text, columns_of
from napari_unetseg.core.models.card import DataSource, Score
from napari_unetseg.core.volume import Structure
from napari_unetseg.engine.networks.model_file import load_model, save_model
from napari_unetseg.plugin.metrics.table import MetricsModel
from napari_unetseg.plugin.parts.model_picker import ModelPicker
from napari_unetseg.plugin.parts.text import tip
from napari_unetseg.plugin.segment.compare import _button
from napari_unetseg.plugin.segment.trials import Candidate, Tried
from support import PATIENCE

RICH = "<img src=x><b>bold"
ESCAPES = "\x1b]0;evil\x07\u202e\nb"
SPELLED = r"\x1b]0;evil\x07\u202e\nb"
FOLDED = SPELLED.replace(r"\n", " ")  # as errors are
TEXTS = pytest.mark.parametrize(("text", "shown"), [(RICH, RICH), (ESCAPES, SPELLED)], ids=["rich", "escapes"])


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


def evil_model(path: Path, text: str) -> Path:
    """Give every text of a model's card another one."""
    model = load_model(path)
    (bright,) = model.card.structures
    texts = dict.fromkeys(("title", "description", "version", "training", "licence"), text)
    score = Score(held_out=text, structure=text, metric=text, value=0.5, images=1)
    data = DataSource(name=text, source=text, licence=text, credit=text)
    structures = (bright.model_copy(update={"name": text}),)
    more = {"structures": structures, "scores": (score,), "training_data": (data,), "known_failures": (text,)}
    save_model(path, replace(model, card=model.card.model_copy(update={**texts, **more})))
    return path


def rendered(text: str, format_: Qt.TextFormat = Qt.TextFormat.AutoText) -> str:
    """What Qt shows of a text: itself, or where it takes it for rich text, what that comes out as."""
    rich = Qt.mightBeRichText(text) if format_ == Qt.TextFormat.AutoText else format_ == Qt.TextFormat.RichText
    if not rich:
        return text
    document = QTextDocument()
    document.setHtml(text)
    return document.toPlainText()


def texts_in(widget: QWidget) -> list[str]:
    """All that a widget and those in it show, tool tips among it."""
    widgets = [widget, *widget.findChildren(QWidget)]
    shown = [rendered(part.toolTip()) for part in widgets]
    for part in widgets:
        if isinstance(part, QLabel):
            shown.append(rendered(part.text(), part.textFormat()))
        elif isinstance(part, QComboBox):
            for index in range(part.count()):
                shown += [part.itemText(index), rendered(str(part.itemData(index, Qt.ItemDataRole.ToolTipRole) or ""))]
        elif isinstance(part, QListWidget):
            items = [part.item(row) for row in range(part.count())]
            shown += [text for item in items for text in (item.text(), rendered(item.toolTip()))]
        elif isinstance(part, QTableWidget):
            cells = [part.item(row, column) for row in range(part.rowCount()) for column in range(part.columnCount())]
            shown += [text for item in filter(None, cells) for text in (item.text(), rendered(item.toolTip()))]
    return shown


def check(widget: QWidget, shown: str, least: int) -> None:
    """Every text that has the evil one in it shows it as it is spelled, and there are at least so many."""
    texts = texts_in(widget)
    assert sum(shown in text for text in texts) >= least, texts
    for text in texts:
        assert not {"\x1b", "\x07", "\u202e", "\ufffc"} & set(text), text  # the last stands for a picture
        assert "evil" not in text or SPELLED in text or FOLDED in text
        assert "bold" not in text or RICH in text


@TEXTS
@pytest.mark.usefixtures("warm_child")
def test_a_card_is_shown_as_text_and_so_is_what_its_model_finds(viewer, qtbot, tiny_model, blocks, text, shown):
    viewer.add_image(blocks, name=text)
    widget = docked(viewer, "Segment")
    widget.model.add_file(evil_model(tiny_model, text))
    assert widget.model.box.currentText() == shown
    assert shown in rendered(widget.model.about.text(), widget.model.about.textFormat()).splitlines()[0]
    assert rendered(widget.model.about.toolTip()).splitlines()[0] == f"{shown}, version {shown}"
    with qtbot.waitSignal(widget.bridge.ended, timeout=PATIENCE):
        qtbot.mouseClick(widget.job.button, Qt.MouseButton.LeftButton)
    assert widget.table.item(0, 0).text() == shown
    check(widget, shown, least=5)


def test_a_tool_tip_on_the_screen_shows_the_text(viewer, qtbot, tiny_model):
    widget = docked(viewer, "Segment")
    widget.model.add_file(evil_model(tiny_model, RICH))
    QToolTip.showText(QPoint(10, 10), widget.model.about.toolTip(), widget)
    label = next(w for w in QApplication.topLevelWidgets() if isinstance(w, QLabel) and w.text() == QToolTip.text())
    assert rendered(label.text(), label.textFormat()).startswith(RICH)
    QToolTip.hideText()


@TEXTS
def test_layers_and_channels_are_offered_as_text(viewer, text, shown):
    viewer.add_image(np.zeros((8, 8), np.uint8), name=text)
    widget = docked(viewer, "Learn")
    check(widget, shown, least=1)
    viewer.layers[0].name = f"now {text}"
    check(widget, f"now {shown}", least=1)


@TEXTS
def test_a_files_channels_and_a_wrong_path_are_told_as_text(viewer, qtbot, tmp_path, notifications, text, shown):
    file = tmp_path / "channels.ome.tif"
    channel = text if text == RICH else "\u202ename"  # XML holds no escapes
    names = {"axes": "CYX", "Channel": {"Name": [channel, "b"]}}
    tifffile.imwrite(file, np.zeros((2, 8, 8), np.uint8), ome=True, metadata=names)
    widget = docked(viewer, "Load volume")
    with qtbot.waitSignal(widget.bridge.ended, timeout=PATIENCE):
        widget.inspect(file)
    offered = RICH if text == RICH else r"\u202ename"
    assert widget.part.type.text() == f"uint8, {offered}, b"
    check(widget, offered, least=2)
    with qtbot.waitSignal(widget.bridge.ended, timeout=PATIENCE):
        widget.inspect(tmp_path / text)
    folded = FOLDED if shown == SPELLED else shown
    assert len(notifications) == 1
    assert folded in rendered(notifications[0])
    check(widget, folded, least=1)


@TEXTS
def test_a_metrics_row_and_its_copy_are_text(text, shown):
    model = MetricsModel()
    rows = [{"label": 1, "name": f"={text}", "dice": 0.5, "unit": "pixel"}]
    model.show_rows(rows, columns_of(rows, 2), [QColor("red")])
    heading = lambda role: model.headerData(0, Qt.Orientation.Vertical, role)  # noqa: E731
    assert heading(Qt.ItemDataRole.DisplayRole) == f"={shown}"
    assert rendered(heading(Qt.ItemDataRole.ToolTipRole)) == f"={shown}"
    assert as_text(rows, model.columns).splitlines()[1:] == [f"'={shown}\t0.5"]


@TEXTS
def test_a_model_that_was_tried_and_one_to_begin_with_are_told_of_as_text(qtbot, tiny_model, text, shown):
    card = load_model(evil_model(tiny_model, text)).card
    button = _button(card, Tried(Candidate(card.name, card), np.zeros((4, 4, 3), np.uint8), found=text))
    qtbot.addWidget(button)
    assert rendered(button.toolTip()) == f"{shown}\nFound here: {shown}\nClick to choose this model."
    picker = ModelPicker([card])
    qtbot.addWidget(picker)
    assert shown in picker.box.itemText(0)


def test_a_tip_is_lines_of_text():
    assert rendered(tip("a < b", "&amp;", 3)) == "a < b\n&amp;\n3"
    assert Structure(label=1, name=RICH, colour="#000000").name == RICH
