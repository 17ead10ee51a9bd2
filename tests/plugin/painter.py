"""Programs that paint until they are killed; `test_paint_survives_kills` starts them.

``painter.py`` reads a line ``IMAGE SEED SAID`` for each program to start, and answers with its process id. Each is a
copy of this one, in which napari is loaded already: it paints into a layer whose strokes the Learn widget's own paint
section keeps, without a window. ``painter.py IMAGE SEED SAID`` is a whole napari with the plugin docked, and paints by
mouse events. Both write into the file SAID when they begin and after each stroke: the time, how many voxels are
painted, and a checksum.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from docked import docked
from qtpy.QtCore import QTimer

PAUSE = 30
"""Milliseconds between strokes."""


def serve() -> None:
    """Start a painting program for each line that comes."""
    from napari.components import ViewerModel  # noqa: F401
    from npe2 import PluginManager

    import napari_unetseg.plugin.annotate.section  # noqa: F401 - so that the programs have it

    PluginManager.instance().discover()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            image, seed, said = line.split()
            paint_light(Path(image), int(seed), Path(said))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def paint_light(path: Path, seed: int, said: Path) -> None:
    """Without a window: napari's layers and the plugin's paint section."""
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QApplication

    from napari_unetseg.plugin.annotate.section import PaintSection
    from napari_unetseg.plugin.layers.source import LayerSource

    app = QApplication([])
    viewer = ViewerModel()
    (image,) = viewer.open(path, plugin="napari-unetseg")
    section = PaintSection(viewer)
    section.set_image(image, LayerSource.of(image))
    start(section, np.random.default_rng(seed), said, lambda layer, at: layer.paint(at, layer.selected_label))
    app.exec()


def paint_in_viewer(path: Path, seed: int, said: Path) -> None:
    """With a whole napari and its mouse."""
    import napari
    from mouse import stroke

    viewer = napari.Viewer()
    viewer.open(path, plugin="napari-unetseg")
    widget = docked(viewer, "Learn")

    def by_mouse(layer, at) -> None:
        viewer.window._qt_window.activateWindow()
        viewer.dims.set_point(0, at[0])
        stroke(viewer, at[1:], (at[1], at[2] + 6))

    start(widget.paint, np.random.default_rng(seed), said, by_mouse)
    napari.run()


def start(section, generator, said: Path, paint) -> None:
    """Go on with kept paint, or begin; then paint for ever."""
    button = section.add_button if section.offer.kept is None else section.offer.restore_button
    button.click()
    layer = section.canvas.layer
    layer.brush_size = 4
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    timer = QTimer(section)

    def tell() -> None:
        state = zlib.crc32(np.ascontiguousarray(layer.data).tobytes())
        os.write(file, f"{time.monotonic()} {np.count_nonzero(layer.data)} {state}\n".encode())

    def once() -> None:
        section._pick(int(generator.integers(1, 4)))
        paint(layer, tuple(generator.integers((0, 8, 8), (3, 88, 80)).tolist()))
        tell()

    timer.timeout.connect(once)
    timer.start(PAUSE)
    tell()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        paint_in_viewer(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
    else:
        serve()
