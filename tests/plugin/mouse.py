"""Strokes of a real mouse on napari's canvas."""

from __future__ import annotations

from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest


def stroke(viewer, *points: tuple[float, float]) -> None:
    """Press at the first point (y, x), in world coordinates of the displayed axes, move over the others, release."""
    canvas = viewer.window._qt_viewer.canvas
    places = [_on_canvas(canvas, point) for point in points]
    QTest.mouseMove(canvas.native, places[0])
    QTest.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places[1:]:
        QTest.mouseMove(canvas.native, place)
    QTest.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, pos=places[-1])


def _on_canvas(canvas, point: tuple[float, float]) -> QPoint:
    y, x = point
    place = canvas.view.camera.transform.map([x, y])
    return QPoint(round(place[0]), round(place[1]))
