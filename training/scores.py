"""How good a model is on the examples that training never saw: through the same verbs as a user's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import edt
import numpy as np

from napari_unetseg.api import segment
from napari_unetseg.core.card import Score
from napari_unetseg.core.metrics import MetricSettings, evaluate, match
from napari_unetseg.core.volume import Grid, Labels, Volume
from napari_unetseg.engine.model_file import Model
from training.recipe import Array, Example, Recipe

TOLERANCE = 2.0  # voxels, for boundaries
OVERLAP_ONLY = MetricSettings(surfaces=False)


@dataclass(frozen=True)
class Figure:
    """One figure of one example."""

    group: str
    structure: str
    metric: str
    value: float


def score_model(model: Model, recipe: Recipe, examples: Iterable[Example]) -> tuple[Score, ...]:
    """Mean figures over the examples, group by group, as the card holds them."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for example in examples if recipe.measure != "nothing" else ():
        for figure in figures(model, recipe, example):
            values.setdefault((figure.group, figure.structure, figure.metric), []).append(figure.value)
    return tuple(
        Score(held_out=group, structure=structure, metric=metric, value=round(float(np.mean(v)), 4), images=len(v))
        for (group, structure, metric), v in values.items()
    )


def figures(model: Model, recipe: Recipe, example: Example) -> Iterator[Figure]:
    """The figures of one example, by the recipe's `measure`."""
    grid = Grid(example.spacing, example.unit)
    predicted = segment(Volume(example.image[None], grid, name=example.name), model).labels
    if recipe.measure == "objects":
        truth = Labels(example.truth, grid, are_objects=True)
        name = recipe.structures[0].name
        dice = dice_of(predicted.array > 0, example.truth > 0)
        yield Figure(example.group, name, "Dice", dice)
        yield Figure(example.group, name, "F1@0.5", match(predicted, truth).f1)
        return
    truth = Labels(example.truth, grid, recipe.structures)
    for row in evaluate(predicted, truth, OVERLAP_ONLY).structures:
        yield Figure(example.group, row.name, "Dice", row.dice)
    if recipe.measure == "boundary":
        value = boundary_dice(predicted.array > 0, example.truth > 0)
        yield Figure(example.group, recipe.structures[0].name, "boundary Dice, 2 voxels", value)


def dice_of(predicted: Array, truth: Array) -> float:
    """Dice of two masks; 1 where both are empty."""
    total = np.count_nonzero(predicted) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(predicted & truth) / total if total else 1.0


def boundary_dice(predicted: Array, truth: Array, tolerance: float = TOLERANCE) -> float:
    """Share of both masks' voxels that lie within `tolerance` voxels of the other mask."""
    near_truth = edt.edt(~truth) <= tolerance
    near_predicted = edt.edt(~predicted) <= tolerance
    right = np.count_nonzero(predicted & near_truth) + np.count_nonzero(truth & near_predicted)
    return right / max(1, np.count_nonzero(predicted) + np.count_nonzero(truth))
