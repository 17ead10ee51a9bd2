"""A soak: somebody paints, learns, segments, corrects, saves and closes for an hour, in a real viewer.

``xvfb-run -a -s "-screen 0 1280x1024x24" python tests/plugin/soak.py FOLDER --minutes 60 --seed 0``

What happens is drawn at random from a fixed seed and done by clicks, keys and strokes of the mouse. A round is a visit
to one image: open it, bring its paint back, work on it, close everything. At its end memory is measured. It is an error

- if paint that comes back is not what was painted last, voxel for voxel;
- if something is shown as an error, or a traceback is printed;
- if napari or its largest child is more than 10 % larger in the last third of rounds than in the one before (medians);
- if a process is left when napari has closed.

One image stays open throughout: plain napari 0.9.2 can crash under software OpenGL (vispy, ``glDrawArrays``) when all
layers are removed after a stroke. The first third of rounds is for caches to fill. The last line is JSON with the
counts; the exit code is 1 after an error.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import tifffile
from mouse import stroke
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

SHAPE = (10, 96, 96)
IMAGES = 3
GROWTH = 1.10
LEAST_ROUNDS = 9
"""Fewer say nothing of memory."""
EXPECTED = "Nothing is painted."
"""What is rightly said where somebody learns without paint."""
PATIENCE = 120.0
"""Seconds that a job may take on a busy machine."""


class Soak:
    """A napari, and what is done in it.

    Parameters
    ----------
    folder : Path
        For images, their paint, results and models.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        import napari
        from napari.utils.notifications import notification_manager

        from support import threshold_model

        self.folder, self.random = folder, random.Random(seed)
        self.images = [self._image(number) for number in range(IMAGES)]
        self.model = folder / "threshold.safetensors"
        threshold_model(self.model)
        self.painted: dict[Path, np.ndarray] = {}
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        notification_manager.notification_ready.connect(self._hear)
        self.viewer = napari.Viewer()
        self.ground = self.viewer.add_image(np.zeros(SHAPE, np.uint8), name="ground", axis_labels=("z", "y", "x"))
        self._dock()

    def _image(self, number: int) -> Path:
        """A file of bright blocks on a dark and noisy ground."""
        path, generator = self.folder / f"image-{number}.tif", np.random.default_rng(number)
        stack = generator.normal(60, 15, SHAPE)
        for z, y, x in generator.integers((0, 8, 8), (8, 76, 76), (12, 3)):
            stack[z : z + 3, y : y + 14, x : x + 14] += 120
        tifffile.imwrite(path, stack.clip(0, 255).astype(np.uint8), metadata={"axes": "ZYX"}, photometric="minisblack")
        return path

    def _hear(self, notification) -> None:
        if notification.severity >= "error" and not str(notification.message).startswith(EXPECTED):
            self.errors.append(f"shown: {notification.message}")

    def _dock(self) -> None:
        add = self.viewer.window.add_plugin_dock_widget
        self.learn, self.segment = (add("napari-unetseg", name)[1] for name in ("Learn", "Segment"))
        self.segment.model.add_file(self.model)

    def round(self) -> None:
        """A visit to an image."""
        image = self.random.choice(self.images)
        self.viewer.open(image, plugin="napari-unetseg")
        self._wait(0.2)
        self._bring_paint_back(image)
        actions: list[Callable[[], None]] = [self.paint, self.paint, self.paint, self.key, self.undo, self.walk]
        actions += [self.add_structure, self.learn_now, self.go_live, self.run_segment, self.correct, self.save]
        for action in self.random.choices(actions, k=12):
            action()
            self.done[action.__name__] += 1
            self._wait(0.05)
        self._settle()
        if self.learn.paint.canvas is not None:
            self.painted[image] = np.asarray(self.learn.paint.canvas.last)
        self._close()

    def _bring_paint_back(self, image: Path) -> None:
        if image in self.painted and self.painted[image].any():
            offer = self.learn.paint.offer
            if offer.kept is None:
                self.errors.append(f"the paint of {image.name} is not offered")
                return
            self._click(offer.restore_button)
            back = np.asarray(self.learn.paint.canvas.layer.data)
            if not np.array_equal(back, self.painted[image]):
                self.errors.append(f"{np.count_nonzero(back != self.painted[image])} voxels of {image.name} differ")
            self.done["restored"] += 1
        else:
            self._click(self.learn.paint.add_button)
        self._settle()

    def paint(self) -> None:
        """Strokes of the brush on a slice, some of them with the eraser."""
        layer = self.learn.paint.canvas.layer
        self.viewer.layers.selection.active = layer
        layer.brush_size = self.random.randint(2, 9)
        layer.mode = "erase" if self.random.random() < 0.2 else "paint"
        for _ in range(self.random.randint(1, 3)):
            self._stroke()

    def correct(self) -> None:
        """Strokes on the newest result of *Segment*, if there is one."""
        results = [layer for layer in self.viewer.layers if self._is_result(layer)]
        if results:
            self.viewer.layers.selection.active = results[-1]
            results[-1].mode = "paint"
            self._stroke()

    def key(self) -> None:
        """Another structure to paint with, by Ctrl and a digit."""
        self._active_painted()
        self._press(self.random.choice((Qt.Key.Key_1, Qt.Key.Key_2)), Qt.KeyboardModifier.ControlModifier)

    def undo(self) -> None:
        """Undo the last stroke."""
        self._active_painted()
        self._press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    def walk(self) -> None:
        """Go to another slice."""
        self.viewer.dims.set_point(0, self.random.randrange(SHAPE[0]))

    def add_structure(self) -> None:
        """One more structure, up to three."""
        if len(self.learn.paint.canvas.structures.names) < 3:
            self._click(self.learn.paint.tools.add_button)

    def learn_now(self) -> None:
        """Learn once; without enough paint it is said."""
        if not self.learn.bridge.is_running:
            self.learn.choices.minutes.setValue(0)
            self._click(self.learn.bar.button)
            self._until(lambda: not self.learn.bridge.is_running, "learning")

    def go_live(self) -> None:
        """Learn after each of some strokes, and stop in the midst of it."""
        self._click(self.learn.bar.live)
        self.paint()
        self._wait(self.random.uniform(0, 1.5))
        self._click(self.learn.bar.live)
        self._stop_learning()

    def run_segment(self) -> None:
        """Segment the image, now and then cancelled."""
        self._click(self.segment.job.button)
        if self.random.random() < 0.2:
            self._click(self.segment.job.button)
        self._until(lambda: not self.segment.bridge.is_running, "segmentation")

    def save(self) -> None:
        """Save a result and read it again; save the model, if there is one."""
        for layer in [layer for layer in self.viewer.layers if self._is_result(layer)][-1:]:
            path = self.folder / "result.ome.tif"
            layer.save(str(path), plugin="napari-unetseg")
            if not np.array_equal(tifffile.imread(path).reshape(layer.data.shape), layer.data):
                self.errors.append("a saved result is not what was on screen")
        if self.learn.results.versions.versions and not self.learn.bridge.is_running:
            self.learn.save(self.folder / "learned.safetensors")

    def _close(self) -> None:
        """Close the image, and now and then the widgets."""
        self._stop_learning()
        for layer in [layer for layer in self.viewer.layers if layer is not self.ground]:
            self.viewer.layers.remove(layer)
        if self.random.random() < 0.05:
            for widget in (self.learn, self.segment):
                self.viewer.window.remove_dock_widget(widget)
            self.done["docked"] += 1
            self._wait(0.2)
            self._dock()
        self._wait(0.2)

    def _settle(self) -> None:
        """Until all paint is on the disk."""
        self._stop_learning()
        self._wait(0.8)
        self._until(lambda: not self.learn.paint.flow.is_busy, "paint")

    def _stop_learning(self) -> None:
        for _ in range(2):
            if self.learn.bridge.is_running:
                self._click(self.learn.bar.stop_button)
        self._until(lambda: not self.learn.bridge.is_running, "stop")

    def _is_result(self, layer) -> bool:
        return type(layer).__name__ == "Labels" and "painted" not in layer.name and "learning" not in layer.name

    def _active_painted(self) -> None:
        self.viewer.layers.selection.active = self.learn.paint.canvas.layer

    def _stroke(self) -> None:
        self.viewer.window._qt_window.activateWindow()
        y, x = self.random.randint(4, 90), self.random.randint(4, 80)
        stroke(self.viewer, (y, x), (min(90, y + 6), x + 10))

    def _press(self, key, modifier) -> None:
        self.viewer.window._qt_window.activateWindow()
        QTest.keyClick(self.viewer.window._qt_viewer.canvas.native, key, modifier)

    def _click(self, button) -> None:
        QTest.mouseClick(button, Qt.MouseButton.LeftButton) if button.isVisible() else button.click()
        QApplication.processEvents()

    def _wait(self, seconds: float) -> None:
        QTest.qWait(round(1000 * seconds))

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not end within {PATIENCE:.0f} s")
            QTest.qWait(20)

    def sizes(self) -> tuple[int, int, int]:
        """Bytes of napari and of its largest child, without what they share, and how many children there are."""
        gc.collect()
        children = psutil.Process().children(recursive=True)
        largest = max((_bytes(child) for child in children), default=0)
        return psutil.Process().memory_full_info().uss, largest, len(children)


