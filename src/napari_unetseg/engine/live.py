"""Learning beside a painter: features are kept between strokes; a model is replaced only by one that is not worse."""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.card import ModelCard, Normalisation
from napari_unetseg.core.fine_tuning import FineTuneSettings, Paint, model_name, painted_card, structures_of
from napari_unetseg.core.intensity import normaliser
from napari_unetseg.core.learned import Verdict, Version
from napari_unetseg.core.painted import check_painted, class_count, hold_out
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.devices import choose_device
from napari_unetseg.engine.features import Extractor, FeatureSource
from napari_unetseg.engine.finetune import FineTuned, iter_fine_tune
from napari_unetseg.engine.head import Head, HeadSettings
from napari_unetseg.engine.learn import PaintedSlice, class_dice, gathered, iter_fit_head, mean_dice, painted_slices
from napari_unetseg.engine.lesson import Lesson, base_of, filters_for
from napari_unetseg.engine.light import LightNet
from napari_unetseg.engine.model_file import Model, save_model
from napari_unetseg.engine.unet import UNet
from napari_unetseg.errors import InputError

QUICK = HeadSettings(steps=100, batch=2048, learning_rate=1e-2)
"""A fit that ends while the painter still looks at the stroke: 0.3 s of one core."""
KEPT = 20
"""Versions that can be reverted to."""
LEAST_VOXELS = 30
"""With fewer held-out voxels that neither of two models has learned from, they are not compared."""
MOST_PIXELS = 2560**2
"""Of one slice: its features take 300 bytes a pixel."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Accepted:
    """A version.

    Parameters
    ----------
    model : Model
        It has learned from all paint there was.
    trial : LightNet or UNet
        What later candidates are compared with: without the paint that was held out, where there is such a network.
    known : tuple of ndarray, or None
        The paint that `trial` has learned from, as flat indices and values; None where that is not known.
    """

    version: Version
    model: Model
    trial: LightNet | UNet
    known: tuple[Array, Array] | None


class LiveSession:
    """Learns from the paint on one volume, over and over.

    Parameters
    ----------
    volume : Volume
    start : Model or None
        As `engine.finetune.iter_fine_tune` takes it.
    kept : Model, optional
        An earlier session's last accepted model; it becomes version 1, where it is for this kind of volume.

    Raises
    ------
    InputError
        If a slice is too large.
    ModelError
        If `start` is of a kind that one cannot begin with.
    """

    def __init__(self, volume: Volume, start: Model | None, device: str = "auto", kept: Model | None = None) -> None:
        _check_size(volume)
        if kept is not None and not _sees(kept.network, volume):
            kept = None
        if kept is not None and base_of(kept) is not None:
            start = kept  # its features are the ones that it was fitted to
        self.volume, self.start, self._device = volume, start, device
        extractor = Extractor(filters_for([volume]), base_of(start))
        read = normaliser(volume, start.card.normalisation if start is not None else Normalisation())
        self._source = FeatureSource(volume, read, extractor, choose_device(device))
        self._accepted: OrderedDict[int, _Accepted] = OrderedDict()
        self._count, self._current = 0, 0
        self._tuning: Job[FineTuned] | None = None
        if kept is not None:
            self._accept(_Accepted(Version(1, "restored"), kept, kept.network, None))

    @property
    def versions(self) -> tuple[Version, ...]:
        """What can be reverted to, the oldest first."""
        return tuple(accepted.version for accepted in self._accepted.values())

    @property
    def current(self) -> Model | None:
        """The model that counts; None before the first one."""
        return self._accepted[self._current].model if self._current else None

    def learn(self, painted: Array, names: Mapping[int, str]) -> Job[Verdict]:
        """Fit a light head to the paint, and take it if it is not worse.

        Parameters
        ----------
        painted : ndarray of whole numbers, (Z, Y, X)
            0 unknown, 1 background, 2… structures.
        names : mapping
            Names of structures by output label (painted value - 1).

        Raises
        ------
        InputError
            If one cannot learn from it, see `core.painted.check_painted`.
        """
        self._tuning = None
        check_painted([painted], [self.volume.shape])
        (learning,), (held,) = hold_out([painted])
        yield from self._see(painted)
        with _one_thread():
            fitted = yield from iter_fit_head([self._source], [painted], [held], QUICK)
        version = _version("light head", fitted.dice, painted, held)
        model = self._model(self._light(fitted.head), version, names)
        return self._judged(_Accepted(version, model, self._light(fitted.trial), _sparse(learning)), painted, held)

    def fine_tune(
        self, painted: Array, names: Mapping[int, str], minutes: float, seconds: float
    ) -> Job[Verdict | None]:
        """Train a U-Net on top of the head, for `seconds` of `minutes`; call it again to go on.

        Returns
        -------
        Verdict or None
            None as long as there is more to do.
        """
        if self._tuning is None:
            settings = FineTuneSettings(minutes=minutes, device=self._device)
            lesson = Lesson([self.volume], [painted], names, [self._source])
            self._tuning = iter_fine_tune(lesson, self.start, settings)
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                yield next(self._tuning)
        except StopIteration as stop:
            self._tuning = None
            return self._judged_tuned(stop.value, painted)
        return None

    def predict(self, z: int) -> npt.NDArray[np.uint8]:
        """Output labels (Y, X) of one slice, by the current model.

        Raises
        ------
        InputError
            If there is no model yet.
        """
        return np.asarray(self._scores(self._needed().network, z).argmax(0).to(torch.uint8).cpu())

    def revert(self, number: int) -> Version:
        """Make an earlier version the current one; raises `InputError` if it is not kept any more."""
        if number not in self._accepted:
            raise InputError(f"Version {number} is not kept any more: the last {KEPT} are.")
        self._tuning, self._current = None, number
        return self._accepted[number].version

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
        card = _renamed(model.card, names or {}).model_copy(update={"name": model_name(path.stem)})
        save_model(path, replace(model, card=card), half=True)

    def _needed(self) -> Model:
        if self.current is None:
            raise InputError("There is no model yet. Paint some background and some of a structure first.")
        return self.current

    def _light(self, head: Head) -> LightNet:
        return LightNet(self._source.extractor, head).eval()

    def _model(self, network: LightNet, version: Version, names: Mapping[int, str]) -> Model:
        structures = structures_of(network.settings.outputs - 1, names)
        paint = Paint(structures, version.painted, 1, version.dice)
        start = self.start.card if self.start is not None else None
        return Model(network, painted_card(network.settings.to_json(), [self.volume], paint, start))

    def _see(self, painted: Array) -> Job[None]:
        """Compute the features of the painted slices, where they are not cached."""
        slices = painted_slices([painted])
        for done, points in enumerate(slices):
            yield Progress(done, len(slices), "Looking at the painted slices")
            self._source[points.z]

    def _judged(self, candidate: _Accepted, painted: Array, held: Array) -> Verdict:
        """Compare candidate and current model on held-out paint that neither has learned from.

        Worse is what is lower by more than two standard errors of a share among n voxels, at most 1/√n: a stroke
        should not be without effect because of chance.
        """
        current = self._accepted.get(self._current)
        if current is None or current.known is None:
            return self._accept(candidate)
        unseen = np.where(painted.ravel() == _dense(current.known, painted.size), 0, held.ravel()).reshape(held.shape)
        voxels = np.count_nonzero(unseen)
        if voxels < LEAST_VOXELS:
            return self._accept(candidate)
        found, before = (mean_dice(self._dice(each.trial, unseen)) for each in (candidate, current))
        if found < before - voxels**-0.5:
            reason = f"The earlier model is kept: Dice {before:.2f} on held-out paint; the new one's is {found:.2f}."
            return Verdict(current.version, False, reason)
        return self._accept(candidate)

    def _judged_tuned(self, tuned: FineTuned, painted: Array) -> Verdict:
        """Fine-tuning has compared itself with the light head on the same paint."""
        if not tuned.steps:
            return Verdict(self._accepted[self._current].version, False, " ".join(tuned.notes))
        _, (held,) = hold_out([painted])
        version = _version("trained U-Net", tuned.held_out_dice, painted, held)
        network = tuned.model.network.to(self._source.device)
        return self._accept(_Accepted(version, tuned.model, network, _sparse(painted)))

    def _accept(self, candidate: _Accepted) -> Verdict:
        self._count += 1
        self._current = self._count
        version = replace(candidate.version, number=self._count)
        self._accepted[self._count] = replace(candidate, version=version)
        while len(self._accepted) > KEPT:
            self._accepted.popitem(last=False)
        return Verdict(version, True, f"Version {version.number} ({version.kind}) is in use.")

    def _dice(self, network: LightNet | UNet, paint: Array) -> dict[int, float]:
        """Dice of the structures in some paint, over its voxels."""
        predicted, classes = [], []
        for points in painted_slices([paint]):
            predicted.append(self._at(network, points))
            classes.append(points.classes)
        return class_dice(torch.cat(predicted), torch.cat(classes))

    @torch.inference_mode()
    def _at(self, network: LightNet | UNet, points: PaintedSlice) -> torch.Tensor:
        """Predicted classes (P,) of some voxels of a slice; a light head needs only their own features."""
        if isinstance(network, LightNet) and network.refiner is None:
            features = gathered([self._source], points)[:, : sum(kind.in_features for kind in network.head.first)]
            return cast("torch.Tensor", network.head(features)).argmax(1).cpu()
        return self._scores(network, points.z).argmax(0).cpu()[points.y, points.x]

    @torch.inference_mode()
    def _scores(self, network: LightNet | UNet, z: int) -> torch.Tensor:
        scores: torch.Tensor = network(self._source[z])
        return scores


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The light head's matrices are so small that a second thread only waits, for long on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _check_size(volume: Volume) -> None:
    _, height, width = volume.shape
    if height * width > MOST_PIXELS:
        raise InputError(
            f"Expected slices of at most {MOST_PIXELS / 1e6:.1f} million pixels to learn on; got {height} × {width}. "
            "Choose a lower resolution, or crop the image and apply the model to the whole."
        )


def _renamed(card: ModelCard, names: Mapping[int, str]) -> ModelCard:
    """A card with other names of structures, in its scores too."""
    new = {structure.name: names.get(structure.label, structure.name) for structure in card.structures}
    structures = tuple(s.model_copy(update={"name": new[s.name]}) for s in card.structures)
    scores = tuple(s.model_copy(update={"structure": new.get(s.structure, s.structure)}) for s in card.scores)
    return card.model_copy(update={"structures": structures, "scores": scores})


def _sees(network: LightNet | UNet, volume: Volume) -> bool:
    """Whether a kept model is for this kind of volume."""
    return isinstance(network, LightNet) and network.settings.filters == filters_for([volume])


def _version(kind: str, dice: Mapping[int, float], painted: Array, held: Array) -> Version:
    counts = np.bincount(held.ravel(), minlength=class_count([painted]) + 1)
    held_out = {label: int(counts[label + 1]) for label in dice}
    return Version(0, kind, dict(dice), held_out, int(np.count_nonzero(painted)))


def _sparse(painted: Array) -> tuple[Array, Array]:
    where = np.flatnonzero(painted)
    return where, painted.ravel()[where]


def _dense(known: tuple[Array, Array], size: int) -> Array:
    painted = np.zeros(size, dtype=known[1].dtype)
    painted[known[0]] = known[1]
    return painted
