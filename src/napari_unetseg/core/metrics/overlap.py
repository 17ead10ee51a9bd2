"""Overlap of two label arrays, in voxels of each structure: one pass, no volume per structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.geometry.label_arrays import LabelArray, Numbers, present_labels, renumbering

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Overlap:
    """Voxel counts per slice and structure.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        The labels above 0 that were asked for or occur, in ascending order.
    predicted, reference, both : ndarray of int64, shape (Z, n)
        Voxels of each structure in the one, in the other, and in both at once.
    foreground : ndarray of int64, shape (3,)
        Voxels that are of any structure in the prediction, in the reference, and in both (of the same or not).
    voxels : int
        Voxels that were looked at: all of them, or the known ones.
    """

    labels: Numbers
    predicted: Counts
    reference: Counts
    both: Counts
    foreground: Counts
    voxels: int

    def dice_per_slice(self) -> npt.NDArray[np.float64]:
        """Dice of each slice and structure, shape (Z, n); NaN where a slice has the structure in neither."""
        with np.errstate(invalid="ignore"):
            dice: npt.NDArray[np.float64] = 2 * self.both / (self.predicted + self.reference)
        return dice


def count_overlap(
    predicted: LabelArray,
    reference: LabelArray,
    known: npt.NDArray[np.bool_] | None = None,
    labels: tuple[int, ...] = (),
) -> Overlap:
    """Count the voxels of every label in both arrays.

    Parameters
    ----------
    predicted, reference : ndarray of integers of 0 and above, shape (Z, Y, X)
    known : ndarray of bool, shape (Z, Y, X), optional
        Where the reference is known; the other voxels are left out.
    labels : tuple of int
        Labels to count even if they occur nowhere.
    """
    present = [present_labels(array) for array in (predicted, reference)]
    found = np.unique(np.concatenate([*present, np.asarray(labels, dtype=np.uint64)]))
    renumber = renumbering(found)
    rows = [
        _count_slice(renumber(one), renumber(other), None if known is None else known[z], len(found))
        for z, (one, other) in enumerate(zip(predicted, reference, strict=True))
    ]
    counts, foreground, voxels = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return Overlap(found, counts[:, 0], counts[:, 1], counts[:, 2], foreground.sum(axis=0), int(voxels.sum()))


def _count_slice(
    one: LabelArray, other: LabelArray, known: npt.NDArray[np.bool_] | None, count: int
) -> tuple[list[Counts], list[int], int]:
    one, other = (one.ravel(), other.ravel()) if known is None else (one[known], other[known])
    meet = np.flatnonzero((one > 0) & (other > 0))
    agree = one[meet]
    agree = agree[agree == other[meet]]
    counts = [np.bincount(region, minlength=count + 1)[1:] for region in (one, other, agree)]
    return counts, [int(counts[0].sum()), int(counts[1].sum()), len(meet)], one.size
