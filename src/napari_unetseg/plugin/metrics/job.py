"""Requests of the Metrics widget, and the jobs that answer them: everything but Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.errors import InputError
from napari_unetseg.plugin.layers.labels_source import LabelsSource
from napari_unetseg.plugin.layers.layer_data import LayerData
from napari_unetseg.plugin.layers.source import METADATA, LayerSource, grid_on_screen
from napari_unetseg.service.metric_jobs import MetricsReport, as_painted, foreground, measure, score
from napari_unetseg.service.process import Worker

ERRORS_MARK = "errors"
"""Marks our layers of errors, in our record of their metadata: they are no segmentation to be measured."""
ERRORS = (
    Structure(label=1, name="false positive", colour="#ff2fa0"),
    Structure(label=2, name="false negative", colour="#39ff14"),
    Structure(label=3, name="other structure", colour="#ffffff"),
)
"""In colours that no structure of ours has."""


@dataclass(frozen=True)
class MetricsRequest:
    """What the user chose.

    Parameters
    ----------
    reference : LabelsSource or None
        None measures `predicted` alone.
    painted : bool
        The reference is paint: 0 is unknown, 1 is background, structures follow.
    image : LayerSource or None
        For mean intensities, where there is no reference.
    each_object : bool
        A row an object instead of a row a structure, where there is no reference.
    probabilities : LayerSource or None
        That the labels were made of, where there is no reference: sizes are measured finer than voxels.
    """

    predicted: LabelsSource
    reference: LabelsSource | None = None
    painted: bool = False
    settings: MetricSettings = MetricSettings()
    image: LayerSource | None = None
    each_object: bool = False
    probabilities: LayerSource | None = None

    def grid(self) -> Grid:
        """The grid that the layers share, without looking at a voxel; raises `InputError`, saying what differs."""
        reference = None if self.reference is None else self.reference.source
        return grid_on_screen(self.predicted.source, reference, self.image, self.probabilities)

    @property
    def rows_are_labels(self) -> bool:
        """Whether each row of the table is a label of the layer: an object by its number, or a structure.

        The rest are connected parts of structures, or numbered objects taken together.
        """
        return self.predicted.are_objects == (self.each_object and self.reference is None)


def measure_layers(worker: Worker, request: MetricsRequest) -> Job[MetricsReport]:
    """Work out the table in the child process."""
    yield Progress(0, 1, "Reading the layers")
    grid = request.grid()
    labels = request.predicted.labels(grid)
    if request.reference is None:
        image, soft = (None if one is None else one.volume(grid) for one in (request.image, request.probabilities))
        return (yield from worker.run(measure, labels, image, request.each_object, soft))
    return (yield from worker.run(score, labels, request.reference.labels(grid), request.painted, request.settings))


def find_errors(worker: Worker, request: MetricsRequest, label: int | None, as_objects: bool) -> Job[LayerData]:
    """A labels layer of what is wrong with one structure, or with all, see `compare`; objects are one structure."""
    yield Progress(0, 1, "Comparing")
    if request.reference is None:
        raise InputError("Expected a reference to compare with; got none. Choose one.")
    grid = request.grid()
    predicted, reference = request.predicted.labels(grid), request.reference.labels(grid)
    known = None
    if request.painted:
        predicted, reference, known = as_painted(predicted, reference)
    one, other = predicted.array, reference.array
    if as_objects:
        one, other = foreground(one), foreground(other)
    errors = compare(one, other, label)
    if known is not None:
        errors[~known] = 0
    kinds = ERRORS[:2] if label is not None else ERRORS
    name = next((s.name for s in (*reference.structures, *predicted.structures) if s.label == label), None)
    title = f"Errors of {name or (f'structure {label}' if label else predicted.name)}"
    data, attributes = request.predicted.source.labels(Labels(errors, request.predicted.source.grid, kinds), title)
    attributes["metadata"][METADATA][ERRORS_MARK] = True
    return data, attributes, "labels"


def compare(predicted: npt.NDArray[Any], reference: npt.NDArray[Any], label: int | None) -> npt.NDArray[np.uint8]:
    """Where a prediction is wrong: 1 false positive, 2 false negative, 3 found but taken for another structure.

    Parameters
    ----------
    predicted, reference : ndarray of integers, one shape
    label : int or None
        Compare this structure with all else, so that 3 does not occur; None compares all of them.
    """
    if label is not None:
        predicted, reference = predicted == label, reference == label
    errors = np.zeros(predicted.shape, np.uint8)
    differ = predicted != reference
    errors[differ & (reference == 0)] = 1
    errors[differ & (predicted == 0)] = 2
    errors[differ & (predicted != 0) & (reference != 0)] = 3
    return errors