def _bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0


def _is_ours(process: psutil.Process) -> bool:
    """Whether a child is one of the program's, and not Python's own."""
    try:
        return "resource_tracker" not in " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return False


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def growth(sizes: list[int]) -> float:
    """The median of the last third, as a part of that of the third before it."""
    third = len(sizes) // 3
    return statistics.median(sizes[2 * third :]) / max(1.0, statistics.median(sizes[third : 2 * third]))


def main() -> int:
    """Soak, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    soak = Soak(arguments.folder, arguments.seed)
    sys.excepthook = lambda kind, error, _: soak.errors.append(f"{kind.__name__}: {error}")
    began, sizes = time.monotonic(), []
    while time.monotonic() - began < 60 * arguments.minutes:
        soak.round()
        sizes.append(soak.sizes())
        napari, child, count = sizes[-1]
        now = time.monotonic() - began
        _say(f"{now:.0f} s: {napari / 1e6:.0f} MB, {count} children, the largest {child / 1e6:.0f} MB")
    ours = [child for child in psutil.Process().children(recursive=True) if _is_ours(child)]
    soak.viewer.close()
    QTest.qWait(200)
    _, alive = psutil.wait_procs(ours, timeout=30)
    soak.errors += [f"left: {process.pid}" for process in alive]
    grown = [growth([size[i] for size in sizes]) for i in (0, 1)] if len(sizes) >= LEAST_ROUNDS else [1.0, 1.0]
    if max(grown) > GROWTH:
        soak.errors.append(f"memory grew: napari {grown[0]:.2f} times, its child {grown[1]:.2f} times")
    summary = {"rounds": len(sizes), "growth": [round(g, 3) for g in grown], "done": soak.done, "errors": soak.errors}
    _say(json.dumps(summary))
    return 1 if soak.errors else 0


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))
    code = main()
    os._exit(code)  # Qt's own end under a virtual display is not what is measured here
