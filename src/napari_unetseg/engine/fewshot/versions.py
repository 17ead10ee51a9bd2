"""The accepted models of a live session, and the gate in front of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.annotations.sparse_labels import class_count
from napari_unetseg.core.annotations.versions import Version
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot.slice_predictor import SliceNetwork
from napari_unetseg.engine.fewshot.training_set import base_of, filters_for
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.errors import InputError

KEPT = 20
"""Versions that can be reverted to."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SparsePaint:
    """The painted voxels of one image.

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
    def of(cls, painted: Array) -> SparsePaint:
        """That of painted labels (Z, Y, X)."""
        where = np.flatnonzero(painted)
        fits = painted.size < 2**32
        return cls(where.astype(np.uint32) if fits else where, painted.ravel()[where], painted.shape)

    @property
    def dense(self) -> Array:
        """Painted labels (Z, Y, X)."""
        painted = np.zeros(int(np.prod(self.shape)), dtype=self.values.dtype)
        painted[self.where] = self.values
        return painted.reshape(self.shape)


@dataclass(frozen=True)
class Origin:
    """All that it takes to make a version again, beside the images and the model that its session began with.

    Parameters
    ----------
    painted : tuple of SparsePaint
        One an image.
    settings : FineTuneSettings
        Steps, not minutes; 0 steps stand for the light head of a live session.
    """

    painted: tuple[SparsePaint, ...]
    settings: FineTuneSettings


@dataclass(frozen=True)
class Accepted:
    """A version.

    Parameters
    ----------
    model : Model
        It has learned from all paint there was.
    trial : PixelClassifier or WholeSlices
        What later candidates are compared with: without the paint that was held out, where there is such a network.
    known : tuple of SparsePaint, or None
        The paint that `trial` has learned from; None where that is not known.
    origin : Origin or None
        None where it was restored from a file.
    """

    version: Version
    model: Model
    trial: SliceNetwork
    known: tuple[SparsePaint, ...] | None = None
    origin: Origin | None = None

    def unseen(self, painted: Sequence[Array], held: Sequence[Array]) -> list[Array]:
        """Held-out paint that `trial` has not learned from."""
        known = self.known or ()
        return [np.where(p == k.dense, 0, h) for p, h, k in zip(painted, held, known, strict=True)]


class Versions:
    """The last accepted models, by number, and which of them is in use."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Accepted] = OrderedDict()
        self._count = self._current = 0

    @property
    def all(self) -> tuple[Version, ...]:
        """What can be reverted to, the oldest first."""
        return tuple(accepted.version for accepted in self._kept.values())

    @property
    def current(self) -> Accepted | None:
        """The one in use; None before the first."""
        return self._kept.get(self._current)

    def accept(self, candidate: Accepted) -> Version:
        """Give it the next number, and use it."""
        self._count = self._current = self._count + 1
        version = replace(candidate.version, number=self._count)
        self._kept[self._count] = replace(candidate, version=version)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return version

    def revert(self, number: int) -> Version:
        """Use an earlier one again; raises `InputError` if it is not kept any more."""
        if number not in self._kept:
            raise InputError(f"Version {number} is not kept any more: the last {KEPT} are.")
        self._current = number
        return self._kept[number].version


def version_of(kind: str, dice: Mapping[int, float], painted: Sequence[Array], held: Sequence[Array]) -> Version:
    """A version without a number yet, with the held-out voxels behind each Dice."""
    most = class_count(painted) + 1
    counts = sum((np.bincount(part.ravel(), minlength=most) for part in held), np.zeros(most, np.int64))
    held_out = {label: int(counts[label + 1]) for label in dice}
    return Version(0, kind, dict(dice), held_out, sum(int(np.count_nonzero(part)) for part in painted))


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
