"""Apply clean-up steps to labels, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.cleanup import contest, masks, objects
from napari_unetseg.core.cleanup_steps import (
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
)
from napari_unetseg.core.label_arrays import (
    Box,
    LabelArray,
    connected_parts,
    grown_box,
    plain,
    present_labels,
    regions,
    renumbering,
)
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.same_grid import common_grid
from napari_unetseg.core.structure import Structure
from napari_unetseg.core.volume import Grid, Labels, Volume
from napari_unetseg.errors import SettingsError


@dataclass(frozen=True)
class Canvas:
    """What a step works on: labels of shape (Z, Y, X), or (Y, X) where there is one slice, and an image beside them."""

    array: LabelArray
    grid: Grid
    structures: tuple[Structure, ...]
    are_objects: bool
    image: npt.NDArray[Any] | None

    def spacing(self, unit: str) -> tuple[float, ...]:
        """Voxel size in a unit; ``pixel`` counts voxels, or takes the ratios of a grid without a unit."""
        if unit != "pixel":
            size = self.grid.spacing_in(unit)
        else:
            size = (1.0, 1.0, 1.0) if self.grid.is_physical else self.grid.spacing
        return size[-self.array.ndim :]

    def regions(self, step: Step) -> list[tuple[int, Box]]:
        """The labels that the step is for, with their boxes."""
        return [(label, box) for label, box in regions(self.array) if not step.structures or label in step.structures]

    def each(self, step: Step, change: Callable[[masks.Mask], masks.Mask]) -> Canvas:
        """Change each structure's mask alone. What it gains is taken from the background, never from another one."""
        array = self.array.copy()
        for label, box in self.regions(step):
            view = array[box]
            mask = view == label
            changed = change(mask)
            view[mask & ~changed] = 0
            view[changed & (view == 0)] = label
        return replace(self, array=array)


def clean(labels: Labels, steps: Sequence[Step], image: Volume | None = None) -> Labels:
    """Apply clean-up steps in order.

    Parameters
    ----------
    labels : Labels
        They stay as they are; no step changes a label that it is not for.
    steps : sequence of Step
        None of them: the labels come back as they are.
    image : Volume, optional
        On the same grid, for steps that cut along what it shows; its channels are averaged.

    Raises
    ------
    InputError
        If the image is not on the labels' grid.
    SettingsError
        If a step needs the voxel size, the image, or a choice among several structures, and has it not.
    """
    return finish(iter_clean(labels, steps, image))


def iter_clean(labels: Labels, steps: Sequence[Step], image: Volume | None = None) -> Job[Labels]:
    """`clean` as a generator that yields one `Progress` before each step."""
    grid = labels.grid if image is None else common_grid(image, labels)
    first = 0 if labels.array.shape[0] == 1 else slice(None)
    mean = None if image is None else image.array[:, first].mean(axis=0, dtype=np.float32)
    canvas = Canvas(plain(labels.array[first]), grid, labels.structures, labels.are_objects, mean)
    for done, step in enumerate(steps):
        yield Progress(done, len(steps), step.kind.replace("_", " ").capitalize())
        canvas = apply_step(step, canvas)
    array = canvas.array.reshape(labels.array.shape)
    return replace(labels, array=array, structures=canvas.structures, are_objects=canvas.are_objects)


@singledispatch
def apply_step(step: Step, canvas: Canvas) -> Canvas:
    """Apply one step; each kind of record has its own function."""
    raise SettingsError(f"Expected a clean-up step; got {step!r}.")


@apply_step.register
def _(step: KeepLargest, canvas: Canvas) -> Canvas:
    return canvas.each(step, lambda mask: masks.keep_largest(mask, step.parts))


@apply_step.register
def _(step: RemoveSmall, canvas: Canvas) -> Canvas:
    voxels = step.volume / float(np.prod(canvas.spacing(step.unit)))
    return canvas.each(step, lambda mask: masks.remove_small(mask, voxels))


@apply_step.register
def _(step: FillHoles, canvas: Canvas) -> Canvas:
    return canvas.each(step, lambda mask: masks.fill_holes(mask, step.per_slice))


@apply_step.register
def _(step: Smooth, canvas: Canvas) -> Canvas:
    array = contest.smooth(canvas.array, canvas.regions(step), step.radius, canvas.spacing(step.unit))
    return replace(canvas, array=array)


@apply_step.register
def _(step: Dilate, canvas: Canvas) -> Canvas:
    array = contest.dilate(canvas.array, canvas.regions(step), step.distance, canvas.spacing(step.unit))
    return replace(canvas, array=array)


@apply_step.register
def _(step: Erode, canvas: Canvas) -> Canvas:
    array = contest.erode(canvas.array, canvas.regions(step), step.distance, canvas.spacing(step.unit))
    return replace(canvas, array=array)


@apply_step.register
def _(step: Separate, canvas: Canvas) -> Canvas:
    found, spacing = _one_structure(step, canvas), canvas.spacing(step.unit)
    array, count = np.zeros(canvas.array.shape, np.uint32), 0
    for label, box in found:
        near = grown_box(box, (1,) * array.ndim, array.shape)
        mask = canvas.array[near] == label
        image = None if canvas.image is None else canvas.image[near]
        cut = objects.separate(mask, step.depth, spacing, step.along, image)
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
    return replace(canvas, array=objects.merge_tiles(canvas.array, tile, step.contact))


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
