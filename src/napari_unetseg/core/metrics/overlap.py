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
    """Count the voxels of every label in both arrays; see `OverlapCount`."""
    count = OverlapCount(len(reference), labels)
    count.add(0, predicted, reference, known)
    return count.overlap


class OverlapCount:
    """Counts the voxels of every label in two volumes, box by box, in any order.

    Parameters
    ----------
    depth : int
        Slices of the volumes.
    labels : tuple of int
        Labels to count even if they occur nowhere.
    """

    def __init__(self, depth: int, labels: tuple[int, ...] = ()) -> None:
        self._labels = np.unique(np.asarray(labels, dtype=np.uint64))
        self._counts = np.zeros((3, depth, len(self._labels)), np.int64)
        self._foreground, self._voxels = np.zeros(3, np.int64), 0

    def add(
        self, z: int, predicted: LabelArray, reference: LabelArray, known: npt.NDArray[np.bool_] | None = None
    ) -> None:
        """Add a box that begins at slice `z`; each voxel once.

        Parameters
        ----------
        predicted, reference : ndarray of integers of 0 and above, shape (z, y, x)
        known : ndarray of bool, shape (z, y, x), optional
            Where the reference is known; the other voxels are left out.
        """
        self._know(present_labels(predicted), present_labels(reference))
        renumber = renumbering(self._labels)
        for i, (one, other) in enumerate(zip(predicted, reference, strict=True)):
            seen = None if known is None else known[i]
            counts, foreground, voxels = _count_slice(renumber(one), renumber(other), seen, len(self._labels))
            self._counts[:, z + i] += counts
            self._foreground += foreground
            self._voxels += voxels

    @property
    def overlap(self) -> Overlap:
        """What has been counted."""
        predicted, reference, both = self._counts
        return Overlap(self._labels, predicted, reference, both, self._foreground, self._voxels)

    def _know(self, *found: Numbers) -> None:
        """Make room for labels that were not there before."""
        labels = np.unique(np.concatenate([self._labels, *found]))
        if len(labels) > len(self._labels):
            counts = np.zeros((*self._counts.shape[:2], len(labels)), np.int64)
            counts[..., np.searchsorted(labels, self._labels)] = self._counts
            self._labels, self._counts = labels, counts


def _count_slice(
    one: LabelArray, other: LabelArray, known: npt.NDArray[np.bool_] | None, count: int
) -> tuple[list[Counts], list[int], int]:
    one, other = (one.ravel(), other.ravel()) if known is None else (one[known], other[known])
    meet = np.flatnonzero((one > 0) & (other > 0))
    agree = one[meet]
    agree = agree[agree == other[meet]]
    counts = [np.bincount(region, minlength=count + 1)[1:] for region in (one, other, agree)]
    return counts, [int(counts[0].sum()), int(counts[1].sum()), len(meet)], one.size
