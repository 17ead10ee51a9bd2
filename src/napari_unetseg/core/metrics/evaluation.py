"""Evaluation of a prediction against a reference, structure by structure; of paint, where it is painted."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.annotations.sparse_labels import UNPAINTED, to_classes
from napari_unetseg.core.geometry.label_arrays import present_labels, regions
from napari_unetseg.core.geometry.tiles import triple
from napari_unetseg.core.grid import Box, place
from napari_unetseg.core.io.lazy import smallest_dtype
from napari_unetseg.core.metrics.objects import score_objects
from napari_unetseg.core.metrics.overlap import Overlap, OverlapCount
from napari_unetseg.core.metrics.pairing import Pair
from napari_unetseg.core.metrics.scores import NAN, Evaluation, StructureScore
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.metrics.surface import score_surfaces
from napari_unetseg.core.notes import Note
from napari_unetseg.core.volume import Labels
from napari_unetseg.core.voxels import LabelSource, blocks
from napari_unetseg.errors import InputError

DEFAULTS = MetricSettings()
MOST_STRUCTURES = 255
"""More labels than this are taken for numbered objects, unless the settings say what they are."""
MOST_LISTED = 5
"""Labels that a note names."""
THREADS = 2
"""Structures whose surfaces are measured at once: each needs memory for its own bounding box."""
Figures = dict[str, Any]
Boxes = dict[int, Box]


def evaluate(
    predicted: LabelSource,
    reference: LabelSource,
    settings: MetricSettings = DEFAULTS,
    known: npt.NDArray[np.bool_] | None = None,
) -> Evaluation:
    """Score a prediction against a reference.

    Both are read box by box. Only what needs surfaces holds more: the box around each structure.

    There is a row for every label that occurs in either volume and for every named structure. Numbered objects are
    one structure together, and are matched with each other besides.

    Parameters
    ----------
    predicted, reference : Labels, or another LabelSource
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
    if known is not None and known.shape != reference.shape:
        raise InputError(f"Expected known voxels of shape {reference.shape}; got {known.shape}.")
    if _compares_objects(predicted, reference, settings):
        objects = None if known is not None else score_objects(pair)
        pair = pair.foreground()
    tolerance = max(pair.spacing) if settings.tolerance is None else settings.tolerance
    overlap, boxes = _counted(pair, known, boxed=settings.surfaces and known is None)
    _warn_of_other_numbers(overlap)
    rows = [_overlap_figures(overlap, index, pair.voxel) for index in range(len(overlap.labels))]
    if settings.surfaces and known is None:
        surfaces = _surface_figures(pair, overlap.labels.tolist(), boxes, tolerance)
        rows = [row | more for row, more in zip(rows, surfaces, strict=True)]
    if objects is not None:  # numbered ones that touch are no parts of one structure
        rows = [row | {"small_recall": None, "large_recall": None} for row in rows]
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


def _compares_objects(predicted: LabelSource, reference: LabelSource, settings: MetricSettings) -> bool:
    if settings.objects is not None:
        return settings.objects
    if predicted.are_objects or reference.are_objects:
        return True
    return any(_has_many(source) for source in (predicted, reference))


def _has_many(source: LabelSource) -> bool:
    """Whether more than `MOST_STRUCTURES` labels occur."""
    if max(int(source.read(box).max()) for box in blocks(source)) <= MOST_STRUCTURES:
        return False
    found = np.zeros(0, np.uint64)
    for box in blocks(source):
        found = np.union1d(found, present_labels(source.read(box)))
        if len(found) > MOST_STRUCTURES:
            return True
    return False


def _counted(pair: Pair, known: npt.NDArray[np.bool_] | None, *, boxed: bool) -> tuple[Overlap, Boxes]:
    """Voxel counts and, where it is `boxed`, the box around each label in either volume."""
    count, boxes = OverlapCount(pair.shape[0], tuple(pair.names)), dict[int, Box]()
    for box, arrays in pair.parts():
        count.add(box[0][0], *arrays, None if known is None else known[place(box)])
        for array in arrays if boxed else ():
            for label, inside in regions(array):
                here = triple((a + s.start, a + s.stop) for (a, _), s in zip(box, inside, strict=True))
                boxes[label] = _union(boxes.get(label, here), here)
    return count.overlap, boxes


def _warn_of_other_numbers(overlap: Overlap) -> None:
    """Say that no label occurs in both, as where a mask is 0 and 255 in one and 0 and 1 in the other."""
    ours, theirs = (overlap.labels[counts.any(axis=0)].tolist() for counts in (overlap.predicted, overlap.reference))
    if not ours or not theirs or {*ours} & {*theirs}:
        return
    text = (
        f"No label occurs in both: the prediction has {_listed(ours)}, and the reference {_listed(theirs)}. The same "
        "structures may be meant: give them the same numbers."
    )
    warnings.warn(Note(text, "no-label-in-both"), stacklevel=3)


def _listed(labels: list[int]) -> str:
    shown = ", ".join(map(str, labels[:MOST_LISTED]))
    return shown if len(labels) <= MOST_LISTED else f"{shown}, … ({len(labels)} in all)"


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


def _surface_figures(pair: Pair, labels: list[int], boxes: Boxes, tolerance: float) -> list[Figures]:
    """The figures that need surfaces, each structure in the box around it in both volumes."""

    def score(label: int) -> Figures:
        if label not in boxes:
            return {"parts": 0, "reference_parts": 0}
        predicted, reference = (image == label for image in pair.read_image(boxes[label]))
        return asdict(score_surfaces(predicted, reference, pair.spacing, tolerance))

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(score, labels))


def _union(one: Box, other: Box) -> Box:
    """The smallest box around two boxes."""
    return triple((min(a, c), max(b, d)) for (a, b), (c, d) in zip(one, other, strict=True))


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else NAN
