"""What the Clean up widget asks for, and the job that answers it: everything but Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_unetseg.core.child import Worker
from napari_unetseg.core.cleanup import Step, iter_clean, steps_to_json
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.plugin.labels_source import LabelsSource
from napari_unetseg.plugin.layer_data import LayerData
from napari_unetseg.plugin.layers import METADATA, LayerSource

STEPS = "cleanup"
"""Key of the steps in our record of a layer's metadata, as plain records; see `core.cleanup.steps_from_json`."""


@dataclass(frozen=True)
class CleanRequest:
    """What the user chose.

    Parameters
    ----------
    image : LayerSource or None
        For steps that cut along what an image shows.
    earlier : tuple of dict
        The steps that the labels have behind them already, as plain records.
    """

    labels: LabelsSource
    steps: tuple[Step, ...]
    image: LayerSource | None = None
    earlier: tuple[dict[str, Any], ...] = ()


def clean_layer(worker: Worker, request: CleanRequest) -> Job[LayerData]:
    """Clean up in the child process, and make ready the new layer, which remembers its steps."""
    yield Progress(0, 1, "Reading the layer")
    labels = request.labels.labels()
    image = None if request.image is None else request.image.volume()
    cleaned = yield from worker.run(iter_clean, labels, request.steps, image)
    data, attributes = request.labels.source.labels(cleaned, f"{labels.name} (cleaned)")
    attributes["metadata"][METADATA][STEPS] = [*request.earlier, *steps_to_json(request.steps)]
    return data, attributes, "labels"
