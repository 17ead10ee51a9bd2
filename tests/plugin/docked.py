"""Our widgets as napari docks them from its menu: they are handed public proxies of the viewer and of its layers."""

from __future__ import annotations

from typing import Any


def docked(viewer: Any, name: str) -> Any:
    """The widget that the menu calls so; one that is docked already is shown."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", name)
    return widget
