"""A session of learning beside a painter: features are kept between strokes; only a better model replaces another."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.annotations.expected_dice import Range, StrokeCounts, difference
from napari_unetseg.core.annotations.session_record import fingerprint
from napari_unetseg.core.annotations.sparse_labels import chance, within
from napari_unetseg.core.annotations.versions import AcceptDecision, SlicePrediction, Tuned, Version
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings, renamed_card, written_card
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.steps import Step
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.devices import one_thread
from napari_unetseg.engine.fewshot.correcting.anchors import iter_anchored
from napari_unetseg.engine.fewshot.fine_tune import FineTuned, iter_fine_tune
from napari_unetseg.engine.fewshot.fit_head import iter_fit_head
from napari_unetseg.engine.fewshot.head_training import HeadSettings
from napari_unetseg.engine.fewshot.run import AnnotationDataset, FineTuningRun, corrects_whole, feature_sources
from napari_unetseg.engine.fewshot.slice_predictor import Slices
from napari_unetseg.engine.fewshot.validation import TIMED, is_no_worse, mean_dice, seconds_a_step
from napari_unetseg.engine.fewshot.versions import (
    Accepted,
    Origin,
    Versions,
    has_features,
    kind_of,
    sees,
    sparse,
    version_of,
)
from napari_unetseg.engine.networks.model_file import Model, save_model
from napari_unetseg.engine.networks.pixel.features import FeatureSource
from napari_unetseg.engine.training.loop import TrainProgress
from napari_unetseg.errors import InputError, ModelError

QUICK = HeadSettings(steps=100, batch=2048, learning_rate=1e-2, coarse=False)
"""A fit that ends while the painter still looks at the stroke: 0.3 s of one core."""
LEAST_VOXELS = 30
"""With fewer held-out voxels that neither of two models has learned from, they are not compared."""
MOST_PIXELS = 2560**2
"""Of one slice: its features take 300 bytes a pixel."""
MOST_NOT_FINITE = 20
"""Steps in a row whose loss is not finite: training has failed."""
BY_TRAINING = "Corrections of a U-Net's result are learned by training."
ALONE = FineTuneSettings(steps=0)
"""The light head alone."""
ANY = Range(1.0, 1.0)
"""The gain over what there is nothing to compare with."""

Array = npt.NDArray[Any]
Repeatable = tuple[FineTuned, FineTuningRun]
"""What fine-tuning gave, and the run, of steps and not of minutes, that gives it again."""


class LearningSession:
    """Learns from the paint on some images, over and over, and predicts the first of them.

    Parameters
    ----------
    volumes : sequence of Volume
        Of one kind: the same channels, all stacks or all single slices.
    pretrained : Model or None
        As `engine.fewshot.run.FineTuningRun` takes it.
    kept : Model, optional
        An earlier session's last accepted model; it becomes version 1, where it is for this kind of volume.
    corrects : bool
        Whether the paint corrects a result of `pretrained`: that is version 1 then, where none is kept, and where
        nothing is painted, what it found stays.

    Raises
    ------
    InputError
        If a slice is too large.
    ModelError
        If `pretrained` is of a kind that one cannot begin with, or its result is corrected and there is none.
    """

    def __init__(
        self,
        volumes: Sequence[Volume],
        pretrained: Model | None,
        device: str = "auto",
        kept: Model | None = None,
        *,
        corrects: bool = False,
    ) -> None:
        for volume in volumes:
            _check_size(volume)
        if kept is not None and not sees(kept, volumes):
            kept = None
        if kept is not None and has_features(kept) and not corrects:
            pretrained = kept  # its features are the ones that it was fitted to
        self.pretrained, self.corrects = pretrained, corrects
        self._device = device
        self._slices = Slices(volumes, self._sources(volumes), device)
        self._versions = Versions()
        self._tuning: Job[Repeatable] | None = None
        self._seconds_a_step: float | None = None
        self._not_finite = 0
        if kept is not None:
            self._versions.accept(Accepted(Version(1, "restored"), kept, self._slices.network(kept)))
        elif corrects and pretrained is not None:
            begun = Version(1, "model that is corrected")
            self._versions.accept(Accepted(begun, pretrained, self._slices.network(pretrained)))

    def _sources(self, volumes: Sequence[Volume]) -> list[FeatureSource]:
        """Features of the volumes; a whole U-Net whose result is corrected looks at the images itself."""
        if not self.corrects:
            return feature_sources(volumes, self.pretrained, self._device)
        if self.pretrained is None:
            raise ModelError("Expected the model whose result is corrected; got none. Choose one.")
        is_whole = corrects_whole(self.pretrained, replace(ALONE, corrects=True))
        return feature_sources(volumes, None if is_whole else self.pretrained, self._device)

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """What it learns on."""
        return self._slices.volumes

    @property
    def versions(self) -> tuple[Version, ...]:
        """What can be reverted to, the oldest first."""
        return self._versions.all

    @property
    def current(self) -> Model | None:
        """The model that counts; None before the first one."""
        return self._versions.current.model if self._versions.current is not None else None

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._slices.sources[0].device

    @cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """Of the images' voxels."""
        return tuple(fingerprint(np.asarray(volume.array)) for volume in self.volumes)

    @property
    def origin(self) -> Origin | None:
        """What the current model was made of; None where it is not known."""
        return self._versions.current.origin if self._versions.current is not None else None

    def learn(
        self, painted: Sequence[Array], names: Mapping[int, str], settings: FineTuneSettings = ALONE
    ) -> Job[AcceptDecision]:
        """Fit a light head to the sparse labels, and take it if it is not worse.

        Parameters
        ----------
        painted : sequence of ndarray of whole numbers, (Z, Y, X)
            One an image: 0 unpainted, 1 background, 2… structures.
        names : mapping
            Names of structures by output label (painted value - 1).
        settings : FineTuneSettings
            Seed and weights; the time is that of a light head, whatever they say.

        Raises
        ------
        InputError
            If one cannot learn from it, see `core.annotations.sparse_labels.check_painted`.
        """
        self._tuning = None
        run = self._run(painted, names, replace(settings, minutes=None, steps=0))
        if self._versions.current is not None and corrects_whole(self.pretrained, run.settings):
            yield Progress(1, 1, "Taking the corrections")
            return self._versions.refuse(self._versions.current, BY_TRAINING)
        own = painted
        if self.corrects:
            run = yield from iter_anchored(run)
            painted = run.dataset.painted
        split, quick = run.dataset.split, _quick(settings)
        yield from self._slices.prepare(painted)
        with one_thread():
            fitted = yield from iter_fit_head(self._slices.sources, painted, split.held_out, quick)
        network, validation = run.classifier(fitted.head), run.classifier(fitted.validation)
        expected = self._slices.counts(validation, within(split.held_out, own), painted).expected()
        version = version_of("light head", fitted.dice, run.dataset, expected)
        card = run.classifier_card(network, fitted.dice).model_copy(update={"expected_dice": expected})
        model, known = Model(network, card), sparse(split.learning)
        return self._decided(Accepted(version, model, validation, known, Origin.of(run)), run.dataset)

    def fine_tune(
        self, painted: Sequence[Array], names: Mapping[int, str], settings: FineTuneSettings, seconds: float
    ) -> Job[Tuned]:
        """Train a U-Net on top of the head, for `seconds` of all the time it takes; call it again to go on.

        Minutes become steps, by the time that the first few take.
        """
        if self._tuning is None:
            self._tuning = self._iter_tuned(self._run(painted, names, replace(settings, device=self._device)))
        losses, until = [], time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                record = next(self._tuning)
                if isinstance(record, TrainProgress):
                    losses.append(record.loss)
                    if self._has_failed(record.loss):
                        return Tuned(tuple(losses), self._given_up())
                yield Progress(record.done, record.total, record.stage, record.message, record.seconds_left)
        except StopIteration as stop:
            self._tuning = None
            return Tuned(tuple(losses), self._decided_tuned(*stop.value))
        return Tuned(tuple(losses))

    def _run(self, painted: Sequence[Array], names: Mapping[int, str], settings: FineTuneSettings) -> FineTuningRun:
        """A run on the features that the session keeps."""
        known = len(self.pretrained.card.structures) if self.corrects and self.pretrained is not None else 0
        dataset = AnnotationDataset(self.volumes, painted, names, known)
        return FineTuningRun(dataset, self.pretrained, replace(settings, corrects=self.corrects), self._slices.sources)

    def _has_failed(self, loss: float) -> bool:
        self._not_finite = 0 if np.isfinite(loss) else self._not_finite + 1
        return self._not_finite >= MOST_NOT_FINITE

    def _given_up(self) -> AcceptDecision:
        """Training has failed: what is in use stays so."""
        self._tuning, self._not_finite = None, 0
        current = self._versions.current
        if current is None:
            raise InputError("The loss was not finite, so training has stopped. Look for voxels that are not finite.")
        reason = f"The loss was not finite, so training has stopped: version {current.version.number} stays in use."
        return self._versions.refuse(current, reason)

    def _iter_tuned(self, run: FineTuningRun) -> Job[Repeatable]:
        if run.settings.steps is None:
            steps = yield from self._steps_for(run)
            run = replace(run, settings=replace(run.settings, minutes=None, steps=steps))
        return (yield from iter_fine_tune(run)), run

    def _steps_for(self, run: FineTuningRun) -> Job[int]:
        """How many steps fit into the minutes, by timing some."""
        left = 60 * (run.settings.minutes or 0)
        if self._seconds_a_step is None:
            began = time.monotonic()
            probe = replace(run, settings=replace(run.settings, minutes=None, steps=100 * TIMED))
            self._seconds_a_step = yield from seconds_a_step(iter_fine_tune(probe))
            left -= time.monotonic() - began
        return max(TIMED, int(left / self._seconds_a_step))

    def predict(self, z: int) -> SlicePrediction:
        """What the current model says about a slice of the first image.

        Raises
        ------
        InputError
            If there is no model yet.
        """
        return self._slices.prediction(self._slices.network(self._needed()), 0, z)

    def predict_offered(self, z: int) -> SlicePrediction:
        """What the model on offer says about a slice of the first image; raises `InputError` where none is."""
        offered = self._versions.offered
        if offered is None:
            raise InputError("No version is on offer any more: learn again.")
        return self._slices.prediction(self._slices.network(offered.model), 0, z)

    def take(self) -> AcceptDecision:
        """Use the version on offer; raises `InputError` where none is."""
        self._tuning = None
        return self._versions.take()

    def revert(self, number: int) -> Version:
        """Make an earlier version the current one; raises `InputError` if it is not kept any more."""
        self._tuning = None
        return self._versions.revert(number)

    def save(self, path: Path, names: Mapping[int, str] | None = None, cleanup: Sequence[Step] = ()) -> None:
        """Write the current model to a file, named after it; `names` are of structures by output label.

        Its results go through the steps of `cleanup`.

        Raises
        ------
        InputError
            If there is no model yet.
        OutputError
            If it cannot be written.
        """
        model = self._needed()
        card = written_card(renamed_card(model.card, names or {}), path.stem, self.volumes, cleanup)
        save_model(path, replace(model, card=card), half=True)

    def _needed(self) -> Model:
        if self.current is None:
            raise InputError("There is no model yet. Paint some background and some of a structure first.")
        return self.current

    def _decided(self, candidate: Accepted, dataset: AnnotationDataset) -> AcceptDecision:
        """Compare candidate and current model on held-out labels that neither has learned from.

        A light head knows more paint than the one before, so it is taken unless it is clearly worse: no stroke should
        be without effect because of chance.
        """
        current = self._versions.current
        if current is None or current.known is None:
            return self._versions.accept(candidate)
        unseen = current.unseen(dataset)
        if sum(np.count_nonzero(part) for part in unseen) < LEAST_VOXELS:
            return self._versions.accept(candidate)
        found, before = (self._slices.counts(e.validation, unseen, dataset.painted) for e in (candidate, current))
        if not _is_clearly_worse(found, before, chance(unseen)):
            return self._versions.accept(candidate)
        dice = f"Dice {mean_dice(before.dice):.2f} on held-out paint; the new one's is {mean_dice(found.dice):.2f}."
        return self._versions.refuse(current, f"The earlier model is kept: {dice}")

    def _decided_tuned(self, tuned: FineTuned, run: FineTuningRun) -> AcceptDecision:
        """Fine-tuning has compared itself with its own, slower light head on the same paint; that one may be better."""
        current = self._versions.current
        if not tuned.steps and current is not None and tuned.model is self.pretrained:
            return self._versions.refuse(current, " ".join(tuned.notes) or BY_TRAINING)
        if not tuned.steps and current is not None and is_no_worse(current.version.dice, tuned.held_out_dice):
            return self._versions.refuse(current, " ".join(tuned.notes))
        kind = "trained U-Net" if tuned.steps else kind_of(tuned.model)
        version, origin = version_of(kind, tuned.held_out_dice, run.dataset, tuned.expected), Origin.of(run)
        candidate = Accepted(version, tuned.model, self._slices.network(tuned.model), origin.painted, origin)
        keeps = self.corrects or run.settings.keep_structures  # of structures that are not painted a head knows nothing
        told = self._gain(tuned, current, run.dataset) if current is not None and not keeps else ANY
        if current is not None and told.high < 0:
            return self._versions.refuse(current, f"Training made it worse: version {current.version.number} is kept.")
        if current is not None and told.low <= 0:
            return self._versions.offer(current, candidate)
        return self._versions.accept(candidate, *(tuned.notes if tuned.steps else ()))

    def _gain(self, tuned: FineTuned, current: Accepted, dataset: AnnotationDataset) -> Range:
        """By how much what was trained is better than the version in use, scored again on the paint as it is now.

        What it has learned from says nothing about it, and what it has never seen, such as a new structure, cannot
        speak for it: then there is nothing to compare, and what was trained has been compared with its own light head.
        """
        if current.known is None or tuned.counts is None or dataset.outputs > _outputs(current):
            return ANY
        unseen, held_out = current.unseen(dataset), dataset.split.held_out
        if not all(np.array_equal(one, other) for one, other in zip(unseen, held_out, strict=True)):
            return ANY
        before = self._slices.counts(current.validation, held_out, dataset.painted)
        return difference(tuned.counts, before) or Range(-1.0, 1.0)


def _is_clearly_worse(found: StrokeCounts, before: StrokeCounts, tolerance: float) -> bool:
    """By a paired bootstrap over strokes; of too few of them, by more than chance explains."""
    told = difference(found, before)
    return told.high < 0 if told is not None else not is_no_worse(found.dice, before.dice, tolerance)


def _outputs(accepted: Accepted) -> int:
    """Classes that a version tells apart, with background."""
    return 1 + len(accepted.model.card.structures)


def _quick(settings: FineTuneSettings) -> HeadSettings:
    return replace(
        QUICK,
        seed=settings.seed,
        structure_weight=settings.structure_weight,
        boundary_weight=settings.boundary_weight,
    )


def _check_size(volume: Volume) -> None:
    _, height, width = volume.shape
    if height * width > MOST_PIXELS:
        raise InputError(
            f"Expected slices of at most {MOST_PIXELS / 1e6:.1f} million pixels to learn on; got {height} × {width}. "
            "Choose a lower resolution, or crop the image and apply the model to the whole."
        )
