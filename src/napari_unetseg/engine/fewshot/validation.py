"""The two fits of fine-tuning, one for validation and one on all labels: their time, their loss, and their scores."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch

from napari_unetseg.core.annotations.sparse_labels import IGNORE
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.engine.fewshot.run import FineTuningRun
from napari_unetseg.engine.networks.unets.unet import UNet
from napari_unetseg.engine.training.loop import Loss, Trained, TrainProgress, TrainSettings, iter_train
from napari_unetseg.engine.training.losses import boundary_weights, class_weights, painted_loss
from napari_unetseg.engine.training.patches import BatchSource

VALIDATION_SHARE = 0.4
"""Part of the training that is done without the held-out labels, to see whether training helps."""
LEARNING_RATE = 2e-3
FEWEST_STEPS = 40
"""Before so many steps nobody can say that training broke down."""
TIMED = 5
"""Steps that are timed."""

Stage = Literal["validation", "refit"]


@dataclass(frozen=True)
class Schedule:
    """How the time or the steps are shared between the two fits, and where each keeps its checkpoint.

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
    checkpoint: Path | None = None

    @classmethod
    def of(cls, run: FineTuningRun, checkpoint: Path | None = None) -> Self:
        """That of a run that begins now; other labels, models to begin with or settings have other checkpoints."""
        card = run.pretrained and run.pretrained.card
        known = repr((run.settings, card, [volume.name for volume in run.dataset.volumes]))
        mark = zlib.crc32(known.encode())
        for paint in run.dataset.painted:
            mark = zlib.crc32(np.ascontiguousarray(paint).reshape(-1).view(np.uint8).data, mark)
        marked = checkpoint and checkpoint.with_name(f"{checkpoint.name}.{mark:08x}")
        return cls(run.settings, time.monotonic(), marked)

    def training(self, stage: Stage) -> TrainSettings:
        """How to train; of minutes, the refit has all that are left."""
        share = VALIDATION_SHARE if stage == "validation" else 1 - VALIDATION_SHARE
        peak = LEARNING_RATE if stage == "validation" else LEARNING_RATE / 2
        learning_rate = peak * self.settings.learning_rate
        loss = loss_of(self.settings)
        settings = partial(TrainSettings, learning_rate=learning_rate, half=True, loss=loss)
        if self.settings.steps is not None:
            return settings(steps=math.ceil(self.settings.steps * share))
        left = (self.settings.minutes or 0) - (time.monotonic() - self.began) / 60
        minutes = left * share if stage == "validation" else left
        return settings(minutes=max(minutes, 1 / 60))

    def train(
        self, stage: Stage, network: UNet, batches: BatchSource, training: TrainSettings | None = None
    ) -> Job[Trained[UNet] | None]:
        """Train from the fit's checkpoint on, as `training` says; None where training breaks down, see `steady`."""
        settings = training or self.training(stage)
        return (yield from steady(iter_train(network, batches, settings, checkpoint=self.file(stage))))

    def file(self, stage: Stage) -> Path | None:
        """A fit's checkpoint."""
        return self.checkpoint and self.checkpoint.with_name(f"{self.checkpoint.name}.{stage}")

    def forget(self) -> None:
        """Remove the checkpoints."""
        for stage in ("validation", "refit"):
            file = self.file(stage)
            if file is not None:
                file.unlink(missing_ok=True)


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


def known_classes(scored: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true classes (P,) int64 of all known voxels; empty where there are none.

    Parameters
    ----------
    scored : iterable of tensors (outputs, [Z,] Y, X) and ([Z,] Y, X)
        Class scores, and the classes of the same voxels or `IGNORE`.
    """
    predicted, true = [torch.zeros(0, dtype=torch.int64)], [torch.zeros(0, dtype=torch.int64)]
    for scores, labels in scored:
        known = labels != IGNORE
        predicted.append(scores.argmax(0)[known].cpu())
        true.append(labels[known].cpu().long())
    return torch.cat(predicted), torch.cat(true)


def class_dice(
    predicted: torch.Tensor, classes: torch.Tensor, stands_for: torch.Tensor | None = None
) -> dict[int, float]:
    """Dice of each class above 0 that is in `classes`: 2 |P ∩ C| / (|P| + |C|), over the given voxels.

    Parameters
    ----------
    predicted, classes : tensor, int64, (P,)
    stands_for : tensor, float32, (P,), optional
        How many voxels each stands for: without it, thinned ones of many classes would flatter the rare ones.
    """
    each = torch.ones(len(classes)) if stands_for is None else stands_for
    found = {}
    for label in np.unique(classes.numpy()).tolist():
        if label > 0:
            p, c = predicted == label, classes == label
            found[label] = float(2 * each[p & c].sum() / (each[p].sum() + each[c].sum()))
    return found


def mean_dice(dice: Mapping[int, float]) -> float:
    """Mean over structures; 0 where there is none."""
    return sum(dice.values()) / len(dice) if dice else 0.0


def is_no_worse(found: Mapping[int, float], before: Mapping[int, float], tolerance: float = 0.0) -> bool:
    """Whether the mean Dice of a candidate is not lower by more than `tolerance`; what is not a number is worse."""
    return mean_dice(found) >= mean_dice(before) - tolerance
