"""Versions of a model that is learned beside a painter, and the decision to accept one or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.annotations.expected_dice import ExpectedDice
from napari_unetseg.core.annotations.next_slice import SliceUncertainty


@dataclass(frozen=True)
class Version:
    """A model that was accepted while someone painted.

    Parameters
    ----------
    number : int
        1, 2, … in the order of acceptance.
    kind : str
        What it is made of, for people: ``"light head"``.
    dice : mapping
        Held-out Dice by structure label; of the model as it was before it saw that paint. A structure of which nothing
        could be held out is missing.
    held_out : mapping
        Voxels of each structure that the Dice rests on.
    painted : int
        Painted voxels that it learned from.
    expected : mapping
        What Dice to expect, and how far it may be off, by structure label.
    """

    number: int
    kind: str
    dice: Mapping[int, float] = field(default_factory=dict)
    held_out: Mapping[int, int] = field(default_factory=dict)
    painted: int = 0
    expected: Mapping[int, ExpectedDice] = field(default_factory=dict)

    @property
    def mean_dice(self) -> float | None:
        """Held-out Dice, averaged over structures; None where none was held out."""
        return sum(self.dice.values()) / len(self.dice) if self.dice else None


@dataclass(frozen=True)
class AcceptDecision:
    """Whether a candidate was taken, and why.

    Parameters
    ----------
    version : Version
        The one that counts from now on: the candidate, or the one before.
    accepted : bool
    reason : str
        One line for people.
    offered : Version or None
        A candidate that cannot be told apart from the version in use: it counts only if the person takes it.
    """

    version: Version
    accepted: bool
    reason: str
    offered: Version | None = None


@dataclass(frozen=True)
class SlicePrediction:
    """What the model in use says about one slice.

    Parameters
    ----------
    labels : ndarray, uint8, (Y, X)
        Output labels.
    uncertainty : ndarray, uint8, (Y, X)
        255 · (1 − (p₁ − p₂)) of the two likeliest classes' probabilities: 0 is sure, 255 is a draw.
    summary : SliceUncertainty
        The same, summed up.
    """

    labels: npt.NDArray[np.uint8]
    uncertainty: npt.NDArray[np.uint8]
    summary: SliceUncertainty


@dataclass(frozen=True)
class Tuned:
    """A part of fine-tuning.

    Parameters
    ----------
    losses : tuple of float
        Of the training steps that were done in it.
    verdict : AcceptDecision or None
        None while there is more to do.
    """

    losses: tuple[float, ...]
    verdict: AcceptDecision | None = None
