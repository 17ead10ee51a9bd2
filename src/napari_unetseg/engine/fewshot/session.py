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

from napari_unetseg.core.annotations.session_record import fingerprint
from napari_unetseg.core.annotations.sparse_labels import chance, hold_out
from napari_unetseg.core.annotations.versions import AcceptDecision, SlicePrediction, Tuned, Version
from napari_unetseg.core.models.fine_tuned_card import (
    FineTuneSettings,
    Paint,
    painted_card,
    renamed_card,
    structures_of,
    written_card,
)
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.devices import one_thread
from napari_unetseg.engine.fewshot.fine_tune import FineTuned, iter_fine_tune
from napari_unetseg.engine.fewshot.fit_head import iter_fit_head, mean_dice
from napari_unetseg.engine.fewshot.head_training import HeadSettings
from napari_unetseg.engine.fewshot.schedule import TIMED, seconds_a_step
from napari_unetseg.engine.fewshot.slice_predictor import Slices
from napari_unetseg.engine.fewshot.training_set import Lesson, feature_sources
from napari_unetseg.engine.fewshot.versions import (
    Accepted,
    Origin,
    SparsePaint,
    Versions,
    has_features,
    kind_of,
    sees,
    version_of,
)
from napari_unetseg.engine.networks.model_file import Model, save_model
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier
from napari_unetseg.engine.networks.pixel.head import Head
from napari_unetseg.engine.training.loop import TrainProgress
from napari_unetseg.errors import InputError

QUICK = HeadSettings(steps=100, batch=2048, learning_rate=1e-2, coarse=False)
"""A fit that ends while the painter still looks at the stroke: 0.3 s of one core."""
LEAST_VOXELS = 30
"""With fewer held-out voxels that neither of two models has learned from, they are not compared."""
MOST_PIXELS = 2560**2
"""Of one slice: its features take 300 bytes a pixel."""
MOST_NOT_FINITE = 20
"""Steps in a row whose loss is not finite: training has failed."""
ALONE = FineTuneSettings(steps=0)
"""The light head alone."""

Array = npt.NDArray[Any]
Repeatable = tuple[FineTuned, FineTuneSettings]
"""What fine-tuning gave, and the settings that give it again."""


