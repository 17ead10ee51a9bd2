"""Fine-tuning to sparse labels: a light head in seconds, then a U-Net, which is taken where it is not worse."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from napari_unetseg.core.annotations.expected_dice import ExpectedDice, StrokeCounts
from napari_unetseg.core.annotations.sparse_labels import within
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import Job
from napari_unetseg.engine.fewshot.correcting.anchors import corrected_model, iter_anchored
from napari_unetseg.engine.fewshot.fit_head import iter_fit_head
from napari_unetseg.engine.fewshot.head_training import HeadSettings
from napari_unetseg.engine.fewshot.refiner import RefinerTuner
from napari_unetseg.engine.fewshot.run import FineTuningRun, corrects_whole
from napari_unetseg.engine.fewshot.slice_predictor import Slices
from napari_unetseg.engine.fewshot.unet import UNetFineTuner, trains_whole
from napari_unetseg.engine.fewshot.validation import Schedule, Stage, is_no_worse, mean_dice
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.unets.unet import UNet
from napari_unetseg.engine.training.loop import Trained

LOWER = "On held-out paint its Dice is lower by {:.2f} than before; so few slices cannot tell that from chance."
NOTHING_HELD_OUT = "Too little is painted to hold any of a structure out: the light head was taken, without a score."
WORSE = "Training the U-Net made it worse on held-out paint: the model from before it was taken."
BROKE_DOWN = "The loss of training was not a number, so it was stopped: the best model from before that was taken."
TREES = 20
"""Beside the light head: a slice of 512 × 512 then takes 0.4 s more."""


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
    validation : Model or None
        The same without the held-out paint.
    counts : StrokeCounts or None
        What that says about held-out strokes.
    """

    model: Model
    steps: int
    held_out_dice: dict[int, float]
    head_dice: dict[int, float]
    seconds: float
    notes: tuple[str, ...] = ()
    validation: Model | None = None
    counts: StrokeCounts | None = None

    @property
    def expected(self) -> dict[int, ExpectedDice]:
        """What Dice to expect by structure label, and how far it may be off."""
        return self.counts.expected() if self.counts is not None else {}

    @property
    def mean_dice(self) -> float | None:
        """Held-out Dice, averaged over structures; None where none was held out."""
        return mean_dice(self.held_out_dice) if self.held_out_dice else None


class FineTuner(Protocol):
    """A way to fine-tune a U-Net: fitted without the held-out labels, scored on them, and fitted on to all."""

    @property
    def tolerance(self) -> float:
        """By how much its held-out Dice may be below that of what it competes with."""

    def fit(self, stage: Stage, network: UNet | None = None) -> Job[Trained[UNet] | None]:
        """Train a network to begin with, or `network`; None where training breaks down."""

    def score(self, network: UNet) -> dict[int, float]:
        """Held-out Dice of the validation fit, by structure label."""

    def model(self, stage: Stage, network: UNet, dice: dict[int, float]) -> Model:
        """The model of a fit."""


def iter_fine_tune(run: FineTuningRun, checkpoint: Path | None = None) -> Job[FineTuned]:
    """Fit the run's strategies and choose by held-out labels; closing the generator stops it.

    Parameters
    ----------
    run : FineTuningRun
    checkpoint : Path, optional
        Training goes on from files of this name with a mark of labels and settings appended, if they exist. They are
        removed at the end.

    Raises
    ------
    ModelError
        If the pretrained model is of another kind.
    """
    if corrects_whole(run.pretrained, run.settings):
        return (yield from _iter_correct(run, Schedule.of(run, checkpoint)))
    own = run.dataset.painted
    if run.settings.corrects:
        run = yield from iter_anchored(run)
    schedule, features = Schedule.of(run, checkpoint), run.features
    head_fit = iter_fit_head(features.sources, features.painted, features.held_out, head_settings(run.settings))
    refiner = RefinerTuner(run, (yield from head_fit), schedule)
    head_dice = refiner.score(None)
    validation = refiner.model("validation", None, head_dice)
    head = refiner.model("refit", None, head_dice)
    tuned = FineTuned(head, 0, head_dice, head_dice, 0.0, validation=validation)
    if run.settings.steps != 0 and (head_dice or run.settings.keep_structures):
        tuner = UNetFineTuner(run, schedule) if trains_whole(run.pretrained, run.settings) else refiner
        tuned = yield from _tuned(tuner, _baseline(tuner, tuned))
    elif run.settings.steps != 0:
        tuned = replace(tuned, notes=(NOTHING_HELD_OUT,))
    schedule.forget()
    return _told(tuned, run, own, schedule.began)


