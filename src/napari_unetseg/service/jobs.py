"""Verbs of the worker process on images and labels: generator functions over the verbs of `api`.

The window's process imports this module too, to name the functions; so it loads no torch by itself. The types of
parameters and results are the schemas of the messages, see `service.verbs`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_unetseg import api
from napari_unetseg.core.geometry.tiles import Box
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.batch import Task
from napari_unetseg.core.io.formats.registry import open_source
from napari_unetseg.core.io.outputs import remember_source
from napari_unetseg.core.io.source import VolumeInfo
from napari_unetseg.core.metrics.measure import StructureSummary, summarise
from napari_unetseg.core.models.normalisation import Normaliser
from napari_unetseg.core.postprocess.context import CleanupContext
from napari_unetseg.core.progress import CostEstimate, Job, Progress
from napari_unetseg.core.report.overlay import draw_thumbnail
from napari_unetseg.core.settings import SegmentSettings, Selection
from napari_unetseg.core.steps import Step
from napari_unetseg.core.volume import Labels, Volume

THUMBNAIL = 208
"""Pixels of the longer side of a picture: twice what a screen of normal density shows."""


@dataclass(frozen=True)
class Finding:
    """A segmentation and what it amounts to."""

    segmentation: api.Segmentation
    structures: list[StructureSummary]


@dataclass(frozen=True)
class Outline:
    """A volume without its voxels: all that a forecast needs.

    Parameters
    ----------
    shape : (C, Z, Y, X)
    """

    shape: tuple[int, int, int, int]
    dtype: str
    grid: Grid
    channels: tuple[str, ...]

    def volume(self) -> Volume:
        """A stand-in of that shape which takes no memory."""
        return Volume(np.broadcast_to(np.zeros((), self.dtype), self.shape), self.grid, self.channels)


@dataclass(frozen=True)
class ModelTrial:
    """What a model makes of a small part: a picture, uint8, (height, width, 3), and what was found, in words."""

    picture: npt.NDArray[np.uint8]
    found: str


def segment(
    volume: Volume, model: str | Path, settings: SegmentSettings, corrections: Labels | None = None
) -> Job[Finding]:
    """`api.iter_segment`, and the counts of what it found."""
    segmentation = yield from api.iter_segment(volume, model, settings, corrections=corrections)
    return Finding(segmentation, summarise(segmentation.labels))


def warm_up() -> Job[None]:
    """Load what computing needs, before anything is asked for: the first job then begins at once."""
    yield Progress(0, 1, "Loading the engine")
    for module in ("inference.predict", "fewshot.session"):
        import_module(f"napari_unetseg.engine.{module}")


def forecast(outline: Outline, model: str | Path, settings: SegmentSettings) -> Job[CostEstimate]:
    """How long `segment` will take; the first call loads the engine, which makes the child ready for the job."""
    yield Progress(0, 1, "Loading the engine")
    return api.forecast(outline.volume(), model, settings)


def segment_file(task: Task, model: str | Path) -> Job[None]:
    """Read an image, segment it and write its labels."""
    yield Progress(0, 1, f"Reading {task.source.name}")
    volume = api.load_volume(task.source)
    segmentation = yield from api.iter_segment(volume, model)
    api.save_labels(task.target, segmentation.labels)
    remember_source(task.target, task.source)


def clean(labels: Labels, steps: tuple[Step, ...], evidence: CleanupContext) -> Job[Labels]:
    """`api.iter_clean`."""
    return (yield from api.iter_clean(labels, steps, evidence))


def try_model(
    volume: Volume, model: str | Path, shown: Box, settings: SegmentSettings, read: Normaliser | None
) -> Job[ModelTrial]:
    """Segment a small volume, its intensities read as those of the whole are, and draw one slice of it."""
    segmentation = yield from api.iter_segment(volume, model, settings, read)
    labels = segmentation.labels
    place = tuple(slice(*span) for span in shown)
    labels = replace(labels, array=labels.array[place])
    picture = draw_thumbnail(replace(volume, array=volume.array[:, *place]), labels, THUMBNAIL, z=0)
    return ModelTrial(np.asarray(picture), _words(labels))


def _words(labels: Labels) -> str:
    """What there is: ``"12 × nucleus"``, or the structures' names."""
    present = np.unique(labels.array)
    present = present[present > 0]
    if labels.are_objects:
        return f"{len(present)} × {labels.structures[0].name}"
    return ", ".join(s.name for s in labels.structures if s.label in present) or "nothing"


@dataclass(frozen=True)
class Inspection:
    """What a file holds, and whether it is labels that a program of this name wrote."""

    info: VolumeInfo
    are_labels: bool


def inspect(path: Path) -> Job[Inspection]:
    """Read a file's header."""
    yield Progress(0, 1, "Reading the header")
    source = open_source(path)
    return Inspection(source.info, bool(source.legend.structures))


def load(path: Path, selection: Selection, as_labels: bool) -> Job[Volume | Labels]:
    """Load a part of a file."""
    yield Progress(0, 1, "Loading")
    return api.load_labels(path, selection) if as_labels else api.load_volume(path, selection)
