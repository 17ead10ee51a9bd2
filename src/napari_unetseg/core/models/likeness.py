"""Likeness of an image to what models were trained on: which is the nearest, and whether that is near enough."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.models.appearance import LENGTH, VERSION
from napari_unetseg.core.models.card import Appearance, ImageDescriptor

LIKELY = 0.95
"""The doubt up to which a model is proposed.

It keeps 95 of 100 descriptors of training images, their own image left out, in the mean over the bundled kinds of
images. What else had a say is told in ``benchmarks/proposals.py``.
"""
FLOOR = 0.03
"""Share of the variance over all models that counts within each: what hardly varies there does not decide alone."""
UNSEEN = 1.5
"""What counts for a number that an image has and a model's small images have not, in variances within models.

Two images of one model, drawn at random, differ by 2; the nearest ones by less than 1.
"""
OWN = 0.9
"""Share of a model's descriptors that lie within its spread of others of its own."""
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Likeness:
    """How an image differs from what each model was trained on.

    Parameters
    ----------
    distances : tuple of float
        To the nearest descriptors of each model, in the spread of its own; infinite where it has none of this version.
    is_calibrated : bool
        Whether any model has descriptors enough to tell what is near.
    """

    distances: tuple[float, ...]
    is_calibrated: bool


def likeness(seen: Sequence[ImageDescriptor], known: Sequence[Appearance | None]) -> Likeness:
    """How far an image is from what each model was trained on.

    A squared distance is the mean over all numbers that the image's slice has, each by its variance within models; it
    is that to the nearest descriptor, the median over slices, and divided by the geometric mean of two spreads: the
    model's own, and that of all models. Some are trained on images of many kinds, others on those of one.

    Parameters
    ----------
    seen : sequence of ImageDescriptor
        One for each slice that was looked at.
    known : sequence of Appearance or None
        One for each model.
    """
    measure = _measure(tuple(known))
    image = np.array(seen, np.float64).reshape(-1, LENGTH)
    return Likeness(
        tuple(
            math.inf
            if numbers is None
            else float(np.median(_apart(image, numbers, measure.weights).min(axis=1))) / spread
            for numbers, spread in zip(measure.sets, measure.spreads, strict=True)
        ),
        measure.is_calibrated,
    )


def distances_within(known: Sequence[Appearance | None], index: int) -> Numbers:
    """The distances of each descriptor of one model from every model (n, models), its own group left out.

    What `LIKELY` is measured by. Infinite where a model has no descriptors, or no other group.
    """
    measure = _measure(tuple(known))
    own, about = measure.sets[index], known[index]
    if own is None or about is None:
        return np.empty((0, len(known)))
    distances = np.full((len(own), len(known)), np.inf)
    group = np.array(about.groups)
    for column, (numbers, spread) in enumerate(zip(measure.sets, measure.spreads, strict=True)):
        if numbers is not None:
            apart = _apart(own, numbers, measure.weights)
            if column == index:
                apart = np.where(group[:, None] == group, np.inf, apart)
            distances[:, column] = apart.min(axis=1) / spread
    return distances


def doubt(first: float, other: float) -> float:
    """How much speaks against the nearest model: its distance, less where the nearest of another kind is farther."""
    return first * math.sqrt(first / other) if first < other < math.inf else first


@dataclass(frozen=True)
class _Measure:
    """Descriptors of each model (n, LENGTH), the weight of each number, and by what each model's distances count."""

    sets: tuple[Numbers | None, ...]
    weights: Numbers
    spreads: tuple[float, ...]
    is_calibrated: bool


@functools.lru_cache(maxsize=8)
def _measure(known: tuple[Appearance | None, ...]) -> _Measure:
    sets = tuple(one.table if one is not None and _is_current(one) else None for one in known)
    weights = _weights([numbers for numbers in sets if numbers is not None])
    pairs = zip(sets, known, strict=True)
    own = [_spread(numbers, one.groups, weights) if numbers is not None and one else None for numbers, one in pairs]
    measured = [spread for spread in own if spread is not None]
    usual = float(np.exp(np.mean(np.log(measured)))) if measured else 1.0
    return _Measure(sets, weights, tuple(math.sqrt((spread or usual) * usual) for spread in own), bool(measured))


def _is_current(one: Appearance) -> bool:
    return one.version == VERSION and bool(one.descriptors) and len(one.descriptors[0]) == LENGTH


def _weights(sets: Sequence[Numbers]) -> Numbers:
    """One by the variance of each number within models."""
    if not sets:
        return np.ones(LENGTH)
    everything = np.concatenate(sets)
    with np.errstate(invalid="ignore"):
        around = np.concatenate([numbers - _mean(numbers) for numbers in sets])
    within, over_all = _mean(around**2), _mean((everything - _mean(everything)) ** 2)
    result: Numbers = 1 / (np.nan_to_num(within + FLOOR * over_all) + 1e-6)
    return result


def _mean(numbers: Numbers) -> Numbers:
    """Over those that are there, along the first axis; NaN where none is."""
    there = ~np.isnan(numbers)
    with np.errstate(invalid="ignore"):
        mean: Numbers = np.where(there, numbers, 0).sum(axis=0) / there.sum(axis=0)
    return mean


def _apart(image: Numbers, known: Numbers, weights: Numbers) -> Numbers:
    """Distances (n, m) of n descriptors from m others, over the numbers that the former have."""
    has, given = (~np.isnan(image)).astype(float), (~np.isnan(known)).astype(float)
    x, y = np.nan_to_num(image), np.nan_to_num(known)
    squared = (x * x * weights) @ given.T + has @ (y * y * weights).T - 2 * (x * weights) @ y.T
    count = has.sum(axis=1, keepdims=True)
    result: Numbers = np.sqrt(np.maximum(squared + UNSEEN * (count - has @ given.T), 0) / np.maximum(count, 1))
    return result


def _spread(numbers: Numbers, groups: Sequence[int], weights: Numbers) -> float | None:
    """How far most descriptors are from the nearest one of another group; None where there is but one group."""
    if len(set(groups)) < 2:
        return None
    group = np.array(groups)
    apart = np.where(group[:, None] == group, np.inf, _apart(numbers, numbers, weights))
    return max(float(np.quantile(apart.min(axis=1), OWN)), 1e-3)
