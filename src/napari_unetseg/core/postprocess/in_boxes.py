"""Clean-up of labels that are wherever they are, box by box where a step looks no farther than around each voxel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

from napari_unetseg.core.geometry.tiles import triple
from napari_unetseg.core.grid import Box, Grid, Triple, place
from napari_unetseg.core.postprocess.apply import clean, iter_clean
from napari_unetseg.core.postprocess.context import spacing_in
from napari_unetseg.core.postprocess.morphology import TRUNCATE
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.steps import Dilate, Erode, FillHoles, Smooth, Step
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.core.voxels import LabelSource, Sink, blocks, whole, within

STAGE = "Cleaning up"


@dataclass(frozen=True)
class Cleaned:
    """What the labels in the sink are.

    Parameters
    ----------
    structures : tuple of Structure
    are_objects : bool
    notes : tuple of str
        What the user should know: that all labels were held in memory.
    """

    structures: tuple[Structure, ...]
    are_objects: bool
    notes: tuple[str, ...] = ()


def iter_clean_into(sink: Sink, labels: LabelSource, steps: Sequence[Step]) -> Job[Cleaned]:
    """Apply clean-up steps that need labels alone, and write the result in boxes; yields before each box.

    Steps that change a voxel by what lies near it are applied to boxes that see so far beyond themselves. Where a
    step asks for more, such as the size of connected parts, all labels are held in memory, and a note says so. The
    result is that of `apply.clean` either way.

    Raises
    ------
    SettingsError
        As `apply.clean`; also if a step needs more than labels.
    """
    reaches = [reach(step, labels.grid) for step in steps]
    far = [step.kind.replace("_", " ") for step, one in zip(steps, reaches, strict=True) if one is None]
    if far:
        return (yield from _gathered(sink, labels, steps, far))
    halo = [sum(lengths) for lengths in zip((0.0, 0.0, 0.0), *(one for one in reaches if one), strict=True)]
    boxes = list(blocks(labels))
    for done, box in enumerate(boxes):
        yield Progress(done, len(boxes), STAGE)
        seen = triple(
            (int(max(0, start - more)), int(min(length, stop + more)))
            for (start, stop), more, length in zip(box, halo, labels.shape, strict=True)
        )
        cleaned = clean(_part(labels, seen), steps).array
        sink.write(box, cleaned[place(within(box, seen))])
    yield Progress(len(boxes), len(boxes), STAGE)
    return Cleaned(labels.structures, labels.are_objects)


def _gathered(sink: Sink, labels: LabelSource, steps: Sequence[Step], far: list[str]) -> Job[Cleaned]:
    cleaned = yield from iter_clean(_part(labels, whole(labels.shape)), steps)
    for box in blocks(labels):
        sink.write(box, cleaned.read(box))
    note = f"All labels were held in memory at once, for: {', '.join(far)}."
    return Cleaned(cleaned.structures, cleaned.are_objects, (note,))


@singledispatch
def reach(step: Step, grid: Grid) -> Triple | None:
    """How many voxels along z, y and x a step looks around each; None where it must see everything."""
    return None


@reach.register
def _(step: FillHoles, grid: Grid) -> Triple | None:
    return (0.0, math.inf, math.inf) if step.per_slice else None


@reach.register
def _(step: Smooth, grid: Grid) -> Triple | None:
    return triple(math.ceil(TRUNCATE * step.radius / size) + 1.0 for size in spacing_in(step.unit, grid))


@reach.register(Dilate)
@reach.register(Erode)
def _(step: Dilate | Erode, grid: Grid) -> Triple | None:
    return triple(math.ceil(step.distance / size) + 1.0 for size in spacing_in(step.unit, grid))


def _part(labels: LabelSource, box: Box) -> Labels:
    """A box of the labels in memory, with the whole one's grid: only its spacing matters."""
    return Labels(labels.read(box), labels.grid, labels.structures, labels.are_objects, labels.name)
