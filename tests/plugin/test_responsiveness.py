"""The window stays alive: no gap in its event loop is longer than 100 ms while a 3D segmentation runs.

A timer of 5 ms notes when the event loop gets round to it, from the click until the result is on screen. Two things
are not ours and are taken off: the time in which the system let other programs run instead of the window's thread
(Linux counts it), and napari's own `add_layer`, which builds controls and shaders for the new layer (about 0.1 s).
"""

import time

import numpy as np
from docked import docked
from qtpy.QtCore import QTimer

from support import waited

LONGEST = 0.1
"""Seconds."""
ATTEMPTS = 5
"""A stall of ours comes every time, one of the machine does not: the best attempt counts."""


class Heartbeat:
    """The longest gap in the event loop."""

    def __init__(self) -> None:
        self.longest = self.longest_by_the_clock = 0.0
        self.resume()
        self._timer = QTimer()
        self._timer.timeout.connect(self.beat)
        self._timer.start(5)

    def beat(self) -> None:
        gap = time.perf_counter() - self._last
        self.longest_by_the_clock = max(self.longest_by_the_clock, gap)
        self.longest = max(self.longest, gap - (waited() - self._waited))
        self.resume()

    def resume(self) -> None:
        self._last, self._waited = time.perf_counter(), waited()


def test_the_event_loop_never_stalls_while_a_stack_is_segmented(
    make_napari_viewer, qtbot, tiny_model, warm_child, monkeypatch, record_property
):
    viewer = make_napari_viewer(show=True)
    stack = np.random.default_rng(0).integers(0, 255, (64, 256, 256), np.uint8)
    viewer.add_image(stack, axis_labels=("z", "y", "x"))
    widget = docked(viewer, "Segment")
    widget.model.add_file(tiny_model)
    beats: list[Heartbeat] = []
    napari_adds = type(viewer).add_layer

    def add_layer(self, layer):
        beats[-1].beat()
        added = napari_adds(self, layer)
        beats[-1].resume()
        return added

    monkeypatch.setattr(type(viewer), "add_layer", add_layer)
    while len(beats) < ATTEMPTS and not any(heart.longest <= LONGEST for heart in beats):
        qtbot.waitUntil(lambda: widget.forecast.text() != "", timeout=120_000)  # the child has come up
        with qtbot.waitSignal(widget.bridge.ended, timeout=120_000):
            beats.append(Heartbeat())
            widget.job.button.click()
        beats[-1].beat()
        assert np.array_equal(viewer.layers[-1].data, stack > 127)
    record_property("longest gaps (s)", [(heart.longest, heart.longest_by_the_clock) for heart in beats])
    assert min(heart.longest for heart in beats) <= LONGEST
