"""Painted labels as a reference: scored where they are painted, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.annotations.sparse_labels import UNPAINTED, to_classes
from napari_unetseg.core.io.lazy import smallest_dtype
from napari_unetseg.core.metrics.evaluation import DEFAULTS, evaluate
from napari_unetseg.core.metrics.scores import Evaluation
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.volume import Labels


def evaluate_painted(predicted: Labels, painted: Labels, settings: MetricSettings = DEFAULTS) -> Evaluation:
    """Score a prediction on the painted voxels alone.

    Parameters
    ----------
    predicted : Labels
        0 background, 1… structures. Numbered objects count as the first structure.
    painted : Labels
        0 unknown, 1 background, 2… structures, named by painted value.

    Raises
    ------
    InputError
        If the two are not on one grid; the message says what differs.
    """
    if predicted.are_objects:
        predicted = replace(predicted, array=(predicted.array > 0).view(np.uint8), are_objects=False)
    reference, known = painted_reference(painted)
    return evaluate(predicted, reference, replace(settings, objects=False), known)


def painted_reference(painted: Labels) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Painted labels as output labels, and which voxels are painted, shape (Z, Y, X)."""
    classes = smallest_dtype(np.maximum(to_classes(painted.array), 0))
    names = tuple(s.model_copy(update={"label": s.label - 1}) for s in painted.structures if s.label > 1)
    return replace(painted, array=classes, structures=names, are_objects=False), painted.array != UNPAINTED
