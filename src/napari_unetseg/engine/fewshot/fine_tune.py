"""Fine-tuning to sparse labels: a light head in seconds, then a U-Net, which is taken where it is not worse."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import Job
from napari_unetseg.engine.fewshot.correcting.anchors import corrected_model, iter_anchored
from napari_unetseg.engine.fewshot.fit_head import iter_fit_head
from napari_unetseg.engine.fewshot.head_training import HeadSettings
from napari_unetseg.engine.fewshot.refiner import RefinerTuner
from napari_unetseg.engine.fewshot.run import FineTuningRun, corrects_whole
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
    if run.settings.corrects:
        run = yield from iter_anchored(run)
    schedule, features = Schedule.of(run, checkpoint), run.features
    head_fit = iter_fit_head(features.sources, features.painted, features.held_out, head_settings(run.settings))
    refiner = RefinerTuner(run, (yield from head_fit), schedule)
    head_dice = refiner.score(None)
    tuned = FineTuned(refiner.model("refit", None, head_dice), 0, head_dice, head_dice, 0.0)
    if run.settings.steps != 0 and (head_dice or run.settings.keep_structures):
        tuner = UNetFineTuner(run, schedule) if trains_whole(run.pretrained, run.settings) else refiner
        tuned = yield from _tuned(tuner, _baseline(tuner, tuned))
    elif run.settings.steps != 0:
        tuned = replace(tuned, notes=(NOTHING_HELD_OUT,))
    schedule.forget()
    notes = tuple(dict.fromkeys(filter(None, tuned.notes)))
    return replace(tuned, seconds=time.monotonic() - schedule.began, notes=notes)


def _iter_correct(run: FineTuningRun, schedule: Schedule) -> Job[FineTuned]:
    """Train the U-Net whose result was corrected on."""
    tuner, model = UNetFineTuner(run, schedule), corrected_model(run)
    before = FineTuned(model, 0, tuner.score_of_pretrained(), {}, 0.0)
    tuned = before if run.settings.steps == 0 else (yield from _tuned(tuner, before))
    schedule.forget()
    notes = tuple(dict.fromkeys(filter(None, tuned.notes)))
    return replace(tuned, seconds=time.monotonic() - schedule.began, notes=notes)


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
        return replace(head, model=tuner.run.pretrained, held_out_dice=tuner.score_of_pretrained())
    return head


def _tuned(tuner: FineTuner, before: FineTuned) -> Job[FineTuned]:
    """The U-Net, or what was there before where that is better by more than the tuner tolerates."""
    validated = yield from tuner.fit("validation")
    if validated is None:
        return replace(before, notes=(BROKE_DOWN,))
    found = tuner.score(validated.network)
    if not is_no_worse(found, before.held_out_dice, tuner.tolerance):
        return replace(before, notes=(WORSE,))
    refitted = yield from tuner.fit("refit", validated.network)
    if refitted is None:  # the validation fit has been scored together with the head that it was fitted on
        model, notes = tuner.model("validation", validated.network, found), (BROKE_DOWN, *validated.notes)
        return replace(before, model=model, steps=validated.steps, held_out_dice=found, notes=notes)
    model, steps = tuner.model("refit", refitted.network, found), validated.steps + refitted.steps
    notes = (_lower(found, before.held_out_dice), *validated.notes, *refitted.notes)
    return replace(before, model=model, steps=steps, held_out_dice=found, notes=notes)


def _lower(found: dict[int, float], before: dict[int, float]) -> str:
    """What to say of a model that was taken although its held-out Dice is lower."""
    lower = mean_dice(before) - mean_dice(found)
    return LOWER.format(lower) if lower > 0.005 else ""
