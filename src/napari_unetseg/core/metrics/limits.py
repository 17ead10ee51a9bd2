"""Limits from which on a structure counts as good enough: ready-made sets, sets from files, and the rating of a row."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, Self

import pydantic

from napari_unetseg.core.grid import UNITS
from napari_unetseg.core.metrics.scores import DISTANCES
from napari_unetseg.core.units import parse_unit, quantity
from napari_unetseg.errors import InputError, SettingsError

NARROWLY = 0.1
"""A limit without a second level that is missed by no more than this share of it is missed narrowly."""
SHARES = ("dice", "iou", "precision", "sensitivity", "specificity", "nsd", "boundary_dice", "small_recall")
"""The figures between 0 and 1 that may be limited, and are better when larger."""
MOST_BYTES = 100_000
"""Of a file of limits."""


class Rating(IntEnum):
    """How a figure, or the worst of a row's figures, stands to its limit."""

    MISSED = 0
    NARROWLY_MISSED = 1
    """By a tenth or less; where there is a second level, that one is met."""
    MET = 2


WORDS = {Rating.MET: "met", Rating.NARROWLY_MISSED: "nearly", Rating.MISSED: "missed", None: None}
"""How a rating is called in records for programs; ``acceptable`` where a second level is met."""
MARKS: Mapping[Rating | None, str] = {Rating.MET: "✓", Rating.NARROWLY_MISSED: "≈", Rating.MISSED: "✗", None: ""}
"""How a rating is marked for people."""


@dataclass(frozen=True)
class Limit:
    """What a figure should be above, or, for distances, below.

    Parameters
    ----------
    metric : str
        One of `SHARES` or `core.metrics.scores.DISTANCES`.
    value : float
    unit : str
        Of a distance: one of `core.volume.UNITS` or ``pixel``; empty for the other figures.
    acceptable : float or None
        A second, less strict level, in the same unit: what is beyond it is not good, but acceptable.
    """

    metric: str
    value: float
    unit: str = ""
    acceptable: float | None = None

    @property
    def is_distance(self) -> bool:
        """Whether smaller is better."""
        return self.metric in DISTANCES

    def in_unit(self, unit: str) -> Limit | None:
        """The limit in another unit; None where only one of the two is a physical one."""
        if not self.is_distance or unit == self.unit:
            return self
        if not (self.unit in UNITS and unit in UNITS):
            return None
        factor = UNITS[self.unit] / UNITS[unit]
        return Limit(self.metric, self.value * factor, unit, self.acceptable and self.acceptable * factor)

    def rating(self, figure: float | None, unit: str) -> Rating | None:
        """How a figure stands to the limit; None where there is no figure or no common unit."""
        limit = self.in_unit(unit)
        if figure is None or math.isnan(figure) or limit is None:
            return None
        excess = limit._excess(figure, limit.value)
        if excess < 0:
            return Rating.MET
        if limit.acceptable is None:
            return Rating.NARROWLY_MISSED if excess <= NARROWLY * limit.value else Rating.MISSED
        return Rating.NARROWLY_MISSED if limit._excess(figure, limit.acceptable) < 0 else Rating.MISSED

    def _excess(self, figure: float, level: float) -> float:
        """By how much a figure is on the wrong side of a level; negative on the right one."""
        return figure - level if self.is_distance else level - figure

    def __str__(self) -> str:
        """``dice above 0.85 (acceptable 0.75)``, ``hausdorff below 5 mm``."""
        text = f"{self.metric} {'below' if self.is_distance else 'above'} {quantity(self.value)} {self.unit}".strip()
        return text if self.acceptable is None else f"{text} (acceptable {quantity(self.acceptable)})"


Limits = tuple[Limit, ...]
PRESETS: dict[str, Limits] = {
    "clinical": (
        Limit("dice", 0.85, acceptable=0.75),
        Limit("iou", 0.80, acceptable=0.70),
        Limit("sensitivity", 0.95, acceptable=0.90),
        Limit("specificity", 0.90, acceptable=0.85),
        Limit("hausdorff", 5.0, "mm", acceptable=10.0),
    ),
    "planning": (Limit("dice", 0.85), Limit("hausdorff", 5.0, "mm")),
    "volumetry": (Limit("dice", 0.80), Limit("iou", 0.75)),
    "detection": (Limit("sensitivity", 0.95),),
}
"""Limits in common use in the clinic, with a good and an acceptable level; for treatment planning, for measuring
volumes and for finding things."""
TITLES = {
    "clinical": "Clinical, two levels",
    "planning": "Treatment planning",
    "volumetry": "Measuring volumes",
    "detection": "Finding everything",
}
"""What the ready-made sets are called for people."""


