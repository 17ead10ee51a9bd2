"""Fine-tuning to paint: a light head in seconds, then a U-Net on top of it, kept where it is not worse."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.annotations.sparse_labels import chance, class_count, hold_out
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings, Paint, painted_card, structures_of
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.engine.fewshot.fit_head import FittedHead, class_dice, iter_fit_head, mean_dice
from napari_unetseg.engine.fewshot.head_training import HeadSettings
from napari_unetseg.engine.fewshot.refiner import RefinerBatches, predicted_classes, seen_slices
from napari_unetseg.engine.fewshot.schedule import Stage, Stages, stages, steady
from napari_unetseg.engine.fewshot.training_set import Lesson, feature_sources
from napari_unetseg.engine.fewshot.unet import Whole, trains_whole
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier, Refiner
from napari_unetseg.engine.networks.pixel.features import MagnifiedSource, magnified_paint
from napari_unetseg.engine.networks.pixel.head import Head
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
from napari_unetseg.engine.training.loop import Trained, iter_train

REFINER = UNetSettings(2, 1, 2, widths=(16, 32, 64), norm="batch")
"""The U-Net on top: small, since what it sees is rich, and many steps count for more than pre-trained weights."""
LOWER = "On held-out paint its Dice is lower by {:.2f} than before; so few slices cannot tell that from chance."
NOTHING_HELD_OUT = "Too little is painted to hold any of a structure out: the light head was taken, without a score."
WORSE = "Training the U-Net made it worse on held-out paint: the model from before it was taken."
BROKE_DOWN = "The loss of training was not a number, so it was stopped: the best model from before that was taken."
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
        A 2D U-Net of one channel, whose features are joined with the hand-made ones; or the result of an earlier
        fine-tuning; or a 3D U-Net, which is trained itself.
    checkpoint : Path, optional
        Training goes on from files of this name with a mark of paint and settings appended, if they exist. They are
        removed at the end.

    Raises
    ------
    ModelError
        If `start` is of another kind.
    """
    plan = stages(lesson, start, settings, checkpoint)
    run = _Run(lesson, start, settings, plan)
    fitted = yield from iter_fit_head(run.sources, run.painted, run.held, head_settings(settings))
    head_dice = run.score(fitted.trial)
    chosen = _Chosen(run.model(run.light(fitted.head), head_dice), 0, head_dice)
    if settings.steps != 0 and (head_dice or settings.keep_structures):
        train = _train_whole if trains_whole(start, settings) else _train_refiner
        chosen = yield from train(run, fitted, chosen)
    elif settings.steps != 0:
        chosen = replace(chosen, note=NOTHING_HELD_OUT)
    plan.forget()
    notes = tuple(dict.fromkeys(filter(None, (chosen.note, *chosen.computing))))
    seconds = time.monotonic() - plan.began
    return FineTuned(chosen.model, chosen.steps, chosen.dice, head_dice, seconds, notes)


def head_settings(settings: FineTuneSettings) -> HeadSettings:
    """How the light head is fitted, as asked for."""
    return HeadSettings(
        trees=TREES,
        seed=settings.seed,
        structure_weight=settings.structure_weight,
        boundary_weight=settings.boundary_weight,
    )


@dataclass(frozen=True)
class _Chosen:
    """What training ended with: the model, its steps, its held-out Dice, and what to say of these and the computing."""

    model: Model
    steps: int
    dice: dict[int, float]
    note: str = ""
    computing: tuple[str, ...] = ()


def _train_refiner(run: _Run, fitted: FittedHead, light: _Chosen) -> Job[_Chosen]:
    """A U-Net on top of the light head, or the head alone where that is better by more than chance explains."""
    trial = yield from steady(run.train(fitted.trial, run.learning, "trial"))
    if trial is None:
        return replace(light, note=BROKE_DOWN)
    found = run.score(fitted.trial, trial.network)
    if not mean_dice(found) >= mean_dice(light.dice) - chance(run.held):
        return replace(light, note=WORSE)
    last = yield from steady(run.train(fitted.head, run.painted, "final", trial.network))
    if last is None:  # the trial has been scored together with the head that it was trained on
        model = run.model(run.light(fitted.trial, trial.network), found)
        return _Chosen(model, trial.steps, found, BROKE_DOWN, trial.notes)
    model = run.model(run.light(fitted.head, last.network), found)
    return _Chosen(model, trial.steps + last.steps, found, _lower(found, light.dice), last.notes)


