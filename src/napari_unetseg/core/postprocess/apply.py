"""Application of clean-up steps to labels, one after the other."""

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
from napari_unetseg.core.postprocess.context import NO_CONTEXT, CleanupContext, CleanupState
from napari_unetseg.core.postprocess.probabilities import Refine, update_probabilities
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.steps import (
    Dilate,
    Erode,
    FillHoles,
    KeepLargest,
    MergeTiles,
    NumberParts,
    ProbabilityStep,
    RemoveSmall,
    Renumber,
    Separate,
    Smooth,
    Step,
)
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import SettingsError


def clean(
    labels: Labels, steps: Sequence[Step], context: CleanupContext = NO_CONTEXT, refine: Refine | None = None
) -> Labels:
    """Apply clean-up steps in order.

    Parameters
    ----------
    labels : Labels
        They stay as they are; no step changes a label that it is not for.
    steps : sequence of Step
        None of them: the labels come back as they are.
    context : CleanupContext
        What steps may use beside the labels.
    refine : callable
        `engine.inference.crf.iter_refine`, for steps ``crf``; `api.clean` gives it.

    Raises
    ------
    InputError
        If the context is not on the labels' grid, or does not fit their structures.
    SettingsError
        If a step needs the voxel size, the image, a prior, or a choice among several structures, and has it not.
    """
    return finish(iter_clean(labels, steps, context, refine))


def iter_clean(
    labels: Labels, steps: Sequence[Step], context: CleanupContext = NO_CONTEXT, refine: Refine | None = None
) -> Job[Labels]:
    """`clean` as a generator that yields a `Progress` before each step, and those of a step that takes long."""
    first = 0 if labels.array.shape[0] == 1 else slice(None)
    state = CleanupState.of(plain(labels.array[first]), labels, context)
    for done, step in enumerate(steps):
        yield Progress(done, len(steps), step.kind.replace("_", " ").capitalize())
        if isinstance(step, ProbabilityStep):
            state = yield from update_probabilities(step, state, refine)
        else:
            state = apply_step(step, state).forget_probabilities()
    array = state.array.reshape(labels.array.shape)
    return replace(labels, array=array, structures=state.structures, are_objects=state.are_objects)


@singledispatch
def apply_step(step: Step, state: CleanupState) -> CleanupState:
    """Apply one step; each kind of record has its own function."""
    raise SettingsError(f"Expected a clean-up step; got {step!r}.")


@apply_step.register
def _(step: KeepLargest, state: CleanupState) -> CleanupState:
    return state.each(step, lambda mask: morphology.keep_largest(mask, step.parts))


@apply_step.register
def _(step: RemoveSmall, state: CleanupState) -> CleanupState:
    voxels = step.volume / float(np.prod(state.spacing(step.unit)))
    return state.each(step, lambda mask: morphology.remove_small(mask, voxels))


@apply_step.register
def _(step: FillHoles, state: CleanupState) -> CleanupState:
    return state.each(step, lambda mask: morphology.fill_holes(mask, step.per_slice))


@apply_step.register
def _(step: Smooth, state: CleanupState) -> CleanupState:
    array = morphology.smooth(state.array, state.regions(step), step.radius, state.spacing(step.unit))
    return replace(state, array=array)


@apply_step.register
def _(step: Dilate, state: CleanupState) -> CleanupState:
    array = morphology.dilate(state.array, state.regions(step), step.distance, state.spacing(step.unit))
    return replace(state, array=array)


@apply_step.register
def _(step: Erode, state: CleanupState) -> CleanupState:
    array = morphology.erode(state.array, state.regions(step), step.distance, state.spacing(step.unit))
    return replace(state, array=array)


@apply_step.register
def _(step: Separate, state: CleanupState) -> CleanupState:
    found, spacing = _one_structure(step, state), state.spacing(step.unit)
    array, count, seen = np.zeros(state.array.shape, np.uint32), 0, state.image
    for label, box in found:
        near = grown_box(box, (1,) * array.ndim, array.shape)
        mask = state.array[near] == label
        image = None if seen is None else seen[near]
        cut = split_merge.separate(mask, step.depth, spacing, step.along, image)
        array[near][mask] = cut[mask] + np.uint32(count)
        count += int(cut.max())
    return _numbered(state, array, found)


@apply_step.register
def _(step: NumberParts, state: CleanupState) -> CleanupState:
    found = _one_structure(step, state)
    mine = np.where(np.isin(state.array, [label for label, _ in found]), state.array, 0)
    parts, _ = connected_parts(mine)
    return _numbered(state, parts, found)


@apply_step.register
def _(step: MergeTiles, state: CleanupState) -> CleanupState:
    tile = step.tile[-state.array.ndim :]
    return replace(state, array=split_merge.merge_tiles(state.array, tile, step.contact))


@apply_step.register
def _(step: Renumber, state: CleanupState) -> CleanupState:
    renumber = renumbering(present_labels(state.array))
    return replace(state, array=renumber(state.array).astype(state.array.dtype))


def _one_structure(step: Step, state: CleanupState) -> list[tuple[int, Box]]:
    """The regions of a step that makes objects: those of a single structure, or objects."""
    found = state.regions(step)
    if len(found) > 1 and not state.are_objects:
        labels = ", ".join(str(label) for label, _ in found)
        raise SettingsError(f"Objects are those of one structure; there are {labels}: choose one by structures.")
    return found


def _numbered(state: CleanupState, array: LabelArray, found: list[tuple[int, Box]]) -> CleanupState:
    """The state with numbered objects on it, which belong to the structure that they were made of."""
    if state.are_objects:
        return replace(state, array=array)
    structures = tuple(s.model_copy(update={"label": 1}) for s in state.structures if s.label in dict(found))
    return replace(state, array=array, structures=structures, are_objects=True)