@dataclass(frozen=True)
class Verdict:
    """How a row stands to all limits.

    Parameters
    ----------
    rating : Rating or None
        The worst of all; None where no limit applies.
    missed : tuple of Limit
        Narrowly or not.
    passed : bool or None
        Whether each limit is met, or, where it has a second level, that one; None where no limit applies.
    """

    rating: Rating | None
    missed: Limits = ()
    passed: bool | None = None

    @property
    def word(self) -> str | None:
        """The rating for programs: ``met``, ``acceptable``, ``nearly``, ``missed``, or None."""
        is_acceptable = self.rating == Rating.NARROWLY_MISSED and self.passed
        return "acceptable" if is_acceptable else WORDS[self.rating]

    def __str__(self) -> str:
        """``✓``, or a mark and what was wanted: ``✗ dice above 0.85``."""
        return " ".join(filter(None, (MARKS[self.rating], ", ".join(map(str, self.missed)))))


def judge(row: Mapping[str, Any], limits: Sequence[Limit]) -> Verdict:
    """Hold a row of figures, with its ``unit``, against limits."""
    ratings = {limit: limit.rating(row.get(limit.metric), row["unit"]) for limit in limits}
    known = {limit: rating for limit, rating in ratings.items() if rating is not None}
    missed = tuple(limit for limit, rating in known.items() if rating < Rating.MET)
    fails = (limit.acceptable is None or known[limit] == Rating.MISSED for limit in missed)
    return Verdict(min(known.values(), default=None), missed, not any(fails) if known else None)


def judged(structures: Sequence[Mapping[str, Any]], limits: Sequence[Limit]) -> list[dict[str, Any]]:
    """How each row stands, as plain values for JSON: its ``rating``, whether it ``passed``, and what it ``missed``."""
    verdicts = (judge(row, limits) for row in structures)
    return [{"rating": v.word, "passed": v.passed, "missed": [asdict(limit) for limit in v.missed]} for v in verdicts]


class _Record(pydantic.BaseModel):
    """A limit as a file has it."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    metric: Literal[*SHARES, *DISTANCES]  # type: ignore[valid-type] # the names stand in one place
    value: float = pydantic.Field(gt=0)
    acceptable: float | None = pydantic.Field(default=None, gt=0)
    unit: str = ""

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        limit = self.limit
        if limit.is_distance and limit.unit not in (*UNITS, "pixel"):
            raise ValueError(f"{self.metric} needs a unit of {', '.join([*UNITS, 'pixel'])}")
        if not limit.is_distance and (self.unit or max(self.value, self.acceptable or 0) >= 1):
            raise ValueError(f"{self.metric} needs a value below 1 and no unit")
        if self.acceptable is not None and limit._excess(self.acceptable, self.value) < 0:
            raise ValueError(f"the acceptable level of {self.metric} must be less strict than its value")
        return self

    @property
    def limit(self) -> Limit:
        """The limit that it says."""
        return Limit(self.metric, self.value, parse_unit(self.unit), self.acceptable)


class _File(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    limits: list[_Record] = pydantic.Field(min_length=1, max_length=len(SHARES) + len(DISTANCES))

    @pydantic.field_validator("limits")
    @classmethod
    def _once(cls, limits: list[_Record]) -> list[_Record]:
        if len({one.metric for one in limits}) < len(limits):
            raise ValueError("a metric occurs twice")
        return limits


def find_limits(name: str) -> Limits:
    """The limits of a ready-made set, or of a file.

    Parameters
    ----------
    name : str
        One of `PRESETS`, or a path, ``.json`` or ``.toml``. A file holds a list ``limits`` of records with ``metric``,
        ``value``, ``unit`` (of a distance) and, where there is a second level, ``acceptable``.

    Raises
    ------
    SettingsError
        If there is neither such a set nor such a file.
    InputError
        If a file cannot be read or holds something else; the message says what.
    """
    if name.lower() in PRESETS:
        return PRESETS[name.lower()]
    path = Path(name)
    if path.suffix.lower() not in (".json", ".toml"):
        raise SettingsError(f"Expected limits {', '.join(PRESETS)}, or a file .json or .toml; got {name!r}.")
    try:
        return tuple(one.limit for one in _File.model_validate(_read(path)).limits)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise InputError(f"Expected limits in {path}; {where}: {first['msg']}.") from error


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"Expected limits in {path}; got more than {MOST_BYTES} bytes.")
        text = content.decode("utf-8")
        return tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise InputError(f"The limits {path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected limits as {path.suffix[1:].upper()} in {path}; {error}.") from error
