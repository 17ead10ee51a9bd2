"""Score a prediction against a reference, structure by structure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.metrics.overlap import Overlap, count_overlap
from napari_unetseg.core.metrics.pairing import common_grid
from napari_unetseg.core.metrics.scores import NAN, Evaluation, StructureScore
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import InputError

DEFAULTS = MetricSettings()


def evaluate(
    predicted: Labels,
    reference: Labels,
    settings: MetricSettings = DEFAULTS,
    known: npt.NDArray[np.bool_] | None = None,
) -> Evaluation:
    """Score a prediction against a reference.

    There is a row for every label that occurs in either volume and for every named structure.

    Parameters
    ----------
    predicted, reference : Labels
        On the same grid.
    settings : MetricSettings
    known : ndarray of bool, shape (Z, Y, X), optional
        Where the reference is known. Unknown voxels change no figure. Surfaces and parts need the whole volume, so
        their figures are left out.

    Raises
    ------
    InputError
        If shapes, spacings, orientations or positions differ.
    """
    grid = common_grid(predicted, reference)
    if known is not None and known.shape != reference.array.shape:
        raise InputError(f"Expected known voxels of shape {reference.array.shape}; got {known.shape}.")
    names = _names(predicted, reference)
    overlap = count_overlap(predicted.array, reference.array, known, tuple(names))
    flat = reference.array.shape[0] == 1
    voxel = float(np.prod(grid.spacing[1:] if flat else grid.spacing))
    scores = [_score(overlap, i, names, voxel) for i in range(len(overlap.labels))]
    return Evaluation(
        structures=tuple(scores),
        foreground_dice=_ratio(2 * overlap.foreground[2], overlap.foreground[0] + overlap.foreground[1]),
        unit=grid.unit,
        dimensions=2 if flat else 3,
        tolerance=settings.tolerance_for(grid, flat),
    )


def _names(predicted: Labels, reference: Labels) -> dict[int, str]:
    """Label to name; where both name a label, the reference does."""
    return {s.label: s.name for s in (*predicted.structures, *reference.structures)}


def _score(overlap: Overlap, index: int, names: dict[int, str], voxel: float) -> StructureScore:
    label = int(overlap.labels[index])
    predicted, reference, both = (
        int(counts[:, index].sum()) for counts in (overlap.predicted, overlap.reference, overlap.both)
    )
    difference = predicted - reference
    return StructureScore(
        label=label,
        name=names.get(label, f"structure {label}"),
        dice=_ratio(2 * both, predicted + reference),
        iou=_ratio(both, predicted + reference - both),
        precision=_ratio(both, predicted),
        sensitivity=_ratio(both, reference),
        specificity=_ratio(overlap.voxels - predicted - reference + both, overlap.voxels - reference),
        volume=predicted * voxel,
        reference_volume=reference * voxel,
        volume_difference=difference * voxel,
        volume_difference_percent=_ratio(100 * difference, reference),
    )


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else NAN
