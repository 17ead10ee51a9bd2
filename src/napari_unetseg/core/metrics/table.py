"""Tables of figures: evaluations as rows, and rows as CSV."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.metrics.limits import Limit, judge
from napari_unetseg.core.metrics.scores import Evaluation

Row = Mapping[str, Any]
FORMULA = re.compile(r"(^|;)(?=[=+\-@＝＋－＠\t\r\n])")
"""Where a spreadsheet may take a text for a formula: at its start, or behind what ends a cell in many countries."""


def table_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row a structure: label, name, figures and their unit; figures of objects, where there are any, follow."""
    objects = {} if evaluation.objects is None else _object_columns(asdict(evaluation.objects))
    return [asdict(score) | {"unit": evaluation.unit} | objects for score in evaluation.structures]


def save_table(path: Path, evaluations: Evaluation | Mapping[str, Evaluation], limits: Sequence[Limit] = ()) -> None:
    """Write one evaluation, or one for each case, as CSV; cases come with a first column ``case``.

    Where there are limits, a last column ``limits`` says how each row stands to them.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    if isinstance(evaluations, Evaluation):
        rows = table_rows(evaluations)
    else:
        rows = [{"case": case} | row for case, evaluation in evaluations.items() for row in table_rows(evaluation)]
    verdicts = [{"limits": judge(row, limits).word} if limits else {} for row in rows]
    write_csv(path, [row | verdict for row, verdict in zip(rows, verdicts, strict=True)])


def _object_columns(scores: dict[str, Any]) -> dict[str, Any]:
    """The columns of object scores; the two counts say of what they are."""
    names = {"predicted": "objects", "reference": "reference_objects"}
    return {names.get(name, name): value for name, value in scores.items()}


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows under the columns that occur in any of them, in the order in which they first do.

    None and NaN become empty cells, infinity ``inf``; numbers keep all their digits. No rows give an empty file. Texts
    are made safe, see `safe_text`: names come from files of others.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        if columns:
            writer.writeheader()
        writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)


def safe_text(text: str) -> str:
    """A text as a cell of a table: with an apostrophe before what a spreadsheet would compute."""
    return FORMULA.sub(r"\1'", text)


def _cell(value: object) -> object:
    if isinstance(value, str):
        return safe_text(value)
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
