"""Corrections: what a person has changed in a result, as paint to learn from, and as what the next result must keep.

A result and its corrected copy are output labels: 0 background, 1… structures. What differs between them, and whole
slices that are marked as right, become paint: 1 background, 2… structures (see `core.annotations.sparse_labels`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation

from napari_unetseg.core.annotations.next_slice import SliceUncertainty
from napari_unetseg.core.annotations.sparse_labels import BACKGROUND, HIGHEST, UNPAINTED
from napari_unetseg.core.annotations.versions import SlicePrediction
from napari_unetseg.core.geometry.same_grid import common_grid
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.errors import InputError, SettingsError

AXES = "zyx"
BACKGROUND_COLOUR = "#7f8fa6"
NEW_COLOUR = "#cc79a7"
"""Of a structure that a file has no colour for."""
RIGHT = re.compile(r"(?:(\d+):)?([zyx])=(\d+(?:,\d+)*)")

Array = npt.NDArray[Any]
Right = Mapping[str, Sequence[int]]
"""Whole slices that are right as they are: indices by axis, ``z``, ``y`` or ``x``, of the volume as it is loaded."""


def corrections(result: Labels, corrected: Labels, right: Right | None = None, earlier: Labels | None = None) -> Labels:
    """What a person says of a result, as paint.

    Parameters
    ----------
    result, corrected : Labels
        On one grid. Of numbered objects, what is an object and what is background counts; not how they are numbered.
    right : mapping
        Slices that are marked as right: all their voxels become paint.
    earlier : Labels, optional
        Paint of earlier corrections, which the result keeps; what is corrected again is painted anew.

    Returns
    -------
    Labels
        uint8 paint (Z, Y, X) on the result's grid; its structures are those of both, each one higher, and background.

    Raises
    ------
    InputError
        If the grids differ, one holds objects and the other classes, a new structure does not follow the result's, or
        nothing is corrected.
    SettingsError
        If a slice that is marked as right is not there.
    """
    grid = common_grid(result, corrected)
    before, after = (classes_of_labels(labels) for labels in (result, corrected))
    structures = _structures(result, corrected, int(after.max(initial=0)))
    is_right = np.zeros(before.shape, bool)
    for axis, indices in (right or {}).items():
        _mark(is_right, axis, indices)
    if earlier is not None:
        common_grid(result, earlier)
    painted = paint_of_corrections(before, after, is_right, 0 if earlier is None else earlier.array)
    if not painted.any():
        raise InputError(
            f"{corrected.name} is the result as it was, and no slice is marked as right: there is nothing to learn. "
            "Correct some voxels, or mark a slice."
        )
    return Labels(painted, grid, painted_structures(structures), name=corrected.name)


def paint_of_corrections(
    before: Array, after: Array, is_right: npt.NDArray[np.bool_], earlier: Array | int = UNPAINTED
) -> npt.NDArray[np.uint8]:
    """What a person says of classes (…): those that they changed, and those that are right; else what was said earlier.

    A label that no structure can have (`HIGHEST` and above, in `after`) says nothing.
    """
    is_said = ((before != after) | is_right) & (after < HIGHEST)
    painted: npt.NDArray[np.uint8] = np.where(is_said, after.astype(np.uint8) + np.uint8(BACKGROUND), earlier)
    return painted.astype(np.uint8, copy=False)


def classes_of_labels(labels: Labels) -> Array:
    """What a correction is compared by, (Z, Y, X): of numbered objects, what is one (1) and what is none (0)."""
    return (labels.array > 0).astype(np.uint8) if labels.are_objects else labels.array


def painted_structures(structures: Sequence[Structure]) -> tuple[Structure, ...]:
    """What painted values mean: background, and each structure one higher than in a result."""
    background = Structure(label=BACKGROUND, name="background", colour=BACKGROUND_COLOUR)
    return (background, *(s.model_copy(update={"label": s.label + 1, "channels": ()}) for s in structures))


def parse_right(marks: Sequence[str], images: int = 1) -> list[dict[str, list[int]]]:
    """Slices that are right, an entry an image, from text: ``z=12,40``; of several images, ``2:z=12,40``.

    Raises
    ------
    SettingsError
        If it is anything else, or there is no such image.
    """
    found: list[dict[str, list[int]]] = [{} for _ in range(images)]
    for mark in marks:
        match = RIGHT.fullmatch(mark.replace(" ", ""))
        if match is None or (match[1] is None and images > 1):
            example = "z=12,40" if images == 1 else "1:z=12,40, with the image's number before it"
            raise SettingsError(f"Expected slices that are right as {example}; got {mark!r}.")
        number = int(match[1] or 1)
        if not 1 <= number <= images:
            raise SettingsError(f"Expected one of {images} images, counted from 1, in {mark!r}; got {number}.")
        found[number - 1].setdefault(match[2], []).extend(int(index) for index in match[3].split(","))
    return found


def keep_corrections(labels: Labels, painted: Labels) -> Labels:
    """A result in which every painted voxel is what a person painted: whatever a model says, that counts.

    Parameters
    ----------
    labels : Labels
        A result. Of numbered objects, a voxel that was painted as one and is none joins the object that it touches
        most, or becomes one of its own with all that it touches.
    painted : Labels
        Paint on it: 0 unpainted, 1 background, 2… structures; these are named after it where the result has no name.

    Returns
    -------
    Labels
        Its record says how many voxels a person has corrected.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    if painted.shape != labels.shape:
        raise InputError(f"Expected corrections of shape {labels.shape} (z, y, x); got {painted.shape}.")
    count = int(np.count_nonzero(painted.array))
    made_by = labels.made_by and labels.made_by.model_copy(update={"corrected": count})
    if labels.are_objects:
        return replace(labels, array=_objects_kept(labels.array, painted.array), made_by=made_by)
    known = {structure.label for structure in labels.structures}
    added = (s.model_copy(update={"label": s.label - BACKGROUND}) for s in painted.structures if s.label > BACKGROUND)
    structures = (*labels.structures, *(s for s in added if s.label not in known)) if known else ()
    return replace(labels, array=keep_painted(labels.array, painted.array), structures=structures, made_by=made_by)


