"""Hops: the modules that data passes from a stroke to its preview, and from a click on *Segment* to the new layer.

A real viewer without a mouse: ``xvfb-run -a -s "-screen 0 1280x1024x24" python benchmarks/hops.py``. Both processes are
profiled. Whenever the data is handed on (put into a queue, written as a message, read, given to the engine, drawn),
the modules of this package that stand on the stack are those that it passes; helpers that were called and have
returned are none. The engine counts with its door: what it does inside is computing, not passing on.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.service import verbs

PACKAGE = "napari_unetseg."
HANDED_ON = {
    "PaintWatch._after_stroke", "CommandQueue.put", "Bridge.start", "_Run._work", "encode", "decode", "send",
    "LearningSession.learn", "LearningSession.predict",
    "iter_predict", "_SliceLayer.repaint", "LayerList.insert",
}  # fmt: skip
"""Functions that hand data on, by qualified name."""
OVER = {"stroke": "_SliceLayer.repaint", "click": "LayerList.insert"}
"""With which function each way ends."""
MOST = 15
"""Modules from a stroke to its preview."""
PATIENCE = 600.0

Seen = tuple[float, str, list[str]]
"""When, into which function, and the stack: ``module: function`` of this package, the outermost first."""
_seen: list[Seen] = []


def profile(frame: FrameType, event: str, _argument: Any) -> None:
    """Note the stack when data is handed on."""
    if event == "call" and frame.f_code.co_qualname in HANDED_ON:
        _seen.append((time.monotonic(), frame.f_code.co_qualname, stack(frame)))


def stack(frame: FrameType | None) -> list[str]:
    """The package's functions on the stack."""
    found = []
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(PACKAGE):
            found.append(f"{module.removeprefix(PACKAGE)}: {frame.f_code.co_qualname}")
        frame = frame.f_back
    return found[::-1]


def begin() -> Job[None]:
    """Profile the worker process: a verb of this script's."""
    _seen.clear()
    sys.setprofile(profile)
    yield Progress(1, 1, "Profiling")


def end() -> Job[list[Seen]]:
    """What was seen there."""
    sys.setprofile(None)
    yield Progress(1, 1, "Profiling")
    return _seen


def way(began: float, seen: list[Seen], last: str) -> list[str]:
    """The first function of each module, in the order in which the data came to them."""
    seen = sorted(each for each in seen if each[0] >= began)
    ends = [index for index, (_, name, _) in enumerate(seen) if name == last]
    passed = [place for _, _, places in seen[: ends[0] + 1] for place in places]
    first: dict[str, str] = {}
    for place in passed:
        first.setdefault(place.partition(":")[0], place)
    return list(first.values())


class Window:
    """A viewer with a widget of ours, whose two processes are profiled."""

    def __init__(self, name: str) -> None:
        import napari

        array = np.random.default_rng(0).integers(0, 40, (4, 64, 64), np.uint8)
        array[:, 16:48, 16:48] += 150
        self.viewer = napari.Viewer(show=True)
        self.viewer.add_image(array, name="block", axis_labels=("z", "y", "x"))
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-unetseg", name)
        threading.setprofile(profile)

    def wait(self, until: Callable[[], bool]) -> None:
        """Let Qt work."""
        from qtpy.QtWidgets import QApplication

        began = time.monotonic()
        while not until():
            QApplication.processEvents()
            time.sleep(0.005)
            if time.monotonic() - began > PATIENCE:
                raise TimeoutError("nothing came of it")

    def passed(self, start: Callable[[], None], last: str) -> list[str]:
        """The way of what `start` sets going."""
        worker = self.widget.bridge._worker
        finish(worker.run(begin))
        _seen.clear()
        began = time.monotonic()
        sys.setprofile(profile)
        start()
        self.wait(lambda: any(name == last for _, name, _ in _seen))
        sys.setprofile(None)
        mine = list(_seen)
        theirs = finish(self.widget.bridge._worker.run(end))
        return way(began, mine + theirs, last)


def stroke() -> list[str]:
    """From a stroke to the preview of the slice on screen, while learning is live."""
    from napari_unetseg.plugin.learn.loop import WAITING

    window, said = Window("Learn"), [""]
    widget = window.widget
    widget.choices.start.box.setCurrentIndex(0)
    widget.choices.minutes.setValue(0)
    widget.bridge.progressed.connect(lambda record: said.append(getattr(record, "stage", "")))
    widget.paint.add_button.click()
    layer = widget.paint.canvas.layer
    window.viewer.dims.set_point(0, 1)
    for y, x, value in ((6, 10, 1), (6, 50, 1), (58, 30, 1), (25, 25, 2), (38, 38, 2)):
        layer.paint((1, y, x), value)
    widget.bar.live.setChecked(True)
    window.wait(lambda: widget.layers.preview is not None and said[-1] == WAITING)
    way = window.passed(lambda: layer.paint((1, 44, 30), 2), OVER["stroke"])
    widget.session.stop()
    window.viewer.close()
    return way


def click() -> list[str]:
    """From a click on Segment to the new layer."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    window = Window("Segment")
    window.widget.model.choose("nuclei-3d")
    box = window.widget.model.box
    box.showPopup()  # none was made for such an image: a person has to choose
    QTest.keyClick(box.view(), Qt.Key.Key_Return)
    window.wait(lambda: window.widget.job.button.isEnabled())
    way = window.passed(window.widget.job.button.click, OVER["click"])
    window.viewer.close()
    return way


def main() -> None:
    """Print both ways, or fail where a stroke passes too many modules."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", nargs="?", choices=["stroke", "click"], help="one of the ways; both if not given")
    ways, chosen = {"stroke": stroke, "click": click}, parser.parse_args().way
    for name in [chosen] if chosen else ways:
        passed = ways[name]()
        print(f"\n{name}: {len(passed)} modules", *passed, sep="\n  ")
        if name == "stroke" and len(passed) > MOST:
            sys.exit(f"Expected at most {MOST} modules from a stroke to its preview; got {len(passed)}.")


if __name__ == "__main__":
    sys.modules["hops"] = sys.modules["__main__"]  # the verbs are known under this name
    begin.__module__ = end.__module__ = "hops"
    os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()  # the paint of this image is nobody's
    verbs.register("trace.begin", "hops:begin")
    verbs.register("trace.end", "hops:end")
    main()
