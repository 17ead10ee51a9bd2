"""A report as one HTML page: pictures, tables, the model's card, and how the result was made.

The page holds everything: no file beside it, no network. The record is in it as JSON, in the script element ``record``.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.metrics.measure import measure_objects, measure_structures
from napari_unetseg.core.metrics.table import table_rows
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.report.overlay import draw_overlay
from napari_unetseg.core.report.record import Report, record_of
from napari_unetseg.core.text import display_text, json_line

MOST_ROWS = 200
"""Objects that are shown, one a row; the heading says how many there are."""
TEMPLATE = "page.html.jinja"


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
            scores=None if report.evaluation is None else table_rows(report.evaluation),
            structures=structures,
            objects=measure_objects(labels, report.image) if labels.are_objects else [],
            most_rows=MOST_ROWS,
            card=report.card and _card_facts(report.card),
            making=_making(record),
            record=data,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, keep_trailing_newline=True, finalize=_shown)
    environment.filters["figure"] = _figure
    return environment


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


def _figure(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _card_facts(card: ModelCard) -> dict[str, str]:
    return {
        "model": f"{card.name} {card.version}: {card.title}",
        "what": card.description,
        "finds": ", ".join(f"{s.label} {s.name}" for s in card.structures),
        "held-out scores": "; ".join(f"{s.metric} {s.value:.3f} {s.structure} ({s.held_out})" for s in card.scores),
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
