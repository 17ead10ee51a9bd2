"""Verbs of the worker process on reports: the page, and the surfaces of structures as meshes."""

from __future__ import annotations

from pathlib import Path

from napari_unetseg.core.io.outputs import MESH, PAGE, check_folder, check_output
from napari_unetseg.core.metrics.limits import Limit
from napari_unetseg.core.metrics.scores import Evaluation
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.report.meshes import save_surfaces, surface_paths
from napari_unetseg.core.report.page import save_report
from napari_unetseg.core.report.record import Report
from napari_unetseg.core.volume import Labels, Volume


def page(
    out: Path,
    labels: Labels,
    image: Volume | None,
    reference: Labels | None,
    evaluation: Evaluation | None,
    limits: tuple[Limit, ...],
) -> Job[Path]:
    """Write a report as one HTML file."""
    yield Progress(0, 1, "Writing the report")
    check_output(out, PAGE, overwrite=False)
    save_report(out, Report(labels, image, reference, evaluation, limits=limits))
    return out


def surfaces(folder: Path, labels: Labels, suffix: str) -> Job[list[Path]]:
    """Write the surface of each structure, or of each numbered object, into a folder that is there."""
    yield Progress(0, 1, "Making surfaces")
    check_folder(folder)
    for path in surface_paths(folder, labels, suffix).values():
        check_output(path, MESH, overwrite=False)
    return save_surfaces(folder, labels, suffix)