def keep_painted(classes: Array, painted: Array) -> Array:
    """Classes (…) in which every painted voxel is what was painted; of the dtype of `classes`, or a larger one."""
    dtype = np.promote_types(classes.dtype, np.min_scalar_type(int(painted.max(initial=0))))
    kept = classes.astype(dtype)
    where = painted != UNPAINTED
    kept[where] = painted[where] - BACKGROUND
    return kept


def kept_in_slice(found: SlicePrediction, painted: Array) -> SlicePrediction:
    """A slice's prediction with what a person painted (Y, X), of which nobody is unsure."""
    told = painted != UNPAINTED
    if not told.any():
        return found
    labels, uncertainty = keep_painted(found.labels, painted), np.where(told, np.uint8(0), found.uncertainty)
    return SlicePrediction(labels, uncertainty, SliceUncertainty.of(labels, uncertainty))


def keep_in_probabilities(probabilities: Volume, painted: Array) -> Volume:
    """Probabilities (1 + structures, Z, Y, X) that are 1 for what a person painted and 0 for all else there.

    A structure that the probabilities have no channel for is left out.
    """
    array = np.array(probabilities.array)
    known = (painted > UNPAINTED) & (painted <= len(array))
    for channel, plane in enumerate(array):
        plane[known] = painted[known] == channel + BACKGROUND
    return replace(probabilities, array=array)


def _structures(result: Labels, corrected: Labels, highest: int) -> tuple[Structure, ...]:
    """The result's structures, and those that a person added."""
    if result.are_objects != corrected.are_objects and corrected.structures:
        kinds = ("numbered objects" if labels.are_objects else "classes" for labels in (result, corrected))
        raise InputError("Expected the corrected copy of a result that holds {}; got {}.".format(*kinds))
    named = {s.label: s for s in (*corrected.structures, *result.structures)}
    known = max((s.label for s in result.structures), default=int(classes_of_labels(result).max(initial=0)))
    new = sorted({int(label) for label in np.unique(classes_of_labels(corrected)) if label > known})
    if new and (new[-1] >= HIGHEST or new != list(range(known + 1, known + 1 + len(new)))):
        raise InputError(
            f"Expected new structures to follow the result's, from {known + 1} on and below {HIGHEST}; "
            f"{corrected.name} holds {', '.join(map(str, new[:5]))}."
        )
    return tuple(
        named.get(label, Structure(label=label, name=f"structure {label}", colour=NEW_COLOUR))
        for label in range(1, max(known, highest) + 1)
    )


def _mark(marked: npt.NDArray[np.bool_], axis: str, indices: Sequence[int]) -> None:
    if axis not in AXES:
        raise SettingsError(f"Expected slices that are right along z, y or x; got {axis!r}.")
    along = AXES.index(axis)
    for index in indices:
        if not 0 <= index < marked.shape[along]:
            raise SettingsError(f"Expected a slice of 0 to {marked.shape[along] - 1} along {axis}; got {index}.")
        np.moveaxis(marked, along, 0)[index] = True


def _objects_kept(numbers: Array, painted: Array) -> Array:
    """Numbered objects without what was painted as background, and with what was painted as an object."""
    kept = np.where(painted == BACKGROUND, 0, numbers)
    missing = (painted > BACKGROUND) & (kept == 0)
    parts = cc3d.connected_components(missing, connectivity=26)
    highest = int(kept.max(initial=0))
    kept = kept.astype(np.promote_types(kept.dtype, np.min_scalar_type(highest + int(parts.max()))))
    boxes = cc3d.statistics(parts)["bounding_boxes"][1:] if parts.any() else []
    for number, box in enumerate(boxes, start=1):
        around = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in box)
        part = parts[around] == number
        touched = kept[around][_grown(part) & ~part]
        touched = touched[touched > 0]
        if len(touched):
            kept[around][part] = np.bincount(touched).argmax()
        else:
            highest += 1
            kept[around][part] = highest
    return kept


def _grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """With all 26 neighbours of each voxel."""
    return np.asarray(binary_dilation(mask, np.ones((3, 3, 3), bool)))
