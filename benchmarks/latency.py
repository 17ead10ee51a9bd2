"""How soon a stroke shows: from the end of a stroke to the repainted slice, and the longest stall of the window.

A real viewer, a real mouse: ``xvfb-run -a -s "-screen 0 1280x1024x24" python benchmarks/latency.py``. Background and
axons of the bundled nerve (512 × 512, repeated as a stack) are painted with *Live* on; each stroke begins half a second
after the one before has shown, while the other slices are still being predicted. The median counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import napari
import numpy as np
from napari._qt.qt_event_loop import get_qapp
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from fewshot import facts
from heartbeat import Heartbeat
from napari_unetseg.core.io.loadsave import load_labels, load_volume
from napari_unetseg.core.io.samples import find_sample
from napari_unetseg.plugin.learn.loop import Judged, SliceSeen

SIDE, SLICES, Z = 512, 8, 3
LONGEST_WAIT = 400.0
STALL = 0.1
"""Seconds: no gap in the event loop should be longer."""


class Painter:
    """Paints in a viewer, and waits until it shows."""

    def __init__(self, folder: Path) -> None:
        nerve = find_sample("nerve")
        image, self.truth = load_volume(nerve.image).array[0, 0], load_labels(nerve.labels).array[0]
        self.viewer = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(1280, 1000)
        stack = np.repeat(image[None, :SIDE, :SIDE], SLICES, 0)
        self.viewer.add_image(stack, axis_labels=("z", "y", "x"), name=str(folder / "nerve"))
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")
        self.widget.choices.minutes.setValue(0)
        self.widget.paint.add_button.click()
        self.viewer.dims.set_current_step(0, Z)
        self.layer = self.widget.paint.canvas.layer
        self.layer.brush_size = 5
        self._verdicts, self.rejected, self.shown = 0, 0, 0
        self.widget.bridge.progressed.connect(self._hear)

    def _hear(self, record: object) -> None:
        if isinstance(record, Judged):
            self._verdicts += 1
            self.rejected += not record.verdict.accepted
            if not record.verdict.accepted:
                self.shown = self._verdicts  # the slice on screen shows the better model already
        if isinstance(record, SliceSeen) and record.z == Z:
            self.shown = self._verdicts

    def begin(self) -> None:
        """Some paint of each kind, and *Live*."""
        for label in (0, 1):
            for seed in range(5):
                self._stroke(label, seed)
        self.widget.bar.live.setChecked(True)
        self.wait_until(lambda: self.shown > 0)
        self.wait_until(lambda: "Waiting" in self.widget.bar.line.text())

    def timed_stroke(self, number: int) -> float:
        """Seconds from the end of a stroke until the slice is repainted."""
        self._stroke(number % 2, 100 + number)
        began, before = time.perf_counter(), self._verdicts
        self.wait_until(lambda: self.shown > before)
        return time.perf_counter() - began

    def _stroke(self, label: int, seed: int) -> None:
        """A stroke of 10 pixels from where the reference has that label."""
        self.widget.paint._pick(label + 1)
        places = np.argwhere(self.truth[:SIDE, 20 : SIDE - 20] == label)
        y, x = places[np.random.default_rng(seed).integers(len(places))]
        canvas = self.viewer.window._qt_viewer.canvas
        points = [canvas.view.camera.transform.map([x + 20 + along, y]) for along in (0, 5, 10)]
        spots = [QPoint(round(point[0]), round(point[1])) for point in points]
        QTest.mouseMove(canvas.native, spots[0])
        QTest.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=spots[0])
        for spot in spots[1:]:
            QTest.mouseMove(canvas.native, spot)
        QTest.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, pos=spots[-1])

    def wait_until(self, condition: Any) -> None:
        """Let the window live until something is so."""
        deadline = time.perf_counter() + LONGEST_WAIT
        while not condition():
            if time.perf_counter() > deadline:
                raise TimeoutError("The widget did not answer.")
            get_qapp().processEvents()
            time.sleep(0.001)

    def rest(self, seconds: float) -> None:
        """Let the window live for a while."""
        end = time.perf_counter() + seconds
        self.wait_until(lambda: time.perf_counter() > end)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strokes", type=int, default=20)
    arguments = parser.parse_args()
    print(facts())
    with tempfile.TemporaryDirectory() as folder:
        painter = Painter(Path(folder))
        painter.begin()
        heart = Heartbeat()
        seconds = []
        for number in range(arguments.strokes):
            seconds.append(painter.timed_stroke(number))
            painter.rest(0.5)
        clock, own = heart.longest
        print(
            f"\n| stroke to preview, median of {len(seconds)} | slowest | longest stall | without waiting for a core |"
        )
        print("|---|---|---|---|")
        print(f"| {median(seconds):.2f} s | {max(seconds):.2f} s | {clock * 1000:.0f} ms | {own * 1000:.0f} ms |")
        long = sum(own > STALL for _, own in heart.gaps)
        print(f"\n{long} of {len(heart.gaps)} gaps were longer than {1000 * STALL:.0f} ms without waiting for a core.")
        print(f"{painter.rejected} candidates were not taken: what the slice shows stayed.")
        painter.widget.bar.live.setChecked(False)
        painter.widget.bridge.cancel()
        painter.viewer.close()


if __name__ == "__main__":
    main()
