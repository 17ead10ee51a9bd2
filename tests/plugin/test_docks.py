"""Our widgets in napari's window: in tabs, one of each, usable when narrow, and ready when one clicks."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget

from napari_unetseg.plugin.parts.docks import DISPLAY_NAME, dock_of, menu_name, open_widget
from napari_unetseg.plugin.preferences import PLUGIN
from support import PATIENCE


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    return viewer


def docked(viewer, title):
    return viewer.window.add_plugin_dock_widget(PLUGIN, title)


def choose_in_menu(viewer, title):
    """Choose our entry of napari's Plugins menu."""
    (ours,) = (action.menu() for action in viewer.window.plugins_menu.actions() if action.text() == DISPLAY_NAME)
    (entry,) = (action for action in ours.actions() if action.text().partition(" (")[0] == title)
    entry.trigger()


def test_a_second_widget_is_put_into_a_tab_and_its_button_is_in_view(viewer, qtbot):
    first, _ = docked(viewer, "Segment")
    second, learn = docked(viewer, "Learn")
    qtbot.waitUntil(lambda: first in viewer.window._qt_window.tabifiedDockWidgets(second))
    qtbot.waitUntil(lambda: learn.visibleRegion().boundingRect().height() > 400)
    first.raise_()
    segment = first.widget()
    qtbot.waitUntil(lambda: not segment.job.button.visibleRegion().isEmpty())
    assert second.windowTitle() == "Learn"


def test_where_someone_puts_a_dock_it_stays(viewer, qtbot):
    first, _ = docked(viewer, "Segment")
    second, _ = docked(viewer, "Metrics")
    window = viewer.window._qt_window
    qtbot.waitUntil(lambda: first in window.tabifiedDockWidgets(second))
    window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, second)
    second.hide()
    second.show()
    qtbot.wait(100)
    assert window.dockWidgetArea(second) == Qt.DockWidgetArea.LeftDockWidgetArea
    assert first not in window.tabifiedDockWidgets(second)


@pytest.mark.parametrize("title", ["Home", "Segment", "Learn", "Metrics", "Clean up", "Load volume"])
def test_every_widget_can_be_used_in_300_pixels(viewer, qtbot, title):
    viewer.add_image(np.zeros((4, 20, 20), np.uint8), axis_labels=("z", "y", "x"))
    dock, widget = docked(viewer, title)
    qtbot.wait(50)
    viewer.window._qt_window.resizeDocks([dock], [300], Qt.Orientation.Horizontal)
    qtbot.waitUntil(lambda: widget.width() <= 320)
    assert widget.widget().minimumSizeHint().width() <= widget.viewport().width()


def test_a_button_opens_the_widget_that_the_menu_opens(viewer, qtbot):
    _, home = docked(viewer, "Home")
    QTest.mouseClick(home.tasks["Segment"], Qt.MouseButton.LeftButton)
    segment = viewer.window.dock_widgets[menu_name("Segment")]
    assert open_widget(viewer, "Segment") is segment
    QTest.mouseClick(home.tasks["Segment"], Qt.MouseButton.LeftButton)
    docks = [d for d in viewer.window._qt_window.findChildren(QDockWidget) if type(d.widget()) is type(segment)]
    assert docks == [dock_of(segment)]
    choose_in_menu(viewer, "Segment")  # which hides what is shown
    assert docks[0].isHidden()
    choose_in_menu(viewer, "Metrics")
    assert open_widget(viewer, "Metrics") is viewer.window.dock_widgets[menu_name("Metrics")]


def test_the_home_opens_a_sample(viewer, qtbot):
    _, home = docked(viewer, "Home")
    QTest.mouseClick(home.samples["hippocampus"], Qt.MouseButton.LeftButton)
    assert [layer.name for layer in viewer.layers] == ["hippocampus", "hippocampus-labels"]


@pytest.mark.parametrize("title", ["Segment", "Learn"])
def test_the_child_is_there_before_the_first_click(viewer, qtbot, title):
    _, widget = docked(viewer, title)
    qtbot.waitUntil(lambda: widget.bridge.pid is not None, timeout=PATIENCE)
