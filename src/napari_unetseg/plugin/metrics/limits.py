"""Limits from which on a structure counts as good enough, ready-made sets of them, and the rating of a row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from napari_unetseg.core.metrics.scores import DISTANCES
from napari_unetseg.core.volume import UNITS

NARROWLY = 0.1
"""A limit that is missed by no more than this share of it is missed narrowly."""


class Rating(IntEnum):
    """How a figure, or the worst of a row's figures, stands to its limit."""

    MISSED = 0
    NARROWLY_MISSED = 1
    MET = 2


@dataclass(frozen=True)
class Limit:
    """What a figure should be above, or, for distances, below.

    Parameters
    ----------
    metric : str
        One of `core.metrics.scores.METRICS`.
    value : float
    unit : str
        Of a distance: one of `core.volume.UNITS` or ``pixel``; empty for the other figures.
    """

    metric: str
    value: float
    unit: str = ""

    @property
    def is_distance(self) -> bool:
        """Whether smaller is better."""
        return self.metric in DISTANCES

    def value_in(self, unit: str) -> float | None:
        """The limit of a distance in another unit; None where only one of the two is a physical one."""
        if unit == self.unit:
            return self.value
        return self.value * UNITS[self.unit] / UNITS[unit] if self.unit in UNITS and unit in UNITS else None

    def rating(self, figure: float | None, unit: str) -> Rating | None:
        """How a figure stands to the limit; None where there is no figure or no common unit."""
        limit = self.value_in(unit) if self.is_distance else self.value
        if figure is None or math.isnan(figure) or limit is None:
            return None
        excess = figure - limit if self.is_distance else limit - figure
        if excess < 0:
            return Rating.MET
        return Rating.NARROWLY_MISSED if excess <= NARROWLY * limit else Rating.MISSED


PRESETS: dict[str, tuple[Limit, ...]] = {
    "planning": (Limit("dice", 0.85), Limit("hausdorff", 5.0, "mm")),
    "volumetry": (Limit("dice", 0.80), Limit("iou", 0.75)),
    "detection": (Limit("sensitivity", 0.95),),
}
"""Limits in common use for treatment planning, for measuring volumes and for finding things."""


@dataclass(frozen=True)
class Verdict:
    """How a row stands to all limits.

    Parameters
    ----------
    rating : Rating or None
        The worst of all; None where no limit applies.
    missed : tuple of Limit
        Narrowly or not.
    """

    rating: Rating | None
    missed: tuple[Limit, ...] = ()


def judge(row: Mapping[str, Any], limits: Sequence[Limit]) -> Verdict:
    """Hold a row of figures, with its ``unit``, against limits."""
    ratings = {limit: limit.rating(row.get(limit.metric), row["unit"]) for limit in limits}
    known = [rating for rating in ratings.values() if rating is not None]
    missed = (limit for limit, rating in ratings.items() if rating is not None and rating < Rating.MET)
    return Verdict(min(known, default=None), tuple(missed))
