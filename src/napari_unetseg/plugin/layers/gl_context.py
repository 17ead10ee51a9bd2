"""The OpenGL context of the canvas, held current while napari frees what a removed layer was drawn with.

napari (0.9.2, `napari._vispy.canvas`) carries out vispy's queued deletions as soon as a layer is removed, outside of
any drawing, and does not make its canvas's context current for that. What is current then is whatever drew last, mostly
Qt's own context, which shares programs with the canvas: the programs are deleted there, Mesa's software renderer still
looks at one of them at the next frame, and the process dies in `glDrawArrays`. It happens whenever what is drawn first
thereafter is no layer, such as the brush's circle when all layers are gone.
"""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QObject
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget


class ContextHolder(QObject):
    """Makes the context of a window's canvas current before napari hears that a layer was removed.

    Parameters
    ----------
    viewer : Viewer
    widget : QWidget
        A widget that is docked in the viewer's window, or floats beside it; its parent.
    """

    def __init__(self, viewer: Viewer, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        viewer.layers.events.removed.connect(self.hold, position="first")

    def hold(self, _event: Any = None) -> None:
        """Make it current."""
        window = self._widget
        while window.parentWidget() is not None:
            window = window.parentWidget()
        for canvas in window.findChildren(QOpenGLWidget):
            if canvas.isVisible():
                canvas.makeCurrent()
