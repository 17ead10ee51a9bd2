"""The two stages of fine-tuning a U-Net: a trial that has not seen the held-out paint, and the last training."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.engine.fewshot.training_set import Lesson
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.unets.unet import UNet
from napari_unetseg.engine.training.loop import Loss, Trained, TrainProgress, TrainSettings
from napari_unetseg.engine.training.losses import boundary_weights, class_weights, painted_loss

TRIAL_SHARE = 0.4
"""Part of the training that is done without the held-out paint, to see whether training helps."""
LEARNING_RATE = 2e-3
FEWEST_STEPS = 40
"""Before so many steps nobody can say that training broke down."""

Stage = Literal["trial", "final"]


@dataclass(frozen=True)
class Stages:
    """How the time or the steps are shared between the stages, and where each keeps its checkpoint.

    Parameters
    ----------
    settings : FineTuneSettings
    began : float
        `time.monotonic()` of the beginning.
    checkpoint : Path or None
        What the checkpoints' names begin with.
    """

    settings: FineTuneSettings
    began: float
    checkpoint: Path | None

    def training(self, stage: Stage) -> TrainSettings:
        """How to train; of minutes, the last stage has all that are left."""
        share = TRIAL_SHARE if stage == "trial" else 1 - TRIAL_SHARE
        learning_rate = LEARNING_RATE if stage == "trial" else LEARNING_RATE / 2
        loss = loss_of(self.settings)
        settings = partial(TrainSettings, learning_rate=learning_rate, half=True, loss=loss)
        if self.settings.steps is not None:
            return settings(steps=math.ceil(self.settings.steps * share))
        left = (self.settings.minutes or 0) - (time.monotonic() - self.began) / 60
        minutes = left * share if stage == "trial" else left
        return settings(minutes=max(minutes, 1 / 60))

    def file(self, stage: Stage) -> Path | None:
        """Its checkpoint."""
        return self.checkpoint and self.checkpoint.with_name(f"{self.checkpoint.name}.{stage}")

    def forget(self) -> None:
        """Remove the checkpoints."""
        for stage in ("trial", "final"):
            file = self.file(stage)
            if file is not None:
                file.unlink(missing_ok=True)


def stages(lesson: Lesson, start: Model | None, settings: FineTuneSettings, checkpoint: Path | None) -> Stages:
    """The stages of a fine-tuning that begins now; other paint, start or settings have other checkpoints."""
    known = repr((settings, start and start.card, [volume.name for volume in lesson.volumes]))
    mark = zlib.crc32(b"".join(p.tobytes() for p in lesson.painted), zlib.crc32(known.encode()))
    return Stages(settings, time.monotonic(), checkpoint and checkpoint.with_name(f"{checkpoint.name}.{mark:08x}"))


def steady(job: Job[Trained[UNet]]) -> Job[Trained[UNet] | None]:
    """A training that is stopped when most of its steps have no finite gradient; its result is then None."""
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            trained: Trained[UNet] = stop.value
            return None if 2 * trained.skipped > trained.steps else trained
        if isinstance(progress, TrainProgress) and 2 * progress.skipped > max(progress.done, FEWEST_STEPS):
            job.close()
            return None
        yield progress


def loss_of(settings: FineTuneSettings) -> Loss:
    """The sparse loss with the weights that are asked for."""

    def loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        classes = class_weights(scores.shape[1], settings.structure_weight, scores.device)
        return painted_loss(scores, labels, boundary_weights(labels, settings.boundary_weight), classes)

    return loss


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
