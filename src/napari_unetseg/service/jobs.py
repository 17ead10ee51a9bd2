"""Jobs of the widgets' child process: generator functions without Qt, over the verbs of `api`.

This module is imported by the window's process too, to name the functions; so it loads no torch by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unetseg import api
from napari_unetseg.core.io.formats.registry import open_source
from napari_unetseg.core.io.source import VolumeInfo
from napari_unetseg.core.metrics.summary import StructureSummary, summarise
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.settings import SegmentSettings, Selection
from napari_unetseg.core.volume import Grid, Labels, Volume

if TYPE_CHECKING:
    from napari_unetseg.engine.inference.cost import CostEstimate


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


def segment(volume: Volume, model: str | Path, settings: SegmentSettings) -> Job[Finding]:
    """`api.iter_segment`, and the counts of what it found."""
    segmentation = yield from api.iter_segment(volume, model, settings)
    return Finding(segmentation, summarise(segmentation.labels))


def forecast(outline: Outline, model: str | Path, settings: SegmentSettings) -> Job[CostEstimate]:
    """How long `segment` will take; the first call loads the engine, which makes the child ready for the job."""
    yield Progress(0, 1, "Loading the engine")
    return api.forecast(outline.volume(), model, settings)


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