class LiveSession:
    """Learns from the paint on some images, over and over, and predicts the first of them.

    Parameters
    ----------
    volumes : sequence of Volume
        Of one kind: the same channels, all stacks or all single slices.
    start : Model or None
        As `engine.fewshot.fine_tune.iter_fine_tune` takes it.
    kept : Model, optional
        An earlier session's last accepted model; it becomes version 1, where it is for this kind of volume.

    Raises
    ------
    InputError
        If a slice is too large.
    ModelError
        If `start` is of a kind that one cannot begin with.
    """

    def __init__(
        self, volumes: Sequence[Volume], start: Model | None, device: str = "auto", kept: Model | None = None
    ) -> None:
        for volume in volumes:
            _check_size(volume)
        if kept is not None and not sees(kept, volumes):
            kept = None
        if kept is not None and has_features(kept):
            start = kept  # its features are the ones that it was fitted to
        self.start = start
        self._device = device
        self._slices = Slices(volumes, feature_sources(volumes, start, device), device)
        self._versions = Versions()
        self._tuning: Job[Repeatable] | None = None
        self._seconds_a_step: float | None = None
        self._not_finite = 0
        if kept is not None:
            self._versions.accept(Accepted(Version(1, "restored"), kept, self._slices.network(kept)))

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
        """Fit a light head to the paint, and take it if it is not worse.

        Parameters
        ----------
        painted : sequence of ndarray of whole numbers, (Z, Y, X)
            One an image: 0 unknown, 1 background, 2… structures.
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
        lesson = Lesson(self.volumes, painted, names, self._slices.sources)
        learning, held = hold_out(lesson.painted)
        yield from self._slices.prepare(painted)
        with one_thread():
            fitted = yield from iter_fit_head(self._slices.sources, painted, held, _quick(settings))
        version = version_of("light head", fitted.dice, painted, held)
        model = self._model(self._light(fitted.head), version, lesson)
        origin = Origin(_sparse(painted), replace(settings, minutes=None, steps=0))
        trial, known = self._light(fitted.trial), _sparse(learning)
        return self._judged(Accepted(version, model, trial, known, origin), painted, held)

    def fine_tune(
        self, painted: Sequence[Array], names: Mapping[int, str], settings: FineTuneSettings, seconds: float
    ) -> Job[Tuned]:
        """Train a U-Net on top of the head, for `seconds` of all the time it takes; call it again to go on.

        Minutes become steps, by the time that the first few take.
        """
        if self._tuning is None:
            lesson = Lesson(self.volumes, painted, names, self._slices.sources)
            self._tuning = self._iter_tuned(lesson, replace(settings, device=self._device))
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
            return Tuned(tuple(losses), self._judged_tuned(stop.value, painted))
        return Tuned(tuple(losses))

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
        return AcceptDecision(current.version, False, reason)

    def _iter_tuned(self, lesson: Lesson, settings: FineTuneSettings) -> Job[Repeatable]:
        if settings.steps is None:
            steps = yield from self._steps_for(lesson, settings)
            settings = replace(settings, minutes=None, steps=steps)
        return (yield from iter_fine_tune(lesson, self.start, settings)), settings

    def _steps_for(self, lesson: Lesson, settings: FineTuneSettings) -> Job[int]:
        """How many steps fit into the minutes, by timing some."""
        left = 60 * (settings.minutes or 0)
        if self._seconds_a_step is None:
            began = time.monotonic()
            probe = iter_fine_tune(lesson, self.start, replace(settings, minutes=None, steps=100 * TIMED))
            self._seconds_a_step = yield from seconds_a_step(probe)
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

    def revert(self, number: int) -> Version:
        """Make an earlier version the current one; raises `InputError` if it is not kept any more."""
        self._tuning = None
        return self._versions.revert(number)

    def save(self, path: Path, names: Mapping[int, str] | None = None) -> None:
        """Write the current model to a file, named after it; `names` are of structures by output label.

        Raises
        ------
        InputError
            If there is no model yet.
        OutputError
            If it cannot be written.
        """
        model = self._needed()
        card = written_card(renamed_card(model.card, names or {}), path.stem, self.volumes)
        save_model(path, replace(model, card=card), half=True)

    def _needed(self) -> Model:
        if self.current is None:
            raise InputError("There is no model yet. Paint some background and some of a structure first.")
        return self.current

    def _light(self, head: Head) -> PixelClassifier:
        return PixelClassifier(self._slices.sources[0].extractor, head).eval()

    def _model(self, network: PixelClassifier, version: Version, lesson: Lesson) -> Model:
        structures = structures_of(network.settings.outputs - 1, lesson.names)
        images = sum(bool(painted.any()) for painted in lesson.painted)
        paint = Paint(structures, version.painted, images, version.dice)
        start = self.start.card if self.start is not None else None
        return Model(network, painted_card(network.settings.to_json(), self.volumes, paint, start))

    def _judged(self, candidate: Accepted, painted: Sequence[Array], held: Sequence[Array]) -> AcceptDecision:
        """Compare candidate and current model on held-out paint that neither has learned from.

        Worse is what is lower by more than chance explains: no stroke should be without effect because of that.
        """
        current = self._versions.current
        if current is None or current.known is None:
            return self._accept(candidate)
        unseen = current.unseen(painted, held)
        voxels = sum(np.count_nonzero(part) for part in unseen)
        if voxels < LEAST_VOXELS:
            return self._accept(candidate)
        found, before = (mean_dice(self._slices.dice(each.trial, unseen)) for each in (candidate, current))
        if found < before - chance(unseen):
            reason = f"The earlier model is kept: Dice {before:.2f} on held-out paint; the new one's is {found:.2f}."
            return AcceptDecision(current.version, False, reason)
        return self._accept(candidate)

    def _judged_tuned(self, result: Repeatable, painted: Sequence[Array]) -> AcceptDecision:
        """Fine-tuning has compared itself with its own, slower light head on the same paint; that one may be better."""
        tuned, settings = result
        current = self._versions.current
        if not tuned.steps and current is not None and (tuned.mean_dice or 0) <= mean_dice(current.version.dice):
            return AcceptDecision(current.version, False, " ".join(tuned.notes))
        _, held = hold_out(painted)
        kind = "trained U-Net" if tuned.steps else kind_of(tuned.model)
        version = version_of(kind, tuned.held_out_dice, painted, held)
        paint = _sparse(painted)
        network, origin = self._slices.network(tuned.model), Origin(paint, settings)
        verdict = self._accept(Accepted(version, tuned.model, network, paint, origin))
        return replace(verdict, reason=" ".join((verdict.reason, *tuned.notes))) if tuned.steps else verdict

    def _accept(self, candidate: Accepted) -> AcceptDecision:
        version = self._versions.accept(candidate)
        return AcceptDecision(version, True, f"Version {version.number} ({version.kind}) is in use.")


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


def _sparse(painted: Sequence[Array]) -> tuple[SparsePaint, ...]:
    return tuple(SparsePaint.of(part) for part in painted)
