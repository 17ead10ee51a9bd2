"""Docks of our widgets: one of each in a viewer, and in tabs where there are several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from napari.layers import Layer
from napari.viewer import Viewer
from npe2 import PluginManager
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_unetseg.core.steps import Step
from napari_unetseg.plugin.preferences import PLUGIN

DISPLAY_NAME = "U-Net segmentation"
COMMANDS = {
    "Home": "home", "Load volume": "load", "Segment": "segment", "Learn": "learn", "Correct": "correct",
    "Metrics": "metrics", "Clean up": "clean_up",
}  # fmt: skip
"""Of our widgets, by title, as the manifest has them."""


class ShowsSteps(Protocol):
    """The *Clean up* widget, as much of it as others know: the rooms of the widgets do not know each other."""

    def show_steps_on(self, labels: Layer, steps: Iterable[Step]) -> None:
        """Show what steps make of a labels layer, and let them be changed."""


class TakesSteps(Protocol):
    """The *Learn* widget, as much of it as *Clean up* knows."""

    def take_steps(self, steps: Iterable[Step]) -> None:
        """Models that are saved from now on do these steps."""


def open_widget(viewer: Viewer, title: str) -> Any:
    """One of our widgets, in front of the other docks; it is docked where the viewer has none.

    It gets the name that napari's menu gives it, so that the menu shows and hides this one, and opens no second.
    """
    docked = viewer.window.dock_widgets
    widget = next((docked[name] for name in (menu_name(title), f"{title} ({PLUGIN})") if name in docked), None)
    if widget is None:
        widget = PluginManager.instance().commands.get(f"{PLUGIN}.{COMMANDS[title]}")(viewer)
        viewer.window.add_dock_widget(widget, name=menu_name(title))
    dock = dock_of(widget)
    if dock is not None:
        dock.show()
        dock.raise_()
    return widget


def menu_name(title: str) -> str:
    """The name of a dock that napari's menu opens."""
    return f"{title} ({DISPLAY_NAME})"


def dock_of(widget: QWidget) -> QDockWidget | None:
    """The dock that a widget is in; None where it is in none."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent


def gather(widget: QWidget, kind: type[QWidget]) -> None:
    """Put a widget's dock into a tab beside the one that holds another of a kind on the same side of the window.

    One under the other, two of ours would be too low to work with.
    """
    dock = dock_of(widget)
    window = dock.parentWidget() if dock is not None else None
    if dock is None or not isinstance(window, QMainWindow):
        return
    dock.setWindowTitle(dock.windowTitle().partition(" (")[0])  # a tab has room for no more
    side = window.dockWidgetArea(dock)
    for other in window.findChildren(QDockWidget):
        is_ours = other is not dock and isinstance(_inner(other), kind)
        if is_ours and not (other.isFloating() or other.isHidden()) and window.dockWidgetArea(other) == side:
            if dock not in window.tabifiedDockWidgets(other):
                window.tabifyDockWidget(other, dock)
            dock.raise_()
            return


def _inner(dock: QDockWidget) -> QWidget | None:
    inner: QWidget | None = dock.widget()
    return inner
