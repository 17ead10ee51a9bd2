"""Requests of the Clean up widget, and the jobs that answer them: everything but Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.postprocess.context import CleanupContext
from napari_unetseg.core.postprocess.preview_extent import for_one_slice, slices_for
from napari_unetseg.core.postprocess.prior import KnownSlices
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.steps import Crf, Prior, Step, steps_to_json
from napari_unetseg.core.volume import Labels
from napari_unetseg.plugin.layers.labels_source import LabelsSource
from napari_unetseg.plugin.layers.layer_data import LayerData
from napari_unetseg.plugin.layers.source import METADATA, LayerSource, grid_on_screen
from napari_unetseg.service import jobs
from napari_unetseg.service.process import Worker

STEPS = "cleanup"
"""Key of the steps in our record of a layer's metadata, as plain records; see `core.steps.steps_from_json`."""


@dataclass(frozen=True)
class ContextLayers:
    """The layers that steps may look at beside the labels; each may be missing.

    Parameters
    ----------
    image, probabilities, prior : LayerSource or None
    painted : LabelsSource or None
        Slices to make a prior of.
    """

    image: LayerSource | None = None
    probabilities: LayerSource | None = None
    prior: LayerSource | None = None
    painted: LabelsSource | None = None

    def lacks(self, steps: Sequence[Step]) -> str:
        """What the user has to choose before the steps can be done, in words; empty where nothing is missing."""
        kinds = {type(step) for step in steps}
        if Crf in kinds and self.image is None:
            return "Choose the image that the labels should follow."
        if Prior in kinds and self.prior is None and self.painted is None:
            return "Choose a layer of painted slices, or of probabilities, as the prior."
        return ""

    def read(self, labels: LayerSource) -> tuple[Grid, CleanupContext]:
        """Their voxels, computed where a layer is lazy, and the grid that they share with the labels.

        Raises
        ------
        InputError
            If a layer does not lie on the labels, or nothing is painted.
        """
        sources = (self.image, self.probabilities, self.prior)
        grid = grid_on_screen(labels, *sources, None if self.painted is None else self.painted.source)
        image, probabilities, prior = (None if source is None else source.volume(grid) for source in sources)
        known = None if self.painted is None else KnownSlices.of(self.painted.labels(grid))
        return grid, CleanupContext(image, probabilities, prior, known)


@dataclass(frozen=True)
class CleanRequest:
    """What the user chose.

    Parameters
    ----------
    earlier : tuple of dict
        The steps that the labels have behind them already, as plain records.
    """

    labels: LabelsSource
    steps: tuple[Step, ...]
    context: ContextLayers = field(default_factory=ContextLayers)
    earlier: tuple[dict[str, Any], ...] = ()


def clean_layer(worker: Worker, request: CleanRequest) -> Job[LayerData]:
    """Clean up in the child process, and make ready the new layer, which remembers its steps."""
    yield Progress(0, 1, "Reading the layers")
    grid, context = request.context.read(request.labels.source)
    labels = request.labels.labels(grid)
    return _layer(request, (yield from worker.run(jobs.clean, labels, request.steps, context)))


def preview_layer(worker: Worker, request: CleanRequest, z: int | None) -> Job[LayerData]:
    """Clean up one slice, and show it among the others as they were; all of them where `z` is None or a step asks."""
    part = None if z is None else slices_for(for_one_slice(request.steps), *_extent(request, z))
    if z is None or part is None:
        return (yield from clean_layer(worker, request))
    yield Progress(0, 1, "Reading the layers")
    grid, context = request.context.read(request.labels.source)
    labels = request.labels.labels(grid)
    slab = replace(labels, array=labels.array[slice(*part)])
    cleaned = yield from worker.run(jobs.clean, slab, for_one_slice(request.steps), context.cropped(*part))
    array = labels.array.astype(np.promote_types(labels.array.dtype, cleaned.array.dtype))
    array[z] = cleaned.array[z - part[0]]
    return _layer(request, replace(cleaned, array=array))


def is_previewed_by_slice(request: CleanRequest) -> bool:
    """Whether a slice's preview is worked out without the whole volume."""
    return slices_for(for_one_slice(request.steps), *_extent(request, 0)) is not None


def _extent(request: CleanRequest, z: int) -> tuple[Any, int, int]:
    source = request.labels.source
    return source.grid, z, source.shape[1]


def _layer(request: CleanRequest, cleaned: Labels) -> LayerData:
    data, attributes = request.labels.source.labels(cleaned, f"{request.labels.source.name} (cleaned)")
    attributes["metadata"][METADATA][STEPS] = [*request.earlier, *steps_to_json(request.steps)]
    return data, attributes, "labels"
