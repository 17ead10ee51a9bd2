"""Jobs between the click on *Segment* and the new layers: everything but Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari.layers import Layer

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.plugin.layers.layer_data import LayerData
from napari_unetseg.plugin.layers.source import METADATA, LayerSource
from napari_unetseg.service import jobs
from napari_unetseg.service.process import Worker


@dataclass(frozen=True)
class SegmentRequest:
    """What the user chose.

    Parameters
    ----------
    grid : Grid
        With the voxel size on the form: the layer's own unless it was mended.
    """

    source: LayerSource
    grid: Grid
    model: str
    settings: SegmentSettings

    @property
    def outline(self) -> jobs.Outline:
        """Enough for a forecast."""
        return jobs.Outline(self.source.shape, str(self.source.data.dtype), self.grid, self.source.channels)


@dataclass(frozen=True)
class Shown:
    """A finding, and the layers that show it, ready to be added: to make them takes longer than a frame."""

    finding: jobs.Finding
    layers: list[Layer]


def segment_layer(worker: Worker, request: SegmentRequest) -> Job[Shown]:
    """Segment a layer in the child process, and make ready all that the new layers need."""
    yield Progress(0, 1, "Reading the layer")
    volume = request.source.volume(request.grid)
    finding = yield from worker.run(jobs.segment, volume, request.model, request.settings)
    yield Progress(1, 1, "Showing the result")
    return Shown(finding, [Layer.create(*data) for data in _layers(request.source, finding, request.model)])


def estimate_layer(worker: Worker, request: SegmentRequest) -> Job[Any]:
    """Ask the child how long a request will take."""
    return (yield from worker.run(jobs.forecast, request.outline, request.model, request.settings))


def _layers(source: LayerSource, finding: jobs.Finding, model: str) -> list[LayerData]:
    result = finding.segmentation
    title = f"{source.name} ({result.model})"
    data, attributes = source.labels(result.labels, title)
    attributes["metadata"][METADATA]["model"] = model
    return [*_probability_layers(source, finding, title), (data, attributes, "labels")]


def _probability_layers(source: LayerSource, finding: jobs.Finding, title: str) -> list[LayerData]:
    """One image per structure, in its colour; the background's is left out."""
    volume = finding.segmentation.probabilities
    if volume is None:
        return []
    colours = {structure.name: structure.colour for structure in finding.structures}
    layers = []
    for index, name in enumerate(volume.channels):
        if name in colours:
            data, placement = source.image(volume.array[index])
            look = {"colormap": ["#000000", colours[name]], "blending": "additive", "contrast_limits": (0.0, 1.0)}
            layers.append((data, {**placement, **look, "name": f"{name}: {title}"}, "image"))
    return layers
