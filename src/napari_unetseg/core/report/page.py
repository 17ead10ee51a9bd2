"""A report as one HTML page: pictures, tables, the model's card, and how the result was made.

The page holds everything: no file beside it, no network. The record is in it as JSON, in the script element ``record``.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.metrics.columns import cell, columns_of, name_of
from napari_unetseg.core.metrics.limits import Limit, judge
from napari_unetseg.core.metrics.measure import measure_objects, measure_structures
from napari_unetseg.core.metrics.scores import Evaluation
from napari_unetseg.core.metrics.table import table_rows
from napari_unetseg.core.models.advice import advise
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.report.overlay import draw_overlay
from napari_unetseg.core.report.record import Report, record_of
from napari_unetseg.core.text import display_text, json_line

MOST_ROWS = 200
"""Objects that are shown, one a row; the heading says how many there are."""
TEMPLATE = "page.html.jinja"


@dataclass(frozen=True)
class PageTable:
    """A table as people read it: titles with units, and a row of texts each; `labels` says whose colour a row has."""

    titles: list[str]
    cells: list[list[str]]
    labels: list[int]

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]], dimensions: int) -> PageTable:
        """Rows of figures, see `core.metrics.table.table_rows` and `core.metrics.measure`."""
        columns = columns_of(rows, dimensions) if rows else ()
        cells = [[name_of(row), *(column.text(row) for column in columns)] for row in rows]
        return cls(["", *(column.heading for column in columns)], cells, [row.get("label", 0) for row in rows])


def save_report(path: Path, report: Report) -> None:
    """Write a report as one HTML file.

    Raises
    ------
    InputError
        If labels and image are not on one grid; the message says what differs.
    OutputError
        If the file cannot be written.
    """
    page = html_of(report)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def html_of(report: Report) -> str:
    """The page as text."""
    labels, record = report.labels, record_of(report)
    size, spacing = (
        " × ".join(f"{value:g}" for value in values) for values in (labels.array.shape, labels.grid.spacing)
    )
    structures = measure_structures(labels, report.image)
    objects = measure_objects(labels, report.image) if labels.are_objects else []
    dimensions = 2 if labels.array.shape[0] == 1 else 3
    data = json_line(record).replace("<", "\\u003c")  # so that no text in it ends the element, or begins another
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            labels=labels,
            size=size,
            spacing=spacing,
            colours={s.label: s.colour for s in labels.structures},
            picture=_picture(report),
            scores=None if report.evaluation is None else _score_table(report.evaluation, report.limits),
            means=None if report.evaluation is None else _means(report.evaluation),
            advice=[] if report.evaluation is None else advise(report.evaluation),
            structures=PageTable.of(structures, dimensions),
            objects=PageTable.of(objects[:MOST_ROWS], dimensions),
            count=len(objects),
            card=report.card and _card_facts(report.card),
            making=_making(record),
            record=data,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    return jinja2.Environment(loader=loader, autoescape=True, keep_trailing_newline=True, finalize=_shown)


def _shown(value: object) -> object:
    """Every text on the page, but for what is marked as safe."""
    return display_text(value) if type(value) is str else value


def _picture(report: Report) -> Markup:
    """The overlay as PNG, in base64; empty where there is no image."""
    if report.image is None:
        return Markup()
    shown = {"result": report.labels} | ({} if report.reference is None else {"reference": report.reference})
    content = io.BytesIO()
    draw_overlay(report.image, shown).save(content, format="PNG", optimize=True)
    return Markup(base64.b64encode(content.getvalue()).decode("ascii"))  # noqa: S704 - letters and digits


def _score_table(evaluation: Evaluation, limits: Sequence[Limit]) -> PageTable:
    """All figures against the reference, and how each structure stands to limits."""
    rows = table_rows(evaluation)
    table = PageTable.of(rows, evaluation.dimensions)
    if not limits:
        return table
    cells = [[*row, str(judge(figures, limits))] for row, figures in zip(table.cells, rows, strict=True)]
    return replace(table, titles=[*table.titles, "Limits"], cells=cells)


def _means(evaluation: Evaluation) -> str:
    return f"Mean Dice {cell(evaluation.mean_dice)}, mean IoU (mIoU) {cell(evaluation.mean_iou)}."


def _card_facts(card: ModelCard) -> dict[str, str]:
    return {
        "model": f"{card.name} {card.version}: {card.title}",
        "what": card.description,
        "finds": ", ".join(f"{s.label} {s.name}" for s in card.structures),
        "held-out scores": "; ".join(
            card.expected_words or (f"{s.metric} {s.value:.3f} {s.structure} ({s.held_out})" for s in card.scores)
        ),
        "training data": "; ".join(
            f"{d.name}: {d.source} ({d.licence}) {d.credit}".strip() for d in card.training_data
        ),
        "training": card.training,
        "known failures": "; ".join(card.known_failures),
        "licence": card.licence,
    }


def _making(record: Mapping[str, Any]) -> dict[str, str]:
    steps = (
        " ".join([step["kind"], *(f"{name}={value}" for name, value in step.items() if name != "kind" and value != [])])
        for step in record["clean-up"]
    )
    files = (f"{role}: {file['name']} (SHA-256 {file['sha256']})" for role, file in record["files"].items())
    libraries = (f"{name} {number}" for name, number in record["libraries"].items() if number)
    return {
        "program": record["program"],
        "made with": f"Python {record['python']}, {record['platform']}",
        "libraries": ", ".join(libraries),
        "files": "; ".join(files),
        "settings": ", ".join(f"{name} {value}" for name, value in record["settings"].items()),
        "clean-up": "; ".join(steps),
    }
