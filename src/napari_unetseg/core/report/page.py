"""A report as one HTML page: pictures, tables, the model's card, and how the result was made.

The page holds everything: no file beside it, no network. The record is in it as JSON, in the script element ``record``.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.metrics.measure import measure_objects, measure_structures
from napari_unetseg.core.metrics.table import table_rows
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.report.overlay import draw_overlay
from napari_unetseg.core.report.record import Report, record_of
from napari_unetseg.core.volume import Labels

MOST_ROWS = 200
"""Objects that are shown, one a row; the heading says how many there are."""
PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; color: #1d2129; }
h1 { margin-bottom: 0; } .quiet { color: #667; } img { max-width: 100%; border-radius: 6px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #dde; text-align: right; white-space: nowrap; }
th:first-child, td:first-child, .facts td { text-align: left; vertical-align: top; } .facts td { white-space: normal; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
</style>
</head>
<body>
$body
<script type="application/json" id="record">$record</script>
</body>
</html>
""")


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
    measures = measure_structures(labels, report.image)
    sections = [_heading(report), _picture(report)]
    if report.evaluation is not None:
        sections += ["<h2>Against the reference</h2>", _table(table_rows(report.evaluation), labels)]
    sections += ["<h2>Structures</h2>", _table(measures, labels)]
    if labels.are_objects:
        objects = measure_objects(labels, report.image)
        sections += [f"<h2>{len(objects)} objects</h2>", _table(objects[:MOST_ROWS], labels)]
    if report.card is not None:
        sections += ["<h2>Model</h2>", _facts(_card_facts(report.card))]
    sections += ["<h2>How it was made</h2>", _facts(_making(record))]
    data = json.dumps(record, ensure_ascii=False).replace("</", "<\\/")  # so that no text in it ends the element
    return PAGE.substitute(title=escape(labels.name), body="\n".join(sections), record=data)


def _heading(report: Report) -> str:
    labels = report.labels
    size, step = (" × ".join(f"{value:g}" for value in values) for values in (labels.array.shape, labels.grid.spacing))
    return f'<h1>{escape(labels.name)}</h1><p class="quiet">{size} voxels of {step} {labels.grid.unit} (z, y, x)</p>'


def _picture(report: Report) -> str:
    if report.image is None:
        return ""
    shown = {"result": report.labels} | ({} if report.reference is None else {"reference": report.reference})
    content = io.BytesIO()
    draw_overlay(report.image, shown).save(content, format="PNG", optimize=True)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    return f'<img alt="the image and the result over it" src="data:image/png;base64,{data}">'


def _table(rows: Sequence[Mapping[str, Any]], labels: Labels) -> str:
    """Rows with the same columns; a row with a ``label`` has its structure's colour beside the first cell."""
    if not rows:
        return "<p>None.</p>"
    colours = {s.label: s.colour for s in labels.structures}
    head = "".join(f"<th>{escape(column.replace('_', ' '))}</th>" for column in rows[0])
    body = "".join(_line(row, colours.get(row.get("label", 0), "")) for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _line(row: Mapping[str, Any], colour: str) -> str:
    cells = [escape(_figure(value)) for value in row.values()]
    if colour:
        cells[0] = f'<span class="swatch" style="background:{colour}"></span>{cells[0]}'
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _figure(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _facts(facts: Mapping[str, str]) -> str:
    lines = (f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts.items() if value)
    return f'<table class="facts">{"".join(lines)}</table>'


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
        "made": f"{record['made']}, Python {record['python']}, {record['platform']}",
        "libraries": ", ".join(libraries),
        "files": "; ".join(files),
        "settings": ", ".join(f"{name} {value}" for name, value in record["settings"].items()),
        "clean-up": "; ".join(steps),
    }
