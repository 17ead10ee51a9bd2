"""Verbs of the worker process on figures: a table, Dice per slice, and advice in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.annotations.sparse_labels import UNPAINTED, to_classes
from napari_unetseg.core.io.lazy import smallest_dtype
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.measure import measure_objects, measure_structures
from napari_unetseg.core.metrics.overlap import count_overlap
from napari_unetseg.core.metrics.scores import Evaluation
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.metrics.table import table_rows
from napari_unetseg.core.models.advice import Advice, advise
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.volume import Labels, Volume

Row = dict[str, Any]
Known = npt.NDArray[np.bool_] | None


@dataclass(frozen=True)
class SliceScores:
    """How each slice stands, structure by structure.

    Parameters
    ----------
    labels : tuple of int
    dice : ndarray of float, shape (Z, labels)
        NaN where a slice has the structure in neither volume.
    wrong : ndarray of int, shape (Z, labels)
        False positive and false negative voxels.
    """

    labels: tuple[int, ...]
    dice: npt.NDArray[np.float64]
    wrong: npt.NDArray[np.int64]

    def of(self, label: int) -> npt.NDArray[np.float64]:
        """Dice of each slice, shape (Z,)."""
        return self.dice[:, self.labels.index(label)]

    def worst(self, label: int) -> int | None:
        """The slice of the lowest Dice, of equal ones that with most wrong voxels; None where there is no structure."""
        dice, wrong = self.of(label), self.wrong[:, self.labels.index(label)]
        if np.isnan(dice).all():
            return None
        lowest = np.flatnonzero(dice == np.nanmin(dice))
        return int(lowest[np.argmax(wrong[lowest])])


@dataclass(frozen=True)
class MetricsReport:
    """A table of figures, and what goes with it where there is a reference.

    Parameters
    ----------
    rows : list of dict
        See `core.metrics.table.table_rows`, and `measure_structures` and `measure_objects` of `core.metrics.measure`.
    dimensions : 2 or 3
    """

    rows: list[Row]
    dimensions: int
    evaluation: Evaluation | None = None
    slices: SliceScores | None = None
    advice: tuple[Advice, ...] = ()


def score(predicted: Labels, reference: Labels, painted: bool, settings: MetricSettings) -> Job[MetricsReport]:
    """Score a prediction; a painted reference (0 unknown, 1 background, 2… structures) on its known voxels alone."""
    yield Progress(0, 1, "Measuring")
    known: Known = None
    if painted:
        predicted, reference, known = as_painted(predicted, reference)
        settings = replace(settings, objects=False)
    evaluation = evaluate(predicted, reference, settings, known)
    slices = _slices(predicted, reference, known, evaluation)
    advice = tuple(advise(evaluation))
    return MetricsReport(table_rows(evaluation), evaluation.dimensions, evaluation, slices, advice)


def measure(
    labels: Labels, image: Volume | None, objects: bool, probabilities: Volume | None = None
) -> Job[MetricsReport]:
    """Measure labels alone: a row a structure, or a row an object; finer than voxels where probabilities are given."""
    yield Progress(0, 1, "Measuring")
    rows = (measure_objects if objects else measure_structures)(labels, image, probabilities)
    return MetricsReport(rows, 2 if labels.array.shape[0] == 1 else 3)


def as_painted(predicted: Labels, paint: Labels) -> tuple[Labels, Labels, npt.NDArray[np.bool_]]:
    """A prediction's structures, paint as output labels, and where it is known; numbered objects become a structure."""
    known = paint.array != UNPAINTED
    classes = smallest_dtype(np.maximum(to_classes(paint.array), 0))
    if predicted.are_objects:
        predicted = replace(predicted, array=foreground(predicted.array), are_objects=False)
    return predicted, replace(paint, array=classes, structures=(), are_objects=False), known


def foreground(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Every label above 0 as 1."""
    return (array > 0).view(np.uint8)


def _slices(predicted: Labels, reference: Labels, known: Known, evaluation: Evaluation) -> SliceScores:
    arrays = (predicted.array, reference.array)
    if evaluation.objects is not None:
        arrays = (foreground(arrays[0]), foreground(arrays[1]))
    labels = tuple(structure.label for structure in evaluation.structures)
    overlap = count_overlap(*arrays, known, labels)
    wrong = overlap.predicted + overlap.reference - 2 * overlap.both
    return SliceScores(labels, overlap.dice_per_slice(), wrong)
