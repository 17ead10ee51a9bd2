"""Jobs between *Apply to…* and the new layers or files: everything but Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari.layers import Layer

from napari_unetseg.core.io.batch import Task, plan_tasks
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.errors import OutputError, UnetsegError
from napari_unetseg.plugin.layers.source import LayerSource
from napari_unetseg.plugin.parts.segment_job import SegmentRequest, segment_layer
from napari_unetseg.service import jobs
from napari_unetseg.service.process import Worker

ENDING = "learned"
"""Behind an image's name: ``cell.tif`` becomes ``cell-learned.ome.tif``."""


@dataclass
class Applied:
    """What came of it.

    Parameters
    ----------
    layers : list of Layer
        Ready to be added.
    files : list of Path
        That were written.
    failures : list of str
        One line on each image that could not be done; the others were.
    """

    layers: list[Layer] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def apply_to_layers(worker: Worker, model: Path, sources: Sequence[LayerSource]) -> Job[Applied]:
    """Predict layers, one after another, in the child process."""
    applied = Applied()
    for source in sources:
        try:
            request = SegmentRequest(source, source.grid, str(model), SegmentSettings())
            shown = yield from segment_layer(worker, request)
            applied.layers.extend(shown.layers)
        except UnetsegError as error:
            applied.failures.append(f"{source.name}: {error}")
    return applied


def apply_to_files(worker: Worker, model: Path, images: Sequence[Path], folder: Path | None) -> Job[Applied]:
    """Predict files in the child process, and write labels into a folder, or beside each image where it is None.

    Raises
    ------
    InputError, OutputError
        If a file is not there, or a result cannot be written.
    """
    applied = Applied()
    yield Progress(0, len(images), "Looking at the files")
    for task in planned(images, folder):
        try:
            yield from worker.run(jobs.segment_file, task, model)
            applied.files.append(task.target)
        except OutputError:
            raise  # a full disk is full for the next one too
        except UnetsegError as error:
            applied.failures.append(f"{task.source.name}: {error}")
    return applied


def planned(images: Sequence[Path], folder: Path | None) -> list[Task]:
    """Where the labels of each image go; see `core.io.batch.plan_tasks`."""
    if folder is not None:
        return plan_tasks(images, folder, ENDING)
    folders = dict.fromkeys(image.parent for image in images)
    groups = [([image for image in images if image.parent == each], each) for each in folders]
    return [task for group, each in groups for task in plan_tasks(group, each, ENDING)]
