"""Evaluations as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_unetseg.core.io.csv_table import write_csv
from napari_unetseg.core.metrics.scores import Evaluation


def table_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row a structure: label, name, figures and their unit; figures of objects, where there are any, follow."""
    objects = {} if evaluation.objects is None else _object_columns(asdict(evaluation.objects))
    return [asdict(score) | {"unit": evaluation.unit} | objects for score in evaluation.structures]


def save_table(path: Path, evaluations: Evaluation | Mapping[str, Evaluation]) -> None:
    """Write one evaluation, or one for each case, as CSV; cases come with a first column ``case``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    if isinstance(evaluations, Evaluation):
        rows = table_rows(evaluations)
    else:
        rows = [{"case": case} | row for case, evaluation in evaluations.items() for row in table_rows(evaluation)]
    write_csv(path, rows)


def _object_columns(scores: dict[str, Any]) -> dict[str, Any]:
    """The columns of object scores; the two counts say of what they are."""
    names = {"predicted": "objects", "reference": "reference_objects"}
    return {names.get(name, name): value for name, value in scores.items()}
