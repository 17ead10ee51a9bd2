"""Summary of a segmentation: how much there is of each structure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from napari_unetseg.core.volume import Labels


@dataclass(frozen=True)
class StructureSummary:
    """How much there is of one structure.

    Parameters
    ----------
    voxels : int
    size : float or None
        Volume in the grid's unit cubed, or area squared where there is one slice; None without a physical spacing.
    objects : int or None
        How many numbered objects; None where the labels are classes.
    """

    name: str
    colour: str
    voxels: int
    size: float | None
    objects: int | None


def summarise(labels: Labels) -> list[StructureSummary]:
    """Count every structure; one that was not found has 0 voxels."""
    counts = np.bincount(labels.array.reshape(-1))
    if labels.are_objects:
        objects = int(np.count_nonzero(counts[1:]))
        return [_summary(labels, 0, int(counts[1:].sum()), objects)]
    padded = np.pad(counts, (0, max((s.label + 1 for s in labels.structures), default=0)))
    return [_summary(labels, i, int(padded[s.label]), None) for i, s in enumerate(labels.structures)]


def _summary(labels: Labels, index: int, voxels: int, objects: int | None) -> StructureSummary:
    structure, grid = labels.structures[index], labels.grid
    spacing = grid.spacing[1:] if labels.array.shape[0] == 1 else grid.spacing
    size = voxels * math.prod(spacing) if grid.is_physical else None
    return StructureSummary(structure.name, structure.colour, voxels, size, objects)
