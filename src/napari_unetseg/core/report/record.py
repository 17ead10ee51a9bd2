"""The record of a result: what it was made of and with, as plain values from which it can be made again."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from napari_unetseg.core.metrics.limits import Limit, judged
from napari_unetseg.core.metrics.scores import Evaluation, finite
from napari_unetseg.core.metrics.table import table_rows
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.steps import Step, steps_to_json
from napari_unetseg.core.volume import Labels, Volume

PROGRAM = "napari-unetseg"
LIBRARIES = ("numpy", "scipy", "scikit-image", "torch", "napari")


@dataclass(frozen=True)
class Report:
    """What a report is about.

    Parameters
    ----------
    labels : Labels
        The result.
    image : Volume or None
        On the same grid; without it, there are no pictures and no intensities.
    reference : Labels or None
        On the same grid, for the pictures; `evaluation` is the score against it.
    card : ModelCard or None
        Of the model that made the labels.
    steps : sequence of Step
        Clean-up that was done after it, in order.
    settings : mapping
        Whatever else the result depends on, by name.
    files : mapping of str to Path
        What was read, by its role; a file's name and SHA-256 go into the report.
    anonymous : bool
        Whether the files' names are left out: each is called by its role.
    limits : sequence of Limit
        That the structures are held against.
    """

    labels: Labels
    image: Volume | None = None
    reference: Labels | None = None
    evaluation: Evaluation | None = None
    card: ModelCard | None = None
    steps: Sequence[Step] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    anonymous: bool = False
    limits: Sequence[Limit] = ()


def record_of(report: Report) -> dict[str, Any]:
    """What the result can be reproduced from, as plain values; no time, so that the same result has the same record."""
    grid, card = report.labels.grid, report.card
    record: dict[str, Any] = finite(
        {
            "program": f"{PROGRAM} {_version(PROGRAM)}",
            "python": platform.python_version(),
            "platform": platform.platform(),
            "libraries": {name: _version(name) for name in LIBRARIES},
            "files": {
                role: {"name": role if report.anonymous else path.name, "sha256": _digest(path)}
                for role, path in report.files.items()
                if path.is_file()
            },
            "shape": list(report.labels.array.shape),
            "spacing": list(grid.spacing),
            "unit": grid.unit,
            "model": card and {"name": card.name, "version": card.version},
            "settings": dict(report.settings),
            "clean-up": steps_to_json(report.steps),
            "evaluation": report.evaluation and report.evaluation.to_dict(),
            "limits": [asdict(limit) for limit in report.limits],
            "verdicts": judged(table_rows(report.evaluation), report.limits) if report.evaluation else [],
        }
    )
    return record


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
