"""Stalls of the window with a large image, beside those of napari alone; seconds to the first preview, and memory.

``xvfb-run -a -s "-screen 0 1280x1024x24" python benchmarks/stalls.py`` builds a stack of blobs (256 × 1024 × 1024
voxels, uint8) and opens it in two napari, one after the other: in one, layers are added and painted by hand; in the
other the plugin's widgets are docked from the menu, and the same strokes of a real mouse are learned from. Where we add
a layer, napari alone adds one like it. A stall is the longest gap in the window's event loop, without the time in
which other programs had the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / folder) for folder in ("", "plugin")]

PATIENCE = 900.0
MIB = 2**20
VALUES = (1, 2)
"""Painted: background, and blobs."""
PHASES = ("paint", "learn", "paint more", "slider", "segment")


def blobs(shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Bright balls on a noisy ground."""
    rng = np.random.default_rng(0)
    stack = rng.integers(20, 60, shape, np.uint8)
    radius = shape[1] // 24
    z, y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1, -radius : radius + 1]
    ball = (z**2 + y**2 + x**2 <= radius**2).astype(np.uint8) * 150
    for place in rng.integers(0, np.array(shape), (60, 3)):
        spans = [(max(0, at - radius), min(size, at + radius + 1)) for at, size in zip(place, shape, strict=True)]
        inside = tuple(slice(a - at + radius, b - at + radius) for (a, b), at in zip(spans, place, strict=True))
        part = stack[tuple(slice(*span) for span in spans)]
        np.maximum(part, part // 2 + ball[inside], out=part)
    return stack


class Window:
    """A viewer with the stack, in which strokes are painted, and whose stalls are measured.

    Parameters
    ----------
    explains : bool
        Whether to print what the window's thread does in long gaps.
    """

    def __init__(self, image: Path, explains: bool) -> None:
        import napari

        self.explains = explains
        self.stalls: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self.viewer = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(1280, 1000)
        self.stack = np.load(image)
        self.viewer.add_image(self.stack, name="blobs", axis_labels=("z", "y", "x"), contrast_limits=(0, 255))
        self.middle = self.stack.shape[0] // 2
        self.viewer.dims.set_current_step(0, self.middle)
        self.most = 0
        self.rest(2)
        self.most = self.memory = psutil.Process().memory_info().rss

    def rest(self, seconds: float) -> None:
        """Let the window live for a while."""
        until = time.perf_counter() + seconds
        self.wait(lambda: time.perf_counter() > until)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Let the window live until something is so."""
        from qtpy.QtWidgets import QApplication

        deadline, looked = time.perf_counter() + PATIENCE, 0.0
        while not condition():
            if time.perf_counter() > deadline:
                raise TimeoutError("Nothing came of it.")
            QApplication.processEvents()
            time.sleep(0.001)
            if time.perf_counter() - looked > 0.2:
                looked = time.perf_counter()
                self.most = max(self.most, psutil.Process().memory_info().rss)

    def measured(self, phase: str, act: Callable[[], None]) -> None:
        """Do something, and note the longest stall meanwhile."""
        from heartbeat import Heartbeat

        heart, began = Heartbeat(explains=self.explains), time.perf_counter()
        act()
        heart.stop()
        self.stalls[phase], self.seconds[phase] = heart.longest[1], time.perf_counter() - began
        print(f"{phase}: {1000 * self.stalls[phase]:.0f} ms in {self.seconds[phase]:.1f} s", file=sys.stderr)
        for place, times in heart.doing.most_common(8):
            print(f"{phase} {times}: {place}", file=sys.stderr)

    def paint(self, slices: tuple[int, ...], pick: Callable[[int], None]) -> None:
        """A stroke of background and one of blobs in each slice; each rests until it is written and counted."""
        from mouse import stroke

        size = self.stack.shape[1]
        for z in slices:
            self.viewer.dims.set_current_step(0, z)
            self.rest(0.5)
            bright = np.argwhere(self.stack[z, size // 4 : -size // 4, size // 4 : -size // 4] > 130) + size // 4
            y, x = bright[len(bright) // 2] if len(bright) else (size // 2, size // 2)
            for value, (top, left) in zip(VALUES, ((size // 3, size // 3), (y, x)), strict=True):
                pick(value)
                stroke(self.viewer, (top, left), (top + 4, left + 6), (top + 8, left + 9))
                self.rest(2.0)

    def slide(self) -> None:
        """Move the slider, as a person does who looks for a place."""
        for z in range(self.middle - 10, self.middle + 10):
            self.viewer.dims.set_current_step(0, z)
            self.rest(0.1)

    def figures(self, **more: Any) -> dict[str, Any]:
        """What was measured."""
        mib = {"image": self.memory / MIB, "most": self.most / MIB}
        return {"stalls": self.stalls, "seconds": self.seconds, "mib": mib, **more}


def alone(image: Path, _model: str, explains: bool) -> dict[str, Any]:
    """The viewer without the plugin."""
    window = Window(image, explains)
    viewer, middle = window.viewer, window.middle
    layer = viewer.add_labels(np.zeros(window.stack.shape, np.uint8), name="paint")
    layer.mode, layer.brush_size = "paint", 10
    window.rest(2)

    def pick(value: int) -> None:
        viewer.layers.selection.active = layer
        layer.selected_label = value

    def add() -> None:
        viewer.add_labels(np.zeros(window.stack.shape, np.uint8), opacity=0.45)
        window.rest(5)

    window.measured("paint", lambda: window.paint((middle, middle - 8, middle + 8), pick))
    window.measured("learn", add)
    window.measured("paint more", lambda: window.paint((middle + 4,), pick))
    window.measured("slider", window.slide)
    window.measured("segment", add)
    return window.figures()


def ours(image: Path, model: str, explains: bool) -> dict[str, Any]:
    """The plugin's widgets, docked from the menu."""
    from napari_unetseg.plugin.learn.loop import SliceSeen

    window = Window(image, explains)
    viewer, middle = window.viewer, window.middle
    _, learn = viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")
    learn.choices.minutes.setValue(0)
    learn.paint.add_button.click()
    window.rest(2)
    seen: list[int] = []
    learn.bridge.progressed.connect(lambda record: seen.append(record.z) if isinstance(record, SliceSeen) else None)
    children: list[float] = [0.0]

    def preview() -> None:
        began = time.perf_counter()
        learn.bar.live.setChecked(True)
        window.wait(lambda: bool(seen))
        window.seconds["first preview"] = time.perf_counter() - began
        window.rest(10)

    def segment() -> None:
        widget.job.button.click()
        window.wait(lambda: not widget.bridge.is_running)
        window.rest(2)

    window.measured("paint", lambda: window.paint((middle, middle - 8, middle + 8), learn.paint._pick))
    window.measured("learn", preview)
    window.measured("paint more", lambda: window.paint((middle + 4,), learn.paint._pick))
    window.measured("slider", window.slide)
    predicted = len(set(seen))
    children.append(psutil.Process(learn.bridge.pid).memory_info().rss / MIB)
    learn.bar.live.setChecked(False)
    learn.bridge.cancel()
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Segment")
    widget.layer.layer_box.choose(viewer.layers["blobs"])
    widget.model.add_file(Path(model))
    window.rest(8)
    window.measured("segment", segment)
    found = viewer.layers[-1]
    return window.figures(child=max(children), predicted=predicted, result=[found.name, list(found.data.shape)])


RUNS = {"alone": alone, "ours": ours}


def measured_in_a_process(name: str, image: Path, model: Path, explains: bool) -> dict[str, Any]:
    """What one of the two napari gave."""
    call = [sys.executable, __file__, "--only", name, "--image", str(image), "--model", str(model)]
    environment = {**os.environ, "XDG_DATA_HOME": str(image.parent / "data")}  # the paint is nobody's
    done = subprocess.run(
        call + ["--explain"] * explains, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def table(theirs: dict[str, Any], mine: dict[str, Any]) -> str:
    """Both, as Markdown."""
    rows = ["| longest stall | napari alone | with the plugin | beyond |", "|---|---|---|---|"]
    for phase in PHASES:
        a, b = 1000 * theirs["stalls"][phase], 1000 * mine["stalls"][phase]
        rows.append(f"| {phase} | {a:.0f} ms | {b:.0f} ms | {b - a:+.0f} ms |")
    rows += ["", "| | |", "|---|---|"]
    rows.append(f"| first preview | {mine['seconds']['first preview']:.1f} s |")
    for name, figures in (("napari alone", theirs), ("napari with the plugin", mine)):
        begun, most = figures["mib"]["image"], figures["mib"]["most"]
        rows.append(f"| {name}, the image open | {begun:.0f} MiB |")
        rows.append(f"| {name}, at most | {most:.0f} MiB ({most - begun:+.0f}) |")
    rows.append(f"| the computing process, learning | {mine['child']:.0f} MiB |")
    return "\n".join(rows)


def main() -> None:
    """Print the table, or one napari's figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 1024, 1024))
    parser.add_argument("--explain", action="store_true", help="say what the window's thread does in long gaps")
    parser.add_argument("--only", choices=list(RUNS), help=argparse.SUPPRESS)
    parser.add_argument("--image", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(RUNS[arguments.only](arguments.image, str(arguments.model), arguments.explain)))
        sys.stdout.flush()
        os._exit(0)  # what would be tidied up is in a temporary folder
    from support import threshold_model

    with tempfile.TemporaryDirectory() as folder:
        image, model = Path(folder, "blobs.npy"), Path(folder, "threshold.safetensors")
        np.save(image, blobs(tuple(arguments.shape)))
        threshold_model(model, dimensions=2)
        theirs, mine = (measured_in_a_process(name, image, model, arguments.explain) for name in RUNS)
        print(table(theirs, mine))


if __name__ == "__main__":
    main()
