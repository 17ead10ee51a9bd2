"""Make the pictures of ``docs/images``: napari with the widgets at work on the samples and the bundled models.

Run under a display, or a virtual one::

    xvfb-run -a -s "-screen 0 1400x1000x24" python docs/make_screenshots.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari._qt.qt_event_loop import get_qapp
from PIL import Image, ImageOps

from napari_unetseg.core.io.samples import find_sample
from napari_unetseg.plugin.learn.widget import LearnWidget

IMAGES = Path(__file__).parent / "images"
SIZE = (1280, 860)


def main() -> None:
    """Make every picture."""
    os.chdir(IMAGES.parents[1])
    IMAGES.mkdir(exist_ok=True)
    for name, show in (
        ("home.png", _home),
        ("correct.png", _correct),
        ("segment.png", _structures),
        ("objects.png", _objects),
        ("load.png", _load),
        ("metrics.png", _metrics),
    ):
        _picture(IMAGES / name, show)
    _loop(IMAGES / "learn-loop.png")


def _picture(path: Path, show: Callable[[napari.Viewer], None]) -> None:
    viewer = napari.Viewer(show=True)
    window = viewer.window._qt_window
    window.resize(*SIZE)
    show(viewer)
    _pass_time(2.0)
    window.grab().save(str(path))
    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    viewer.close()


def _structures(viewer: napari.Viewer) -> None:
    """A brain structure in an MR: named classes, and their volumes in the table."""
    _segment(viewer, "hippocampus")
    viewer.dims.set_current_step(0, 17)
    viewer.reset_view()


def _home(viewer: napari.Viewer) -> None:
    """What there is to do, and the samples; an open one."""
    viewer.open_sample("napari-unetseg", "fly-brain")
    viewer.layers.pop()  # the reference labels
    _docked(viewer, "Home")
    viewer.reset_view()


def _correct(viewer: napari.Viewer) -> None:
    """A result whose mistakes in one slice have been brushed away, and which is right there now."""
    viewer.open_sample("napari-unetseg", "hippocampus")
    truth = viewer.layers.pop().data
    viewer.layers.selection.active = viewer.layers[0]
    segment = _docked(viewer, "Segment")
    segment.job.button.click()
    _wait_until(lambda: not segment.bridge.is_running)
    correct = _docked(viewer, "Correct")
    viewer.dims.set_current_step(0, 17)
    correct.correct_button.click()
    _pass_time(1.0)
    layer = viewer.layers.selection.active
    layer.brush_size = 1
    for y, x in np.argwhere(layer.data[17] != truth[17]):
        layer.paint((17, y, x), truth[17, y, x])
    _pass_time(1.0)
    correct.right_button.click()
    viewer.reset_view()


def _objects(viewer: napari.Viewer) -> None:
    """A stack of nuclei: numbered objects, seen in 3D."""
    _segment(viewer, "plant-nuclei")
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (-20, 25, -60)
    viewer.reset_view(reset_camera_angle=False)


def _segment(viewer: napari.Viewer, sample: str) -> None:
    viewer.open_sample("napari-unetseg", sample)
    viewer.layers.pop()  # the reference labels
    widget = _docked(viewer, "Segment")
    widget.job.button.click()
    _wait_until(lambda: not widget.bridge.is_running)
    _wait_until(lambda: widget.forecast.text() != "")  # so that the picture has one


def _docked(viewer: napari.Viewer, name: str) -> Any:
    """A widget as napari's menu docks it."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", name)
    return widget


def _load(viewer: napari.Viewer) -> None:
    """A file that has been inspected, and then loaded."""
    widget = _docked(viewer, "Load volume")
    widget.inspect(find_sample("fly-brain").image.relative_to(Path.cwd()))
    _wait_until(lambda: not widget.bridge.is_running)
    widget.job.button.click()
    _wait_until(lambda: not widget.bridge.is_running)
    viewer.reset_view()


def _metrics(viewer: napari.Viewer) -> None:
    """A segmentation beside its reference: figures, Dice by slice, and a layer of what is wrong."""
    viewer.open_sample("napari-unetseg", "hippocampus")
    image, reference = viewer.layers
    reference.name = "reference"
    segment = _docked(viewer, "Segment")
    segment.job.button.click()
    _wait_until(lambda: not segment.bridge.is_running)
    widget = _docked(viewer, "Metrics")
    widget.choice.reference_box.choose(reference)
    _wait_until(lambda: widget.report is not None)
    widget.errors_button.click()
    _wait_until(lambda: not widget.errors_bridge.is_running)
    viewer.dims.set_current_step(0, 17)
    image.contrast_limits = (0, image.contrast_limits[1])
    viewer.reset_view()


def _loop(path: Path) -> None:
    """A row of pictures: paint, its preview, a slice far away, the score; membranes in a stack of a fly's brain."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(*SIZE)
    viewer.open_sample("napari-unetseg", "fly-brain")
    truth = viewer.layers.pop().data
    widget = _docked(viewer, "Learn")
    widget.choices.minutes.setValue(0.5)
    widget.paint.add_button.click()
    widget.paint.table.item(1, 0).setText("membrane")
    painted, last = len(truth) // 3, len(truth) - 1
    _dab(widget, truth, painted, 60)
    _dab(widget, truth, painted + 4, 60)
    viewer.dims.set_current_step(0, painted)
    viewer.reset_view()
    row = [_canvas(viewer)]
    widget.bar.button.click()
    _wait_until(lambda: not widget.bridge.is_running)
    row.append(_canvas(viewer))
    viewer.dims.set_current_step(0, last)
    row.append(_canvas(viewer))
    widget.grab().save(str(path))
    row.append(Image.open(path).convert("RGB"))
    viewer.close()
    _joined(row).quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def _dab(widget: LearnWidget, truth: np.ndarray, z: int, count: int) -> None:
    """Small spots of paint on one slice, where the reference says."""
    layer, generator = widget.paint.canvas.layer, np.random.default_rng(z)
    for label in (0, 1):
        places = np.argwhere(truth[z] == label)
        for y, x in places[generator.choice(len(places), count)]:
            spot = (z, slice(max(0, y - 2), y + 2), slice(max(0, x - 2), x + 2))
            layer.data[spot] = np.where(truth[spot] > 0, 2, 1)
    layer.refresh()


def _canvas(viewer: napari.Viewer) -> Image.Image:
    _pass_time(1.0)
    return Image.fromarray(viewer.screenshot(canvas_only=True, flash=False)[..., :3])


def _joined(pictures: list[Image.Image]) -> Image.Image:
    """Side by side, all of one height; the canvases cut to squares."""
    height, gap = 420, 8
    squares = [ImageOps.fit(picture, (height, height)) for picture in pictures[:-1]]
    panel = pictures[-1].crop((0, 0, pictures[-1].width, min(pictures[-1].height, 2 * pictures[-1].width)))
    row = [*squares, panel.resize((panel.width * height // panel.height, height), Image.Resampling.LANCZOS)]
    whole = Image.new("RGB", (sum(part.width + gap for part in row) - gap, height), "white")
    left = 0
    for part in row:
        whole.paste(part, (left, 0))
        left += part.width + gap
    return whole


def _wait_until(condition: Callable[[], bool], seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("The widget did not come to its end.")
        _pass_time(0.05)


def _pass_time(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        get_qapp().processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main()
