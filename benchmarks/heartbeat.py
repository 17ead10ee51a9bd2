"""Heartbeat: the gaps in a window's event loop, while something else goes on."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

from qtpy.QtCore import QTimer

BEAT = 5
"""Milliseconds."""
LONG = 0.1
"""Seconds after which it is noted what the window's thread is doing."""
SCHEDULING = Path("/proc/thread-self/schedstat")


class Heartbeat:
    """Gaps in the event loop: by the clock, and without the time in which other programs had the processor.

    Parameters
    ----------
    explains : bool
        Whether to note what the window's thread does in long gaps, in `doing`.
    """

    def __init__(self, *, explains: bool = False) -> None:
        self.gaps: list[tuple[float, float]] = []
        self.doing: Counter[str] = Counter()
        self._last = self._now()
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT)
        self._is_beating = True
        if explains:
            threading.Thread(target=self._watch, args=(threading.get_ident(),), daemon=True).start()

    def _now(self) -> tuple[float, float]:
        waited = int(SCHEDULING.read_text().split()[1]) / 1e9 if SCHEDULING.exists() else 0.0
        return time.perf_counter(), waited

    def _beat(self) -> None:
        now = self._now()
        gap, waited = now[0] - self._last[0], now[1] - self._last[1]
        self.gaps.append((gap, gap - waited))
        self._last = now

    def _watch(self, thread: int) -> None:
        while self._is_beating:
            time.sleep(0.02)
            if time.perf_counter() - self._last[0] > LONG:
                stack = traceback.extract_stack(sys._current_frames()[thread])
                self.doing[" > ".join(f"{Path(f.filename).stem}:{f.lineno} {f.name}" for f in stack[-9:])] += 1

    def stop(self) -> None:
        """Count no gap any more."""
        self._beat()
        self._is_beating = False
        self._timer.stop()

    @property
    def longest(self) -> tuple[float, float]:
        """Seconds: the longest gap by the clock, and the longest without waiting for the processor."""
        return max(gap for gap, _ in self.gaps), max(own for _, own in self.gaps)
