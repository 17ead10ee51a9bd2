"""The extent of a volume that a preview of one slice needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.postprocess.context import spacing_in
from napari_unetseg.core.postprocess.morphology import TRUNCATE
from napari_unetseg.core.steps import Crf, Dilate, Erode, FillHoles, Prior, Smooth, Step


def for_one_slice(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps as they are previewed: a crf looks at the slice alone, else it would take too long."""
    return tuple(step.model_copy(update={"per_slice": True}) if isinstance(step, Crf) else step for step in steps)


def slices_for(steps: Sequence[Step], grid: Grid, z: int, depth: int) -> tuple[int, int] | None:
    """From where to where along z labels are needed, to clean slice `z` of `depth` as it is in the whole volume.

    Returns
    -------
    (start, stop), or None
        None: the whole volume, because a step looks at connected parts or numbers.
    """
    reaches = [_reach(step, grid) for step in steps]
    if None in reaches:
        return None
    reach = sum(filter(None, reaches))
    return max(0, z - reach), min(depth, z + reach + 1)


def _reach(step: Step, grid: Grid) -> int | None:
    """How many slices to both sides a slice depends on; None: on all."""
    match step:
        case Prior() | Crf(per_slice=True) | FillHoles(per_slice=True):
            return 0
        case Smooth():
            return math.ceil(TRUNCATE * step.radius / spacing_in(step.unit, grid)[0]) + 1
        case Dilate() | Erode():
            return math.ceil(step.distance / spacing_in(step.unit, grid)[0]) + 1
    return None
