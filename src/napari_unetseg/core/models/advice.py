"""Advice in words, from the figures of a prediction: what is likely wrong with its model, and what to try."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from napari_unetseg.core.geometry.label_arrays import connected_parts, regions
from napari_unetseg.core.metrics.pairing import Pair
from napari_unetseg.core.metrics.scores import Evaluation, StructureScore
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.settings import setting
from napari_unetseg.core.volume import Labels

Remedy = Literal["structure_weight", "boundary_weight", "several_scales"]
BOUNDARY_WEIGHT = 0.5
"""The share of the loss that is advised for boundaries."""
FEWEST_PARTS = 4
"""From so few parts on, small and large ones can be told apart."""


@dataclass(frozen=True)
class AdviceRules:
    """When a figure is a reason for advice."""

    low_sensitivity: float = setting(0.6, "Below this share of a structure found, most of it is missed.")
    high_specificity: float = setting(0.98, "Above this share of the rest left out, the model prefers background.")
    good_dice: float = setting(0.8, "From this Dice on, the structure as a whole is found.")
    poor_boundary: float = setting(0.7, "Below this boundary Dice and surface Dice, its boundary is poor.")
    large_found: float = setting(0.8, "From this share of large parts found, and")
    small_missed: float = setting(0.5, "below this share of small parts found, size is what matters.")


@dataclass(frozen=True)
class Found:
    """The share of a structure's parts, small and large, of which more than half was predicted."""

    small: float
    large: float


@dataclass(frozen=True)
class Advice:
    """One thing to try.

    Parameters
    ----------
    structure : int
        The label that it is about.
    text : str
        What is likely wrong and what to try, in a sentence or two.
    setting : str
        What to change for the next training: a field of `core.models.fine_tuned_card.FineTuneSettings`.
    value : float
        To what; 1 switches on.
    """

    structure: int
    text: str
    setting: Remedy
    value: float


DEFAULTS = AdviceRules()


def advise(
    evaluation: Evaluation, found: Mapping[int, Found] | None = None, rules: AdviceRules = DEFAULTS
) -> list[Advice]:
    """Advise on every structure that the reference has; an empty list where nothing stands out.

    Parameters
    ----------
    evaluation : Evaluation
    found : mapping of label to Found, optional
        What `found_by_size` says; without it, nothing is said about sizes.
    rules : AdviceRules
    """
    return [
        advice
        for score in evaluation.structures
        if score.reference_volume > 0
        for advice in _advise_one(score, (found or {}).get(score.label), rules)
    ]


def follow(settings: FineTuneSettings, advice: Iterable[Advice]) -> FineTuneSettings:
    """Learning settings with all that is advised; of several values for one setting the largest, and none lowered."""
    values = asdict(settings)
    for one in advice:
        values[one.setting] = type(values[one.setting])(max(values[one.setting], one.value))
    return FineTuneSettings(**values)


def found_by_size(predicted: Labels, reference: Labels) -> dict[int, Found]:
    """Tell for each structure of the reference which share of its small and of its large parts was found.

    The connected parts of a structure are ranked by size, and halved. Structures of fewer than four parts are left out.

    Raises
    ------
    InputError
        If the two are not on one grid; the message says what differs.
    """
    truth, guess = Pair.of(predicted, reference).images[::-1]
    shares = {label: _shares(truth[box] == label, guess[box] == label) for label, box in regions(truth)}
    return {label: Found(*share) for label, share in shares.items() if share is not None}


def _advise_one(score: StructureScore, found: Found | None, rules: AdviceRules) -> Iterator[Advice]:
    if score.sensitivity < rules.low_sensitivity and score.specificity > rules.high_specificity:
        weight = float(np.clip(round(1 / max(score.sensitivity, 0.01)), 2, 5))
        text = (
            f"Mostly background is predicted where {score.name} is: {score.sensitivity:.0%} of it is found. "
            f"Give it more weight ({weight:g} times)."
        )
        yield Advice(score.label, text, "structure_weight", weight)
    if score.dice >= rules.good_dice and max(score.boundary_dice, score.nsd) < rules.poor_boundary:
        text = (
            f"{score.name} is found as a whole (Dice {score.dice:.2f}), but its boundary is off "
            f"(boundary Dice {score.boundary_dice:.2f}, surface Dice {score.nsd:.2f}). Add a boundary term to the loss."
        )
        yield Advice(score.label, text, "boundary_weight", BOUNDARY_WEIGHT)
    if found is not None and found.large >= rules.large_found and found.small < rules.small_missed:
        text = (
            f"Large parts of {score.name} are found ({found.large:.0%}), small ones are missed ({found.small:.0%} "
            f"found). Train on several scales."
        )
        yield Advice(score.label, text, "several_scales", 1.0)


def _shares(truth: Any, guess: Any) -> tuple[float, float] | None:
    """The shares of small and of large parts of a mask of which more than half is in the other one."""
    parts, count = connected_parts(truth)
    if count < FEWEST_PARTS:
        return None
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    hits = np.bincount(parts[guess].ravel(), minlength=count + 1)[1:] > sizes / 2
    small, large = np.array_split(hits[np.argsort(sizes, kind="stable")], 2)
    return float(small.mean()), float(large.mean())
