"""Dice that a person can count on: what held-out strokes say, how far they may be off, and whether two models differ.

Voxels of a stroke are alike, so a stroke counts as one thing, not as its voxels: a bootstrap draws strokes, or slices
where paint of several is held out (Efron, DOI 10.1214/aos/1176344552).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import cc3d
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

LEAST_GROUPS, LEAST_VOXELS = 3, 30
"""Of a structure, held out: fewer say nothing about what is not painted."""
DRAWS = 1000
BETWEEN = (2.5, 97.5)
"""Percentiles: the range holds the Dice in 95 of 100 cases."""
FINE = 0.1
"""Ranges narrower than that have two decimals, and others one."""

Array = npt.NDArray[Any]
Share = Annotated[float, Field(ge=0, le=1)]


class ExpectedDice(BaseModel):
    """Dice of one structure on held-out paint, from before the model saw it, and the range that it is known to.

    Parameters
    ----------
    value, low, high : float or None
        None where too little is held out to tell.
    voxels, groups : int
        Held-out voxels of the structure, and in how many strokes or slices they lie.
    source : str
        What was counted: ``strokes`` or ``slices``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Share | None
    low: Share | None
    high: Share | None
    voxels: int = Field(ge=0, lt=2**63)
    groups: int = Field(ge=0, lt=2**31)
    source: Literal["strokes", "slices"] = "strokes"

    @property
    def shown(self) -> str:
        """``0.8 (0.6–0.9)``; empty where too little is held out."""
        if self.value is None or self.low is None or self.high is None:
            return ""
        digits = 1 if self.high - self.low >= FINE else 2
        return f"{self.value:.{digits}f} ({self.low:.{digits}f}–{self.high:.{digits}f})"

    @property
    def basis(self) -> str:
        """``on 212 held-out voxels of 3 strokes``."""
        voxels = f"{self.voxels:,}".replace(",", " ")
        unit = self.source if self.groups != 1 else self.source.removesuffix("s")
        return f"on {voxels} held-out voxel{'' if self.voxels == 1 else 's'} of {self.groups} {unit}"

    @property
    def words(self) -> str:
        """One line for people: the range and what it rests on, or what would make one known."""
        if self.shown:
            return f"{self.shown} {self.basis}"
        return f"too little is held out to tell ({self.basis}): paint some of it on another slice"


class Range(NamedTuple):
    """From where to where a figure may lie."""

    low: float
    high: float


@dataclass(frozen=True)
class StrokeCounts:
    """Voxels of held-out strokes by what a model says of them; G strokes, L classes with background.

    Parameters
    ----------
    both, predicted, true : ndarray of float (G, L)
        Voxels of a class, by both the model and the person, by the model, and by the person.
    slices : ndarray of int (G,)
        The slice that each stroke lies in.
    """

    both: Array
    predicted: Array
    true: Array
    slices: Array

    @classmethod
    def of(cls, slices: Iterable[tuple[Array, Array, Array]], classes: int) -> StrokeCounts:
        """Those of some slices.

        Parameters
        ----------
        slices : iterable of ndarrays (P,)
            Of each slice's held-out voxels: predicted classes, true ones, and the number of the stroke.
        classes : int
            With background.
        """
        parts = [np.zeros((0, 3, classes))]
        where = [np.zeros(0, int)]
        for number, (predicted, true, strokes) in enumerate(slices):
            _, each = np.unique(strokes, return_inverse=True)
            count = int(each.max(initial=-1)) + 1
            found = (_table(each[m], c[m], count, classes) for c, m in _marked(predicted, true))
            parts.append(np.stack(list(found), axis=1))
            where.append(np.full(count, number))
        both, by_model, by_person = np.moveaxis(np.concatenate(parts), 1, 0)
        return cls(both, by_model, by_person, np.concatenate(where))

    def by_slice(self) -> StrokeCounts:
        """The same with all strokes of a slice as one."""
        kept, each = np.unique(self.slices, return_inverse=True)
        member = (np.arange(len(kept))[:, None] == each).astype(float)
        return StrokeCounts(member @ self.both, member @ self.predicted, member @ self.true, kept)

    @property
    def structures(self) -> list[int]:
        """Classes above 0 that the person painted."""
        return [label for label in range(1, self.true.shape[1]) if self.true[:, label].any()]

    @property
    def dice(self) -> dict[int, float]:
        """Dice of each structure over all voxels."""
        found = _dice(self, np.ones((1, len(self.slices))))[0]
        return {label: float(found[label]) for label in self.structures}

    def expected(self) -> dict[int, ExpectedDice]:
        """What to expect of each structure that was held out."""
        return {label: self._expected(label) for label in self.structures}

    def _expected(self, label: int) -> ExpectedDice:
        slices = self.by_slice()
        is_spread = np.count_nonzero(slices.true[:, label]) >= LEAST_GROUPS
        counts: StrokeCounts = slices if is_spread else self
        source: Literal["strokes", "slices"] = "slices" if is_spread else "strokes"
        groups, voxels = int(np.count_nonzero(counts.true[:, label])), int(counts.true[:, label].sum())
        if groups < LEAST_GROUPS or voxels < LEAST_VOXELS:
            return ExpectedDice(value=None, low=None, high=None, voxels=voxels, groups=groups, source=source)
        value = float(_dice(counts, np.ones((1, len(counts.slices))))[0, label])
        low, high = _range(_dice(*_smoothed(counts, label))[:, label])
        bounds = (round(min(low, value), 4), round(max(high, value), 4))
        return ExpectedDice(
            value=round(value, 4), low=bounds[0], high=bounds[1], voxels=voxels, groups=groups, source=source
        )


