"""The rows of the benchmark of learning from a few slices, and the tables that are made of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

FORESTS = ("forest 2D", "forest 3D")
LIGHT = "light head"
NO_START = "–"
"""Of what begins with nothing, whatever there is to begin with."""
BELOW = 0.01
"""Dice by which the light head may be below a forest, unremarked."""


@dataclass(frozen=True)
class Trial:
    """What is measured."""

    volume: str
    slices: int
    share: float
    contender: str
    start: str


@dataclass(frozen=True)
class Row(Trial):
    """What came out."""

    dice: float
    fall: float
    seconds: float
    core_seconds: float


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; none where it is not there."""
    if not path.is_file():
        return []
    kinds = {"int": int, "float": float, "str": str}
    with path.open(newline="") as file:
        return [Row(**{f.name: kinds[str(f.type)](row[f.name]) for f in fields(Row)}) for row in csv.DictReader(file)]


def append_row(path: Path, row: Row) -> None:
    """Add a row, and the head to a new file."""
    is_new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)])
        if is_new:
            writer.writeheader()
        writer.writerow({name: round(v, 4) if isinstance(v, float) else v for name, v in asdict(row).items()})


def dense_or_scribbles(share: float) -> str:
    """How a slice is painted."""
    return "dense" if share >= 1 else f"scribbles on {share:.0%}"


def kinds_of_paint(rows: Sequence[Row]) -> list[tuple[int, float]]:
    """(slices, share) of the rows, dense ones first."""
    return sorted({(row.slices, row.share) for row in rows}, key=lambda pair: (-pair[1], pair[0]))


def table(rows: Sequence[Row], contenders: Sequence[str], ceiling: str) -> str:
    """Markdown: one table for each kind of paint, volumes down, contenders in their order across, means last.

    Where the ceiling is among the contenders, the mean share of it that each reaches is the last line.
    """
    text = ""
    for slices, share in kinds_of_paint(rows):
        part = [row for row in rows if (row.slices, row.share) == (slices, share)]
        columns = list(dict.fromkeys((row.contender, row.start) for row in part))
        columns.sort(key=lambda pair: (pair[1] != NO_START, contenders.index(pair[0]), pair[1]))
        names = list(dict.fromkeys(row.volume for row in part))
        cells = {(row.volume, row.contender, row.start): row for row in part}
        text += f"\n**{slices} slice{'s' if slices > 1 else ''}, {dense_or_scribbles(share)}**\n\n"
        heads = [contender if start == NO_START else f"{contender} ({start})" for contender, start in columns]
        text += f"| volume | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}\n"
        for name in names:
            text += f"| {name} | {' | '.join(_cell(cells.get((name, *column))) for column in columns)} |\n"
        dice = np.array([[_dice(cells.get((name, *column))) for column in columns] for name in names])
        text += _mean_line("mean", dice)
        if any(contender == ceiling for contender, _ in columns):
            highest = dice[:, [contender == ceiling for contender, _ in columns].index(True)]
            text += _mean_line("share of the ceiling", dice / highest[:, None])
    return text


def _mean_line(name: str, values: np.ndarray) -> str:
    """Means over the rows that have all columns."""
    full = values[~np.isnan(values).any(1)]
    if not len(full):
        return ""
    means = " | ".join(f"{mean:.3f}" for mean in full.mean(0))
    return f"| {name} of {len(full)} of {len(values)} | {means} |\n"


def _dice(row: Row | None) -> float:
    return float("nan") if row is None else row.dice


def _cell(row: Row | None) -> str:
    return "" if row is None else f"{row.dice:.3f} ({row.fall:+.2f}, {row.core_seconds:.0f} s)"


def summary(rows: Sequence[Row], start: str) -> str:
    """Markdown: a line for each kind of paint, with the means of forests and light head, and where the latter is below.

    The means are over the volumes that have all three.
    """
    text = f"| paint | {' | '.join(FORESTS)} | {LIGHT} ({start}) | below the better forest by more than {BELOW} |\n"
    text += f"|{'---|' * (len(FORESTS) + 3)}\n"
    columns = [(forest, NO_START) for forest in FORESTS] + [(LIGHT, start)]
    for slices, share in kinds_of_paint(rows):
        cells = {(r.volume, r.contender, r.start): r.dice for r in rows if (r.slices, r.share) == (slices, share)}
        names = [
            name for name in dict.fromkeys(row.volume for row in rows) if all((name, *c) in cells for c in columns)
        ]
        if not names:
            continue
        dice = np.array([[cells[name, *column] for column in columns] for name in names])
        below = [name for name, (*forests, ours) in zip(names, dice, strict=True) if ours < max(forests) - BELOW]
        where = f": {'; '.join(below)}" if below else ""
        means = " | ".join(f"{mean:.3f}" for mean in dice.mean(0))
        paint = f"{slices} slice{'s' if slices > 1 else ''}, {dense_or_scribbles(share)}"
        text += f"| {paint} | {means} | {len(below)} of {len(names)}{where} |\n"
    return text
