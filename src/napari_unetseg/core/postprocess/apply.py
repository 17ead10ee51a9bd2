"""Apply clean-up steps to labels, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch

import numpy as np

from napari_unetseg.core.geometry.label_arrays import (
    Box,
    LabelArray,
    connected_parts,
    grown_box,
    plain,
    present_labels,
    renumbering,
)
from napari_unetseg.core.postprocess import morphology, split_merge
from napari_unetseg.core.postprocess.context import NOTHING, Canvas, Evidence
from napari_unetseg.core.postprocess.probabilities import Refine, weigh
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.steps import (
    Dilate,
    Erode,
    FillHoles,
    KeepLargest,
    MergeTiles,
    NumberParts,
    RemoveSmall,
    Renumber,
    Separate,
    Smooth,
    Step,
    Weighing,
)
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import SettingsError


def clean(labels: Labels, steps: Sequence[Step], evidence: Evidence = NOTHING, refine: Refine | None = None) -> Labels:
    """Apply clean-up steps in order.

    Parameters
    ----------
    labels : Labels
        They stay as they are; no step changes a label that it is not for.
    steps : sequence of Step
        None of them: the labels come back as they are.
    evidence : Evidence
        What steps may look at beside the labels.
    refine : callable
        `engine.inference.crf.iter_refine`, for steps ``crf``; `api.clean` gives it.

    Raises
    ------
    InputError
        If the evidence is not on the labels' grid, or does not fit their structures.
    SettingsError
        If a step needs the voxel size, the image, a prior, or a choice among several structures, and has it not.
    """
    return finish(iter_clean(labels, steps, evidence, refine))


def iter_clean(
    labels: Labels, steps: Sequence[Step], evidence: Evidence = NOTHING, refine: Refine | None = None
) -> Job[Labels]:
    """`clean` as a generator that yields a `Progress` before each step, and those of a step that takes long."""
    first = 0 if labels.array.shape[0] == 1 else slice(None)
    canvas = Canvas.of(plain(labels.array[first]), labels, evidence)
    for done, step in enumerate(steps):
        yield Progress(done, len(steps), step.kind.replace("_", " ").capitalize())
        if isinstance(step, Weighing):
            canvas = yield from weigh(step, canvas, refine)
        else:
            canvas = apply_step(step, canvas).forget_probabilities()
    array = canvas.array.reshape(labels.array.shape)
    return replace(labels, array=array, structures=canvas.structures, are_objects=canvas.are_objects)


@singledispatch
def apply_step(step: Step, canvas: Canvas) -> Canvas:
    """Apply one step; each kind of record has its own function."""
    raise SettingsError(f"Expected a clean-up step; got {step!r}.")


@apply_step.register
def _(step: KeepLargest, canvas: Canvas) -> Canvas:
    return canvas.each(step, lambda mask: morphology.keep_largest(mask, step.parts))


@apply_step.register
def _(step: RemoveSmall, canvas: Canvas) -> Canvas:
    voxels = step.volume / float(np.prod(canvas.spacing(step.unit)))
    return canvas.each(step, lambda mask: morphology.remove_small(mask, voxels))


@apply_step.register
def _(step: FillHoles, canvas: Canvas) -> Canvas:
    return canvas.each(step, lambda mask: morphology.fill_holes(mask, step.per_slice))


@apply_step.register
def _(step: Smooth, canvas: Canvas) -> Canvas:
    array = morphology.smooth(canvas.array, canvas.regions(step), step.radius, canvas.spacing(step.unit))
    return replace(canvas, array=array)


@apply_step.register
def _(step: Dilate, canvas: Canvas) -> Canvas:
    array = morphology.dilate(canvas.array, canvas.regions(step), step.distance, canvas.spacing(step.unit))
    return replace(canvas, array=array)


@apply_step.register
def _(step: Erode, canvas: Canvas) -> Canvas:
    array = morphology.erode(canvas.array, canvas.regions(step), step.distance, canvas.spacing(step.unit))
    return replace(canvas, array=array)


@apply_step.register
def _(step: Separate, canvas: Canvas) -> Canvas:
    found, spacing = _one_structure(step, canvas), canvas.spacing(step.unit)
    array, count, seen = np.zeros(canvas.array.shape, np.uint32), 0, canvas.image
    for label, box in found:
        near = grown_box(box, (1,) * array.ndim, array.shape)
        mask = canvas.array[near] == label
        image = None if seen is None else seen[near]
        cut = split_merge.separate(mask, step.depth, spacing, step.along, image)
        array[near][mask] = cut[mask] + np.uint32(count)
        count += int(cut.max())
    return _numbered(canvas, array, found)


@apply_step.register
def _(step: NumberParts, canvas: Canvas) -> Canvas:
    found = _one_structure(step, canvas)
    mine = np.where(np.isin(canvas.array, [label for label, _ in found]), canvas.array, 0)
    parts, _ = connected_parts(mine)
    return _numbered(canvas, parts, found)


@apply_step.register
def _(step: MergeTiles, canvas: Canvas) -> Canvas:
    tile = step.tile[-canvas.array.ndim :]
    return replace(canvas, array=split_merge.merge_tiles(canvas.array, tile, step.contact))


@apply_step.register
def _(step: Renumber, canvas: Canvas) -> Canvas:
    renumber = renumbering(present_labels(canvas.array))
    return replace(canvas, array=renumber(canvas.array).astype(canvas.array.dtype))


def _one_structure(step: Step, canvas: Canvas) -> list[tuple[int, Box]]:
    """The regions of a step that makes objects: those of a single structure, or objects."""
    found = canvas.regions(step)
    if len(found) > 1 and not canvas.are_objects:
        labels = ", ".join(str(label) for label, _ in found)
        raise SettingsError(f"Objects are those of one structure; there are {labels}: choose one by structures.")
    return found


def _numbered(canvas: Canvas, array: LabelArray, found: list[tuple[int, Box]]) -> Canvas:
    """The canvas with numbered objects on it, which belong to the structure that they were made of."""
    if canvas.are_objects:
        return replace(canvas, array=array)
    structures = tuple(s.model_copy(update={"label": 1}) for s in canvas.structures if s.label in dict(found))
    return replace(canvas, array=array, structures=structures, are_objects=True)