def _told(tuned: FineTuned, run: FineTuningRun, own: Sequence[npt.NDArray[Any]], began: float) -> FineTuned:
    """The same with what to expect of it, by what a person has painted, in its card too."""
    held_out = run.dataset.split.held_out
    if tuned.validation is not None:
        slices = Slices(run.dataset.volumes, run.sources, run.settings.device)
        counts = slices.counts(slices.network(tuned.validation), within(held_out, own), run.dataset.painted)
        tuned = replace(tuned, counts=counts)
    if tuned.model is not run.pretrained:
        card = tuned.model.card.model_copy(update={"expected_dice": tuned.expected})
        tuned = replace(tuned, model=replace(tuned.model, card=card))
    notes = tuple(dict.fromkeys(filter(None, tuned.notes)))
    return replace(tuned, seconds=time.monotonic() - began, notes=notes)


def _iter_correct(run: FineTuningRun, schedule: Schedule) -> Job[FineTuned]:
    """Train the U-Net whose result was corrected on."""
    tuner, model = UNetFineTuner(run, schedule), corrected_model(run)
    before = FineTuned(model, 0, tuner.score_of_pretrained(), {}, 0.0, validation=model)
    tuned = before if run.settings.steps == 0 else (yield from _tuned(tuner, before))
    schedule.forget()
    return _told(tuned, run, run.dataset.painted, schedule.began)


def head_settings(settings: FineTuneSettings) -> HeadSettings:
    """How the light head is fitted, as asked for."""
    return HeadSettings(
        trees=TREES,
        seed=settings.seed,
        structure_weight=settings.structure_weight,
        boundary_weight=settings.boundary_weight,
    )


def _baseline(tuner: FineTuner, head: FineTuned) -> FineTuned:
    """What a fine-tuner competes with: the light head, or the U-Net whose structures it keeps."""
    if isinstance(tuner, UNetFineTuner) and tuner.teacher is not None and tuner.run.pretrained is not None:
        model = tuner.run.pretrained
        return replace(head, model=model, held_out_dice=tuner.score_of_pretrained(), validation=model)
    return head


def _tuned(tuner: FineTuner, before: FineTuned) -> Job[FineTuned]:
    """The U-Net, or what was there before where that is better by more than the tuner tolerates."""
    validated = yield from tuner.fit("validation")
    if validated is None:
        return replace(before, notes=(BROKE_DOWN,))
    found = tuner.score(validated.network)
    if not is_no_worse(found, before.held_out_dice, tuner.tolerance):
        return replace(before, notes=(WORSE,))
    validation = tuner.model("validation", validated.network, found)
    before = replace(before, validation=validation)
    refitted = yield from tuner.fit("refit", validated.network)
    if refitted is None:  # the validation fit has been scored together with the head that it was fitted on
        notes = (BROKE_DOWN, *validated.notes)
        return replace(before, model=validation, steps=validated.steps, held_out_dice=found, notes=notes)
    model, steps = tuner.model("refit", refitted.network, found), validated.steps + refitted.steps
    notes = (_lower(found, before.held_out_dice), *validated.notes, *refitted.notes)
    return replace(before, model=model, steps=steps, held_out_dice=found, notes=notes)


def _lower(found: dict[int, float], before: dict[int, float]) -> str:
    """What to say of a model that was taken although its held-out Dice is lower."""
    lower = mean_dice(before) - mean_dice(found)
    return LOWER.format(lower) if lower > 0.005 else ""