def _lower(found: dict[int, float], before: dict[int, float]) -> str:
    """What to say of a model that was taken although its held-out Dice is lower."""
    lower = mean_dice(before) - mean_dice(found)
    return LOWER.format(lower) if lower > 0.005 else ""


def _train_whole(run: _Run, fitted: FittedHead, light: _Chosen) -> Job[_Chosen]:
    """The U-Net itself, or the light head where that is better. One that keeps its structures competes with itself."""
    whole, fallback = Whole(run.lesson, run.start, run.settings, run.stages), light
    if run.settings.keep_structures and run.start is not None:
        fallback = _Chosen(run.start, 0, whole.score_of_start())
    trial = yield from steady(whole.train("trial"))
    if trial is None:
        return replace(fallback, note=BROKE_DOWN)
    found = whole.score(trial.network)
    if not mean_dice(found) >= mean_dice(fallback.dice):
        return replace(fallback, note=WORSE)
    last = yield from steady(whole.train("final", trial.network))
    network, steps = (trial.network, trial.steps) if last is None else (last.network, trial.steps + last.steps)
    plain = run.model(network, found)
    model = replace(plain, card=whole.card(plain.card, network))
    return _Chosen(model, steps, found, BROKE_DOWN if last is None else "", trial.notes)


class _Run:
    """One fine-tuning: the images' features, and networks that are built on them."""

    def __init__(self, lesson: Lesson, start: Model | None, settings: FineTuneSettings, plan: Stages) -> None:
        self.lesson, self.start, self.settings, self.stages = lesson, start, settings, plan
        self.channels, self.outputs = len(lesson.volumes[0].channels), class_count(lesson.painted)
        self.sources = list(lesson.sources) or feature_sources(lesson.volumes, start, settings.device)
        self.learning, self.held = hold_out(lesson.painted)
        self.painted = list(lesson.painted)
        for factor in MAGNIFICATIONS if settings.several_scales else ():
            self._magnify(factor)

    def _magnify(self, factor: float) -> None:
        """Add the images at another size; what is held out is scored at their own size alone."""
        count = len(self.lesson.volumes)
        learning = [magnified_paint(p, factor) for p in self.learning[:count]]
        self.sources += [MagnifiedSource(source, factor) for source in self.sources[:count]]
        self.learning += learning
        self.painted += learning
        self.held += [np.zeros_like(p) for p in learning]

    def light(self, head: Head, refiner: UNet | None = None) -> PixelClassifier:
        """The light model of a head, and of a refiner."""
        return PixelClassifier(self.sources[0].extractor, head, refiner).eval()

    def train(
        self, head: Head, painted: Sequence[Array], stage: Stage, refiner: UNet | None = None
    ) -> Job[Trained[UNet]]:
        """Train a refiner on some of the paint, seen through `head`."""
        yield Progress(0, 1, "Preparing to train")
        network = self.light(head)
        slices = seen_slices(network, self.sources, painted)
        batches = RefinerBatches(slices, self.channels, self.settings.seed)
        if refiner is None:
            refiner = self._fresh_refiner(network).to(self.sources[0].device)
        training = self.stages.training(stage)
        return (yield from iter_train(refiner, batches, training, checkpoint=self.stages.file(stage)))

    def _fresh_refiner(self, network: PixelClassifier) -> Refiner:
        torch.manual_seed(self.settings.seed)
        inputs = self.channels + network.settings.hidden
        return Refiner.fresh(replace(REFINER, inputs=inputs, outputs=self.outputs))

    def score(self, trial: Head, refiner: UNet | None = None) -> dict[int, float]:
        """Held-out Dice of a trial head, refined or not; empty where nothing is held out."""
        slices = seen_slices(self.light(trial), self.sources, self.held)
        return class_dice(*predicted_classes(refiner, slices, self.outputs)) if slices else {}

    def model(self, network: UNet | PixelClassifier, dice: dict[int, float]) -> Model:
        """The result, with its card filled in, on the CPU; a copy, since the features may go on being used."""
        painted = self.lesson.painted
        voxels = sum(int(np.count_nonzero(p)) for p in painted)
        images = sum(bool(p.any()) for p in painted)
        paint = Paint(structures_of(network.settings.outputs - 1, self.lesson.names), voxels, images, dice)
        start = self.start.card if self.start is not None else None
        card = painted_card(network.settings.to_json(), self.lesson.volumes, paint, start)
        return Model(copy.deepcopy(network).cpu(), card)
