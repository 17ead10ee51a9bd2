"""How long a step of fine-tuning takes, to turn minutes into steps: only steps can be repeated exactly."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import numpy as np

from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.engine.train import TrainProgress

TIMED = 5
"""Steps that are timed."""


def seconds_a_step(job: Job[Any]) -> Generator[Progress, None, float]:
    """Seconds that a training step takes, after the first one; the job is then closed."""
    seconds: list[float] = []
    while len(seconds) <= TIMED:
        began = time.monotonic()
        record = next(job, None)
        if record is None:  # it ended without training
            return 1.0
        if isinstance(record, TrainProgress):
            seconds.append(time.monotonic() - began)
        yield Progress(0, 1, "Timing the training" if seconds else record.stage)
    job.close()
    return float(np.median(seconds[1:]))
