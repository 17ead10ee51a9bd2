"""Steps that change probabilities: a conditional random field, and an anatomical prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from napari_unetseg.core.annotations.sparse_labels import MOST_CLASSES
from napari_unetseg.core.geometry.label_arrays import LabelArray, present_labels
from napari_unetseg.core.grid import Triple
from napari_unetseg.core.postprocess.context import CleanupState, spread_of
from napari_unetseg.core.postprocess.prior import Probabilities, apply_prior, prior_from_slices, with_background
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.steps import Crf, Prior
from napari_unetseg.core.volume import Volume
from napari_unetseg.errors import SettingsError

Refine = Callable[[Probabilities, Volume, Crf, tuple[float, ...] | None], Job[Probabilities]]
"""What computes a `Crf`: `engine.inference.crf.iter_refine`."""


def update_probabilities(step: Crf | Prior, state: CleanupState, refine: Refine | None) -> Job[CleanupState]:
    """Weigh the probabilities, and give each voxel to what is likeliest now; yields the progress of `refine`.

    Numbered objects count as one structure; what they gain goes to the nearest object.

    Raises
    ------
    SettingsError
        If the context lacks what the step needs, or there are too many structures.
    InputError
        If probabilities or the prior do not fit the structures.
    """
    labels = _labels(state)
    before = state.array.reshape((1,) * (3 - state.array.ndim) + state.array.shape)
    if not labels or (state.are_objects and not before.any()):
        return state
    belief = _belief(step, state, before, labels)
    if isinstance(step, Crf):
        belief = yield from _refined(step, state, belief, refine)
    else:
        belief = apply_prior(belief, _prior(step, state, labels), step.strength)
    found = belief.argmax(axis=0)
    after = _owned(found > 0, before, state) if state.are_objects else _lookup(labels, before.dtype)[found]
    array = _only(step, before, after).reshape(state.array.shape)
    return replace(state, array=array, context=replace(state.context, probabilities=Volume(belief, state.grid)))


def _labels(state: CleanupState) -> list[int]:
    """The structures that compete: named ones, and those that occur; numbered objects are one."""
    if state.are_objects:
        return [1]
    labels = sorted({s.label for s in state.structures} | set(present_labels(state.array).tolist()))
    soft = state.context.probabilities
    if soft is not None and not state.structures:  # unnamed ones may be absent
        labels = sorted({*labels, *range(1, len(soft.array))})
    if len(labels) > MOST_CLASSES:
        raise SettingsError(
            f"Expected at most {MOST_CLASSES} structures to weigh; got {len(labels)}. Mark single objects as such, or "
            "weigh before they are numbered."
        )
    return labels


def _lookup(labels: list[int], dtype: np.dtype[Any]) -> LabelArray:
    return np.array([0, *labels], np.promote_types(dtype, np.min_scalar_type(labels[-1])))


def _belief(step: Crf | Prior, state: CleanupState, before: LabelArray, labels: list[int]) -> Probabilities:
    """The probabilities at hand, or else the labels, softened; shape (structures + 1, Z, Y, X)."""
    soft = state.context.probabilities
    if soft is not None:
        return with_background(soft.array, len(labels))
    belief = np.full((len(labels) + 1, *before.shape), (1 - step.certainty) / len(labels), np.float32)
    for channel, label in enumerate((0, *labels)):
        belief[channel][before > 0 if state.are_objects and label else before == label] = step.certainty
    return belief


def _refined(step: Crf, state: CleanupState, belief: Probabilities, refine: Refine | None) -> Job[Probabilities]:
    image = state.context.image
    if image is None:
        raise SettingsError("The step crf follows the image; give it.")
    if refine is None:
        raise SettingsError("The step crf needs the engine: call napari_unetseg.clean.")
    image, spread = replace(image, grid=state.grid), state.context.spread
    if not step.per_slice or image.is_2d:
        return (yield from refine(belief, image, step, spread))
    spread = spread or spread_of(image)
    depth = belief.shape[1]
    for z in range(depth):
        yield Progress(z, depth, "Refining by the image")
        alone = replace(image, array=image.array[:, z : z + 1])
        belief[:, z : z + 1] = finish(refine(belief[:, z : z + 1], alone, step, spread))
    return belief


def _prior(step: Prior, state: CleanupState, labels: list[int]) -> Probabilities:
    context = state.context
    if context.prior is not None:
        return with_background(context.prior.array, len(labels))
    if context.known is None:
        raise SettingsError("The step prior needs a probability map or painted slices; give one of them.")
    known = context.known
    if state.are_objects:
        known = replace(known, planes=(known.planes > 0).astype(np.uint8))
    return prior_from_slices(known, labels, _triple(state.spacing(step.unit)), step.softness)


def _triple(spacing: tuple[float, ...]) -> Triple:
    z, y, x = (1.0,) * (3 - len(spacing)) + spacing
    return z, y, x


def _owned(mask: LabelArray, before: LabelArray, state: CleanupState) -> LabelArray:
    """Numbers for a mask: each voxel keeps its own, or has that of the nearest object."""
    if not (mask & (before == 0)).any():
        return np.where(mask, before, 0)
    nearest = ndimage.distance_transform_edt(
        before == 0, sampling=state.grid.spacing, return_distances=False, return_indices=True
    )
    return np.where(mask, before[tuple(nearest)], 0)


def _only(step: Crf | Prior, before: LabelArray, after: LabelArray) -> LabelArray:
    """`after`, but where a label that the step is not for would come or go."""
    if not step.structures:
        return after
    mine = (0, *step.structures)
    return np.where(np.isin(before, mine) & np.isin(after, mine), after, before)
