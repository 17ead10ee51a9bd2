"""Verification of a model's card: the images that it is measured on, and the figures that it gives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import edt
import numpy as np
import numpy.typing as npt

from napari_unetseg.core.geometry.same_grid import check_place
from napari_unetseg.core.io.loadsave import load_labels, load_volume
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.objects import match
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.models.card import Score, VerificationSet
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.errors import InputError

TOLERANCE = 2.0
"""Voxels, for boundaries."""
AGREEMENT = 0.01
"""A card's figure stands where it is measured again within this."""
OVERLAP_ONLY = MetricSettings(surfaces=False)
Mask = npt.NDArray[np.bool_]
Measured = tuple[str, str, float]
"""A structure's name, a metric, its value."""


@dataclass(frozen=True)
class Example:
    """A held-out image and its truth, on one grid."""

    volume: Volume
    truth: Labels


@dataclass(frozen=True)
class Check:
    """One figure of a card, and what came when it was measured again; None where only the other one is there."""

    score: Score
    card: float | None
    measured: float | None

    @property
    def agrees(self) -> bool:
        """Whether both are there and differ by at most `AGREEMENT`."""
        return self.card is not None and self.measured is not None and abs(self.measured - self.card) <= AGREEMENT


def verification_paths(rule: VerificationSet, folder: Path) -> list[Path]:
    """The images of a rule in a folder of labelled sets, by path.

    Raises
    ------
    InputError
        If there is none.
    """
    paths = sorted(folder.glob(rule.images))
    found = [path for path in paths[rule.every - 1 :: rule.every] if path.name.startswith(rule.begins or "")]
    if not found:
        raise InputError(f"{folder} holds no {rule.images}; expected the folder of the sets that the card names.")
    return found


def examples(rule: VerificationSet, folder: Path) -> Iterator[Example]:
    """Load one held-out image after the other.

    Raises
    ------
    InputError
        If there is none, one cannot be read, or its labels have another shape.
    """
    selection = Selection(spacing=rule.spacing, unit=rule.unit)
    for path in verification_paths(rule, folder):
        relative = str(path.relative_to(folder)).replace(*rule.labels)
        volume, truth = load_volume(path, selection), load_labels(folder / relative, selection)
        if truth.array.shape != volume.shape:
            raise InputError(f"{path} has shape {volume.shape}, its labels {relative} have {truth.array.shape}.")
        check_place(volume, truth)
        part = tuple(slice(*rule.part) if axis == rule.axis and rule.part else slice(None) for axis in "zyx")
        for cut in _slices(volume.shape[0], part, rule.slices):
            wanted, is_objects = _truth(truth.array[cut], rule), rule.measure == "objects"
            labels = replace(truth, array=wanted, are_objects=is_objects, structures=())
            yield Example(replace(volume, array=volume.array[:, *cut]), labels)


def _slices(length: int, part: tuple[slice, ...], every: int) -> list[tuple[slice, ...]]:
    """The part, or every n-th of its z slices."""
    return [(slice(z, z + 1), *part[1:]) for z in range(length)[part[0]][::every]] if every else [part]


def _truth(array: npt.NDArray[Any], rule: VerificationSet) -> npt.NDArray[Any]:
    if rule.truth == "labels":
        return array
    return (array > 0 if rule.truth == "foreground" else array == 0).astype(np.uint8)


def figures(
    rule: VerificationSet, predicted: Labels, truth: Labels, structures: tuple[Structure, ...]
) -> Iterator[Measured]:
    """The figures of one example, by the rule's measure.

    Parameters
    ----------
    predicted, truth : Labels
        On one grid.
    structures : tuple of Structure
        The model's: they name the rows.
    """
    first = structures[0].name
    if rule.measure == "objects":
        yield first, "Dice", dice_of(predicted.array > 0, truth.array > 0)
        yield first, "F1@0.5", match(predicted, truth).f1
        return
    for row in evaluate(predicted, replace(truth, structures=structures), OVERLAP_ONLY).structures:
        yield row.name, "Dice", row.dice
    if rule.measure == "boundary":
        yield first, "boundary Dice, 2 voxels", boundary_dice(predicted.array > 0, truth.array > 0)


def mean_scores(name: str, measured: Iterable[Measured]) -> tuple[Score, ...]:
    """Means over the examples of one group, as a card holds them, in the order in which they came.

    A structure that is neither in an image nor found in it counts for nothing there.
    """
    values: dict[tuple[str, str], list[float]] = {}
    for structure, metric, value in measured:
        if not math.isnan(value):
            values.setdefault((structure, metric), []).append(value)
    return tuple(
        Score(held_out=name, structure=structure, metric=metric, value=round(fmean(found), 4), images=len(found))
        for (structure, metric), found in values.items()
    )


def compare(claimed: Iterable[Score], measured: Iterable[Score]) -> tuple[Check, ...]:
    """A card's figures beside those measured again, and then those that the card does not have."""
    found = {_key(score): score for score in measured}
    checks = []
    for score in claimed:
        again = found.pop(_key(score), None)
        checks.append(Check(score, score.value, None if again is None else again.value))
    return (*checks, *(Check(score, None, score.value) for score in found.values()))


def _key(score: Score) -> tuple[str, str, str, int]:
    return score.held_out, score.structure, score.metric, score.images


def dice_of(predicted: Mask, truth: Mask) -> float:
    """Dice of two masks; 1 where both are empty."""
    total = np.count_nonzero(predicted) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(predicted & truth) / total if total else 1.0


def boundary_dice(predicted: Mask, truth: Mask, tolerance: float = TOLERANCE) -> float:
    """Share of both masks' voxels that lie within `tolerance` voxels of the other mask; 1 where both are empty."""
    total = np.count_nonzero(predicted) + np.count_nonzero(truth)
    near_truth, near_predicted = edt.edt(~truth) <= tolerance, edt.edt(~predicted) <= tolerance
    right = np.count_nonzero(predicted & near_truth) + np.count_nonzero(truth & near_predicted)
    return right / total if total else 1.0
