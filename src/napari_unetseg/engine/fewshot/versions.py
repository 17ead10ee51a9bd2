"""The accepted models of an interactive session: what they learned from, which is in use, and which were refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.annotations.expected_dice import ExpectedDice
from napari_unetseg.core.annotations.painted_stack import slices_with_paint
from napari_unetseg.core.annotations.sparse_labels import UNPAINTED, painted_counts
from napari_unetseg.core.annotations.versions import AcceptDecision, Version
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot.run import AnnotationDataset, FineTuningRun, base_of, filters_for
from napari_unetseg.engine.fewshot.slice_predictor import SliceNetwork
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.errors import InputError

KEPT = 20
"""Versions that can be reverted to."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SparseLabels:
    """The painted voxels of one image, without the others.

    Parameters
    ----------
    where : ndarray of whole numbers (P,)
        Flat indices.
    values : ndarray of whole numbers (P,)
    shape : (z, y, x)
    """

    where: Array
    values: Array
    shape: tuple[int, ...]

    @classmethod
    def of(cls, painted: Array) -> SparseLabels:
        """That of painted labels (Z, Y, X)."""
        area, slices = int(np.prod(painted.shape[1:])), slices_with_paint(painted)
        flat = [np.flatnonzero(painted[z]) for z in slices]
        places = [np.zeros(0, np.int64), *(z * area + where for z, where in zip(slices, flat, strict=True))]
        values = [np.zeros(0, painted.dtype), *(painted[z].ravel()[w] for z, w in zip(slices, flat, strict=True))]
        kind = np.uint32 if painted.size < 2**32 else np.int64
        return cls(np.concatenate(places).astype(kind), np.concatenate(values), painted.shape)

    @property
    def dense(self) -> Array:
        """Painted labels (Z, Y, X)."""
        painted = np.zeros(int(np.prod(self.shape)), dtype=self.values.dtype)
        painted[self.where] = self.values
        return painted.reshape(self.shape)


def sparse(painted: Sequence[Array]) -> tuple[SparseLabels, ...]:
    """Sparse labels (Z, Y, X) of several images, as they are kept."""
    return tuple(map(SparseLabels.of, painted))


@dataclass(frozen=True)
class Origin:
    """All that it takes to make a version again, beside the images and the model that its session began with.

    Parameters
    ----------
    painted : tuple of SparseLabels
        One an image.
    settings : FineTuneSettings
        Steps, not minutes; 0 steps stand for the light head of an interactive session.
    """

    painted: tuple[SparseLabels, ...]
    settings: FineTuneSettings

    @classmethod
    def of(cls, run: FineTuningRun) -> Self:
        """That of a run on the session's images."""
        return cls(sparse(run.dataset.painted), run.settings)


@dataclass(frozen=True)
class Accepted:
    """A version.

    Parameters
    ----------
    model : Model
        It has learned from all paint there was.
    validation : PixelClassifier or WholeSlices
        What later candidates are compared with: without the paint that was held out, where there is such a network.
    known : tuple of SparseLabels, or None
        The paint that `validation` has learned from; None where that is not known.
    origin : Origin or None
        None where it was restored from a file.
    """

    version: Version
    model: Model
    validation: SliceNetwork
    known: tuple[SparseLabels, ...] | None = None
    origin: Origin | None = None

    def unseen(self, dataset: AnnotationDataset) -> list[Array]:
        """Held-out labels that `validation` has not learned from."""
        parts = zip(dataset.painted, dataset.split.held_out, self.known or (), strict=True)
        return [_without_known(painted, held, known.dense) for painted, held, known in parts]


def _without_known(painted: Array, held_out: Array, known: Array) -> Array:
    """Held-out labels (Z, Y, X) but where the paint is as it was known."""
    found = np.zeros_like(held_out)
    for z in slices_with_paint(held_out):
        found[z] = np.where(painted[z] == known[z], UNPAINTED, held_out[z])
    return found


class Versions:
    """The last accepted models, by number, and which of them is in use."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Accepted] = OrderedDict()
        self._count = self._current = 0
        self._offered: Accepted | None = None

    @property
    def all(self) -> tuple[Version, ...]:
        """What can be reverted to, the oldest first."""
        return tuple(accepted.version for accepted in self._kept.values())

    @property
    def current(self) -> Accepted | None:
        """The one in use; None before the first."""
        return self._kept.get(self._current)

    def accept(self, candidate: Accepted, *notes: str) -> AcceptDecision:
        """Give it the next number, and use it."""
        self._offered = None
        self._count = self._current = self._count + 1
        version = replace(candidate.version, number=self._count)
        self._kept[self._count] = replace(candidate, version=version)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        reason = f"Version {version.number} ({version.kind}) is in use."
        return AcceptDecision(version, True, " ".join((reason, *notes)))

    def refuse(self, current: Accepted, reason: str) -> AcceptDecision:
        """Go on with the one in use."""
        return AcceptDecision(current.version, False, reason)

    @property
    def offered(self) -> Accepted | None:
        """What the person may take, though it cannot be told apart from the one in use."""
        return self._offered

    def offer(self, current: Accepted, candidate: Accepted) -> AcceptDecision:
        """Go on with the one in use, unless the person takes the other."""
        offered = replace(candidate.version, number=self._count + 1)
        self._offered = replace(candidate, version=offered)
        reason = (
            f"Version {offered.number} ({offered.kind}) cannot be told apart from version {current.version.number} "
            "on held-out paint, which stays in use."
        )
        return AcceptDecision(current.version, False, reason, offered)

    def take(self) -> AcceptDecision:
        """Use what was offered; raises `InputError` where nothing is."""
        if self._offered is None:
            raise InputError("No version is on offer any more: learn again.")
        return self.accept(self._offered)

    def revert(self, number: int) -> Version:
        """Use an earlier one again; raises `InputError` if it is not kept any more."""
        if number not in self._kept:
            raise InputError(f"Version {number} is not kept any more: the last {KEPT} are.")
        self._current = number
        return self._kept[number].version


def version_of(
    kind: str, dice: Mapping[int, float], dataset: AnnotationDataset, expected: Mapping[int, ExpectedDice]
) -> Version:
    """A version without a number yet, with the held-out voxels behind each Dice."""
    counts = sum(painted_counts(part, dataset.outputs).sum(0) for part in dataset.split.held_out)
    held_out = {label: int(counts[label]) for label in dice}
    painted = sum(int(np.count_nonzero(part)) for part in dataset.painted)
    return Version(0, kind, dict(dice), held_out, painted, dict(expected))


def sees(kept: Model, volumes: Sequence[Volume]) -> bool:
    """Whether a kept model is for this kind of volume."""
    architecture = architecture_of(kept.network)
    if architecture.predicts == "slices":
        return bool(architecture.settings.filters == filters_for(volumes))
    is_too_deep = kept.card.dimensions == 3 and volumes[0].is_2d
    return len(kept.card.channels) == len(volumes[0].channels) and not is_too_deep


def has_features(kept: Model) -> bool:
    """Whether a kept model has a U-Net that a light head can look through: not where that takes several channels."""
    by_slices = architecture_of(kept.network).predicts == "slices"
    return (by_slices or len(kept.card.channels) == 1) and base_of(kept) is not None


def kind_of(model: Model) -> str:
    """What came of a training that was not taken."""
    return "light head with trees" if architecture_of(model.network).predicts == "slices" else "model to begin with"
