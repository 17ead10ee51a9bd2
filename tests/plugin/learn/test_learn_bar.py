"""The bar and the curves of learning: they follow the news, but not faster than the window can be painted."""

import sys

import pytest
from qtpy.QtWidgets import QWidget

from napari_unetseg.core.progress import Progress
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.learn.bar import LearnBar
from napari_unetseg.plugin.learn.loop import WAITING
from napari_unetseg.plugin.learn.plot import LossPlot
from napari_unetseg.plugin.parts.plot import load_plots


@pytest.fixture
def home(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def bar(home):
    bar = LearnBar(Bridge(home))
    bar.setParent(home)
    return bar


def test_of_quick_progress_the_first_and_the_newest_are_shown(bar, qtbot):
    shown = []
    bar._bridge.started.emit()
    bar.progress.valueChanged.connect(shown.append)
    for done in range(1, 50):
        bar._bridge.progressed.emit(Progress(done, 60, "Predicting"))
    assert bar.progress.value() == 1
    qtbot.waitUntil(lambda: bar.progress.value() == 49, timeout=5000)
    assert shown == [1, 49]
    assert bar.line.text() == "Predicting…"
    assert bar.progress.updatesEnabled()


def test_old_progress_does_not_come_after_the_end(bar, qtbot):
    bar._bridge.started.emit()
    bar.tell("Version 1 is in use.")
    for done in (1, 2):
        bar._bridge.progressed.emit(Progress(done, 60, "Predicting"))
    bar._bridge.ended.emit()
    assert bar.line.text() == "Version 1 is in use."
    qtbot.wait(400)
    assert bar.line.text() == "Version 1 is in use."


def test_an_error_is_red_and_the_next_line_is_not(bar):
    bar.say("Nothing is painted.", error=True)
    assert "#ff6b6b" in bar.line.styleSheet()
    bar._bridge.progressed.emit(Progress(1, 1, WAITING))
    assert "#ff6b6b" not in bar.line.styleSheet()
    assert bar.line.text().strip() == f"{WAITING}."


def test_plots_are_loaded_beside_the_window_and_losses_are_two_lines(qtbot):
    load_plots()
    qtbot.waitUntil(lambda: hasattr(sys.modules.get("pyqtgraph"), "PlotWidget"), timeout=60_000)
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.add((0.5,), begins=True)
    assert plot._curves == ()
    plot.add((0.25, 0.75), begins=False)
    plot.add((0.5,), begins=False)
    assert len(plot.canvas.listDataItems()) == 2
    assert list(plot._curves[0].getData()[1]) == [0.5, 0.25, 0.75, 0.5]
    plot.add((0.1, 0.2), begins=True)
    assert list(plot._curves[0].getData()[1]) == [0.1, 0.2]
