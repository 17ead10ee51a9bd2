"""Evaluation of a prediction against a reference, structure by structure."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.geometry.label_arrays import Box, Numbers, bounding_boxes, present_labels
from napari_unetseg.core.metrics.objects import score_objects
from napari_unetseg.core.metrics.overlap import Overlap, count_overlap
from napari_unetseg.core.metrics.pairing import Pair
from napari_unetseg.core.metrics.scores import NAN, Evaluation, StructureScore
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.metrics.surface import score_surfaces
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import InputError

DEFAULTS = MetricSettings()
MOST_STRUCTURES = 255
"""More labels than this are taken for numbered objects, unless the settings say what they are."""
THREADS = 2
"""Structures whose surfaces are measured at once: each needs memory for its own bounding box."""
Figures = dict[str, Any]


def evaluate(
    predicted: Labels,
    reference: Labels,
    settings: MetricSettings = DEFAULTS,
    known: npt.NDArray[np.bool_] | None = None,
) -> Evaluation:
    """Score a prediction against a reference.

    There is a row for every label that occurs in either volume and for every named structure. Numbered objects are
    one structure together, and are matched with each other besides.

    Parameters
    ----------
    predicted, reference : Labels
        On the same grid.
    settings : MetricSettings
    known : ndarray of bool, shape (Z, Y, X), optional
        Where the reference is known. Unknown voxels change no figure. Surfaces, parts and objects need the whole
        volume, so their figures are left out.

    Raises
    ------
    InputError
        If shapes, spacings, orientations or positions differ.
    """
    pair, objects = Pair.of(predicted, reference), None
    if known is not None and known.shape != reference.array.shape:
        raise InputError(f"Expected known voxels of shape {reference.array.shape}; got {known.shape}.")
    if _compares_objects(predicted, reference, settings):
        objects = None if known is not None else score_objects(pair.predicted, pair.reference)
        pair = pair.foreground()
    tolerance = max(pair.spacing) if settings.tolerance is None else settings.tolerance
    overlap = count_overlap(pair.predicted, pair.reference, known, tuple(pair.names))
    rows = [_overlap_figures(overlap, index, pair.voxel) for index in range(len(overlap.labels))]
    if settings.surfaces and known is None:
        surfaces = _surface_figures(pair, overlap.labels, tolerance)
        rows = [row | more for row, more in zip(rows, surfaces, strict=True)]
    return Evaluation(
        structures=tuple(
            StructureScore(label, pair.names.get(label, f"structure {label}"), **row)
            for label, row in zip(overlap.labels.tolist(), rows, strict=True)
        ),
        foreground_dice=_ratio(2 * overlap.foreground[2], overlap.foreground[0] + overlap.foreground[1]),
        unit=pair.unit,
        dimensions=len(pair.spacing),
        tolerance=tolerance,
        objects=objects,
    )


def _compares_objects(predicted: Labels, reference: Labels, settings: MetricSettings) -> bool:
    if settings.objects is not None:
        return settings.objects
    if predicted.are_objects or reference.are_objects:
        return True
    arrays = (predicted.array, reference.array)
    return any(array.max() > MOST_STRUCTURES and len(present_labels(array)) > MOST_STRUCTURES for array in arrays)


def _overlap_figures(overlap: Overlap, index: int, voxel: float) -> Figures:
    predicted, reference, both = (
        int(counts[:, index].sum()) for counts in (overlap.predicted, overlap.reference, overlap.both)
    )
    difference = predicted - reference
    return {
        "dice": _ratio(2 * both, predicted + reference),
        "iou": _ratio(both, predicted + reference - both),
        "precision": _ratio(both, predicted),
        "sensitivity": _ratio(both, reference),
        "specificity": _ratio(overlap.voxels - predicted - reference + both, overlap.voxels - reference),
        "volume": predicted * voxel,
        "reference_volume": reference * voxel,
        "volume_difference": difference * voxel,
        "volume_difference_percent": _ratio(100 * difference, reference),
    }


def _surface_figures(pair: Pair, labels: Numbers, tolerance: float) -> list[Figures]:
    """The figures that need surfaces, each structure in the box around it in both volumes."""
    images = pair.images

    def score(label: int, box: Box | None) -> Figures:
        if box is None:
            return {"parts": 0, "reference_parts": 0}
        predicted, reference = (image[box] == label for image in images)
        return asdict(score_surfaces(predicted, reference, pair.spacing, tolerance))

    with ThreadPoolExecutor(THREADS) as threads:
        found = threads.map(lambda image: bounding_boxes(image, labels), images)
        boxes = [_union(*both) for both in zip(*found, strict=True)]
        return list(threads.map(score, labels.tolist(), boxes))


def _union(one: Box | None, other: Box | None) -> Box | None:
    """The smallest box around two boxes."""
    if one is None or other is None:
        return one or other
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else NAN
