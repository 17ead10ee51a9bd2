"""Trying several models on the part of a layer that is in view: everything but Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.geometry.tiles import Box
from napari_unetseg.core.models.appearance import describe_parts, descriptor_boxes
from napari_unetseg.core.models.card import ImageDescriptor, ModelCard
from napari_unetseg.core.models.compatibility import map_input
from napari_unetseg.core.models.normalisation import normaliser
from napari_unetseg.core.models.selection import trial_part
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.errors import UnetsegError
from napari_unetseg.service import jobs
from napari_unetseg.service.process import ChildError, Worker

if TYPE_CHECKING:
    from napari_unetseg.plugin.layers.source import LayerSource
    from napari_unetseg.plugin.parts.segment_job import SegmentRequest

Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class Candidate:
    """A model to try: its name or path, and its card."""

    model: str
    card: ModelCard


@dataclass(frozen=True)
class Tried:
    """What a model makes of the part in view, or why it cannot.

    Parameters
    ----------
    picture : ndarray, uint8, (height, width, 3), or None
    found : str
        In words: ``"12 × nucleus"``, or the structures that are there.
    """

    candidate: Candidate
    picture: npt.NDArray[np.uint8] | None = None
    found: str = ""
    error: str = ""


def compare_models(
    worker: Worker, request: SegmentRequest, candidates: Sequence[Candidate], centre: Voxel
) -> Job[list[Tried]]:
    """Try one model after the other in the child process; yields a `Tried` for each as it comes.

    Parameters
    ----------
    centre : (z, y, x)
        The voxel in the middle of the view.
    """
    tried, whole = [], _whole(request)
    for done, candidate in enumerate(candidates):
        yield Progress(done, len(candidates), f"Trying {candidate.card.name}")
        tried.append(_tried(worker, request, candidate, centre, whole))
        yield tried[-1]  # type: ignore[misc] # the bridge hands on records of any kind
    return tried


def _whole(request: SegmentRequest) -> Volume | None:
    """The whole volume where it is in memory; a lazy one would have to be computed for a few pictures."""
    return request.source.volume(request.grid) if isinstance(request.source.data, np.ndarray) else None


def _tried(worker: Worker, request: SegmentRequest, candidate: Candidate, centre: Voxel, whole: Volume | None) -> Tried:
    """One model; whatever goes wrong with it must not hide the others."""
    card, settings = candidate.card, SegmentSettings(request.settings.device, scale=request.settings.scale)
    try:
        part = trial_part(card, request.outline.volume(), centre, settings)
        volume = _cropped(request.source, part.crop).volume(request.grid)
        read = None if whole is None else normaliser(whole, card.normalisation, map_input(card, whole, settings).mix)
        trial = finish(worker.run(jobs.try_model, volume, candidate.model, part.shown, settings, read))
    except UnetsegError as error:
        return Tried(candidate, error=str(error))
    except ChildError as error:
        return Tried(candidate, error=error.summary)
    return Tried(candidate, trial.picture, trial.found)


def describe_layer(source: LayerSource) -> tuple[ImageDescriptor, ...] | None:
    """What slices of a layer look like; None for a lazy one, of which nothing is computed for a mere proposal."""
    if not isinstance(source.data, np.ndarray) or not source.data.size:
        return None
    return describe_parts(_cropped(source, box).volume() for box in descriptor_boxes(source.shape[1:]))


def _cropped(source: LayerSource, crop: Box) -> LayerSource:
    """A part of a layer: of a lazy one, only that will be computed."""
    spans = dict(zip("ZYX", crop, strict=True))
    cut = tuple(slice(*spans.get(axis, (None, None))) for axis in source.axes)
    return replace(source, data=source.data[cut])