def strokes_of(painted: Array) -> npt.NDArray[np.uint32]:
    """Numbers (Y, X) of the strokes in a slice's paint (Y, X): what is connected and of one value; 0 unpainted."""
    narrow = np.ascontiguousarray(painted, dtype=np.uint16)
    return np.asarray(cc3d.connected_components(narrow, connectivity=8, out_dtype=np.uint32))


def difference(found: StrokeCounts, before: StrokeCounts) -> Range | None:
    """How much better a model may be than another on the same strokes: mean Dice, by a paired bootstrap.

    Returns
    -------
    Range or None
        None where there are too few strokes to tell, or they are not the same.
    """
    is_spread = _with_structure(found.by_slice()) >= LEAST_GROUPS
    pair = [counts.by_slice() if is_spread else counts for counts in (found, before)]
    if _with_structure(pair[0]) < LEAST_GROUPS or not _same_strokes(found, before):
        return None
    draws = _draws(len(pair[0].slices))
    one, other = (_dice(counts, draws)[:, found.structures] for counts in pair)
    known = np.isfinite(one) & np.isfinite(other)
    shares = known.sum(1).clip(1)
    means = np.where(known, one - other, 0.0).sum(1) / shares
    return _range(means)


def expected_record(expected: Mapping[int, ExpectedDice]) -> dict[str, dict[str, Any]]:
    """The same in plain values for programs, by output label."""
    return {str(label): found.model_dump(mode="json") for label, found in sorted(expected.items())}


def expected_lines(record: Mapping[str, Any]) -> list[str]:
    """Such a record for people, a line for each output label."""
    return [f"{label}: {ExpectedDice.model_validate(found).words}" for label, found in record.items()]


def _marked(predicted: Array, true: Array) -> tuple[tuple[Array, Array], ...]:
    """Classes, and which of the voxels to count them of."""
    everywhere = np.ones(len(true), bool)
    return (true, predicted == true), (predicted, everywhere), (true, everywhere)


def _table(strokes: Array, classes: Array, count: int, most: int) -> Array:
    """Voxels (count, most) of each stroke and class; a class that is not asked for is left out."""
    asked = classes < most
    flat = strokes[asked].astype(np.int64) * most + classes[asked]
    return np.bincount(flat, minlength=count * most).reshape(count, most).astype(float)


def _with_structure(counts: StrokeCounts) -> int:
    """Groups that hold some of a structure, and not background alone."""
    return int(np.count_nonzero(counts.true[:, 1:].any(axis=1)))


def _same_strokes(one: StrokeCounts, other: StrokeCounts) -> bool:
    return np.array_equal(one.slices, other.slices) and np.array_equal(one.true, other.true)


def _draws(count: int) -> Array:
    """How often each of `count` groups is drawn, (DRAWS, count); the same for the same count."""
    return np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), DRAWS).astype(float)


def _smoothed(counts: StrokeCounts, label: int) -> tuple[StrokeCounts, Array]:
    """The groups and one more of their mean size, half of it right, and the draws of them.

    Between groups that are all right a bootstrap sees no spread; the one more stands for what nobody has painted.
    """
    mean = counts.true[:, label].sum() / np.count_nonzero(counts.true[:, label])
    row = np.zeros((1, counts.true.shape[1]))
    row[0, label] = mean
    more = StrokeCounts(
        np.concatenate([counts.both, row / 2]),
        np.concatenate([counts.predicted, row]),
        np.concatenate([counts.true, row]),
        np.append(counts.slices, -1),
    )
    return more, _draws(len(more.slices))


def _dice(counts: StrokeCounts, draws: Array) -> Array:
    """Dice (draws, L); not a number where a class is in neither."""
    both, total = draws @ counts.both, draws @ (counts.predicted + counts.true)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(total > 0, 2 * both / np.where(total > 0, total, 1), np.nan))


def _range(values: Array) -> Range:
    low, high = np.nanpercentile(values, BETWEEN)
    return Range(float(low), float(high))
