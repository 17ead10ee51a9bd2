"""Fine-tuning to paint: a light head in seconds, then a U-Net on top of it, kept only where it is better."""

from __future__ import annotations

import copy
import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.fine_tuning import FineTuneSettings, Paint, painted_card, structures_of
from napari_unetseg.core.painted import class_count, hold_out
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.engine.features import MagnifiedSource, magnified_paint
from napari_unetseg.engine.head import Head, HeadSettings
from napari_unetseg.engine.learn import FittedHead, class_dice, iter_fit_head, mean_dice
from napari_unetseg.engine.lesson import Lesson, base_of, feature_sources
from napari_unetseg.engine.light import LightNet, Refiner
from napari_unetseg.engine.losses import boundary_weights, class_weights, painted_loss
from napari_unetseg.engine.model_file import Model
from napari_unetseg.engine.refine import RefinerBatches, refined_classes, seen_slices
from napari_unetseg.engine.train import Loss, Trained, TrainSettings, iter_train
from napari_unetseg.engine.unet import UNet, UNetSettings

TRIAL_SHARE = 0.4
"""Part of the training that is done without the held-out paint, to see whether training helps."""
SMALL = UNetSettings(2, 1, 2, widths=(16, 32, 64), norm="batch")
"""The refiner where no model was given to begin with."""
LEARNING_RATE = 2e-3
TREES = 20
"""Beside the light head: a slice of 512 × 512 then takes 0.4 s more."""
MAGNIFICATIONS = (0.67, 1.5)
"""Sizes, beside the image's own, that paint is learned at where several scales are asked for."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FineTuned:
    """What fine-tuning gave.

    Parameters
    ----------
    model : Model
        Its card holds the held-out scores.
    steps : int
        Training steps of the U-Net; 0 where the light head was better without it, or none were asked for.
    held_out_dice : dict of float
        Dice on held-out paint by structure label, before the model saw that paint. The head and the U-Net were chosen
        by it. Empty where no structure could be held out.
    head_dice : dict of float
        The same of the light head alone.
    seconds : float
    notes : tuple of str
        What the user should know.
    """

    model: Model
    steps: int
    held_out_dice: dict[int, float]
    head_dice: dict[int, float]
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def mean_dice(self) -> float | None:
        """Held-out Dice, averaged over structures; None where none was held out."""
        return mean_dice(self.held_out_dice) if self.held_out_dice else None


def iter_fine_tune(
    lesson: Lesson, start: Model | None, settings: FineTuneSettings, checkpoint: Path | None = None
) -> Job[FineTuned]:
    """Learn from paint; closing the generator stops it.

    Parameters
    ----------
    lesson : Lesson
    start : Model or None
        A 2D U-Net of one channel, whose features are joined with the hand-made ones and whose weights the U-Net on
        top begins with; or the result of an earlier fine-tuning.
    checkpoint : Path, optional
        Training goes on from files of this name with a mark of paint and settings appended, if they exist. They are
        removed at the end.

    Raises
    ------
    ModelError
        If `start` is of another kind.
    """
    began = time.monotonic()
    run = _Run(lesson, start, settings, checkpoint)
    fitted = yield from iter_fit_head(run.sources, run.painted, run.held, head_settings(settings))
    refiner, steps, dice = None, 0, fitted.dice
    if fitted.dice and settings.steps != 0:
        left = _Budget(settings, began)
        trial = yield from run.train(fitted.trial, run.learning, left.first(), "trial")
        found = run.score(fitted, trial.network)
        if mean_dice(found) >= mean_dice(fitted.dice):
            last = yield from run.train(fitted.head, run.painted, left.second(), "final", trial.network)
            refiner, steps, dice = last.network, trial.steps + last.steps, found
    model = run.model(fitted, refiner, dice)
    run.forget()
    notes = () if refiner is not None or settings.steps == 0 else (_why_light(fitted),)
    return FineTuned(model, steps, dice, fitted.dice, time.monotonic() - began, notes)


def head_settings(settings: FineTuneSettings) -> HeadSettings:
    """How the light head is fitted, as asked for."""
    return HeadSettings(
        trees=TREES,
        seed=settings.seed,
        structure_weight=settings.structure_weight,
        boundary_weight=settings.boundary_weight,
    )


def _why_light(fitted: FittedHead) -> str:
    if not fitted.dice:
        return "Too little is painted to hold any of a structure out: the light head was taken, without a score."
    return "Training the U-Net made it worse on held-out paint: the light head was taken."


def loss_of(settings: FineTuneSettings) -> Loss:
    """The sparse loss with the weights that are asked for."""

    def loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        classes = class_weights(scores.shape[1], settings.structure_weight, scores.device)
        return painted_loss(scores, labels, boundary_weights(labels, settings.boundary_weight), classes)

    return loss


@dataclass
class _Budget:
    """How the time or the steps are shared between the trial and the last training."""

    settings: FineTuneSettings
    began: float

    def first(self) -> TrainSettings:
        """For the trial."""
        return self._share(TRIAL_SHARE, LEARNING_RATE)

    def second(self) -> TrainSettings:
        """For what is left."""
        return self._share(1 - TRIAL_SHARE, LEARNING_RATE / 2)

    def _share(self, share: float, learning_rate: float) -> TrainSettings:
        if self.settings.steps is not None:
            return TrainSettings(steps=math.ceil(self.settings.steps * share), learning_rate=learning_rate)
        left = (self.settings.minutes or 0) - (time.monotonic() - self.began) / 60
        part = share if share == TRIAL_SHARE else 1.0
        return TrainSettings(minutes=max(left * part, 1 / 60), learning_rate=learning_rate)


class _Run:
    """One fine-tuning: the images' features, and networks that are built on them."""

    def __init__(
        self, lesson: Lesson, start: Model | None, settings: FineTuneSettings, checkpoint: Path | None
    ) -> None:
        self.lesson, self.start, self.settings = lesson, start, settings
        self.base = base_of(start)
        self.channels, self.outputs = len(lesson.volumes[0].channels), class_count(lesson.painted)
        self.sources = list(lesson.sources) or feature_sources(lesson.volumes, start, settings.device)
        self.learning, self.held = hold_out(lesson.painted)
        self.painted = list(lesson.painted)
        for factor in MAGNIFICATIONS if settings.several_scales else ():
            self._magnify(factor)
        self.checkpoint = checkpoint and checkpoint.with_name(f"{checkpoint.name}.{self._mark():08x}")

    def _magnify(self, factor: float) -> None:
        """Add the images at another size; what is held out is scored at their own size alone."""
        count = len(self.lesson.volumes)
        learning = [magnified_paint(p, factor) for p in self.learning[:count]]
        self.sources += [MagnifiedSource(source, factor) for source in self.sources[:count]]
        self.learning += learning
        self.painted += learning
        self.held += [np.zeros_like(p) for p in learning]

    def _mark(self) -> int:
        """A number that is another one for other paint, another start or other settings."""
        known = repr((self.settings, self.start and self.start.card, [volume.name for volume in self.lesson.volumes]))
        return zlib.crc32(b"".join(p.tobytes() for p in self.lesson.painted), zlib.crc32(known.encode()))

    def _file(self, stage: str) -> Path | None:
        return self.checkpoint and self.checkpoint.with_name(f"{self.checkpoint.name}.{stage}")

    def forget(self) -> None:
        """Remove the checkpoints."""
        for stage in ("trial", "final"):
            file = self._file(stage)
            if file is not None:
                file.unlink(missing_ok=True)

    def light(self, head: Head, refiner: UNet | None = None) -> LightNet:
        """The light model of a head, and of a refiner."""
        return LightNet(self.sources[0].extractor, head, refiner).eval()

    def train(
        self,
        head: Head,
        painted: Sequence[Array],
        settings: TrainSettings,
        stage: str,
        refiner: UNet | None = None,
    ) -> Job[Trained]:
        """Train a refiner on some of the paint, seen through `head`."""
        yield Progress(0, 1, "Preparing to train")
        network = self.light(head)
        slices = seen_slices(network, self.sources, painted)
        batches = RefinerBatches(slices, self.channels, self.settings.seed)
        if refiner is None:
            refiner = self._fresh_refiner(network).to(self.sources[0].device)
        settings = replace(settings, loss=loss_of(self.settings))
        return (yield from iter_train(refiner, batches, settings, checkpoint=self._file(stage)))

    def _fresh_refiner(self, network: LightNet) -> Refiner:
        torch.manual_seed(self.settings.seed)
        like = self.base.settings if self.base is not None else SMALL
        settings = replace(like, inputs=self.channels + network.settings.hidden, outputs=self.outputs)
        return Refiner.fresh(settings, self.channels, self.base)

    def score(self, fitted: FittedHead, refiner: UNet) -> dict[int, float]:
        """Held-out Dice of the refined trial head."""
        slices = seen_slices(self.light(fitted.trial), self.sources, self.held)
        return class_dice(*refined_classes(refiner, slices))

    def model(self, fitted: FittedHead, refiner: UNet | None, dice: dict[int, float]) -> Model:
        """The result, with its card filled in, on the CPU; a copy, since the features may go on being used."""
        network = copy.deepcopy(self.light(fitted.head, refiner)).cpu()
        painted = self.lesson.painted
        voxels = sum(int(np.count_nonzero(p)) for p in painted)
        images = sum(bool(p.any()) for p in painted)
        paint = Paint(structures_of(self.outputs - 1, self.lesson.names), voxels, images, dice)
        start = self.start.card if self.start is not None else None
        return Model(network, painted_card(network.settings.to_json(), self.lesson.volumes, paint, start))
