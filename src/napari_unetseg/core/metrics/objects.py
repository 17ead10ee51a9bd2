"""Detection scores of numbered objects, from one table of which object overlaps which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import fastremap
import numpy as np
import numpy.typing as npt
from scipy import sparse

from napari_unetseg.core.geometry.label_arrays import LabelArray, present_labels, renumbering
from napari_unetseg.core.metrics.pairing import Pair
from napari_unetseg.core.voxels import LabelSource

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.5, 0.55, … 0.95."""
SUBSTANTIAL = 0.1
"""A piece counts in a split or a merge from this share of the object that it belongs to."""


@dataclass(frozen=True)
class ObjectScores:
    """Figures of numbered objects. All of them are NaN, and the counts 0, where neither volume has an object.

    Two objects match where their IoU is above the threshold; from 0.5 on, each has at most one match.

    Parameters
    ----------
    predicted, reference : int
        Objects in each volume.
    matched : int
        Matches at IoU 0.5.
    f1 : float
        2 matched / (predicted + reference), at IoU 0.5.
    panoptic_quality : float
        Sum of the matches' IoU over (predicted + reference) / 2, at IoU 0.5; arXiv 1801.00868.
    mean_f1, mean_panoptic_quality : float
        Means of both over the thresholds 0.5, 0.55, … 0.95.
    splits : int
        Reference objects that two or more predicted ones share: each lies mostly in it and covers a tenth of it.
    merges : int
        Predicted objects that join two or more reference ones, counted likewise.
    """

    predicted: int
    reference: int
    matched: int
    f1: float
    panoptic_quality: float
    mean_f1: float
    mean_panoptic_quality: float
    splits: int
    merges: int


def match(predicted: LabelSource, reference: LabelSource) -> ObjectScores:
    """Score numbered objects; every value above 0 is one object.

    Raises
    ------
    InputError
        If shapes, spacings, orientations or positions differ.
    """
    return score_objects(Pair.of(predicted, reference))


def score_objects(pair: Pair) -> ObjectScores:
    """Score two label volumes on one grid, box by box; see `match`."""
    table = contingency(arrays for _, arrays in pair.parts())
    sizes, reference_sizes = (table.sum(axis=axis)[1:] for axis in (1, 0))
    overlaps = table[1:, 1:].tocoo()
    one, other, shared = overlaps.row, overlaps.col, overlaps.data
    iou = shared / (sizes[one] + reference_sizes[other] - shared)
    half = (len(sizes) + len(reference_sizes)) / 2
    with np.errstate(invalid="ignore"):
        f1 = np.array([np.count_nonzero(iou > threshold) for threshold in THRESHOLDS]) / np.float64(half)
        quality = np.array([iou[iou > threshold].sum() for threshold in THRESHOLDS]) / np.float64(half)
    of_one, of_other = shared / sizes[one], shared / reference_sizes[other]
    return ObjectScores(
        predicted=len(sizes),
        reference=len(reference_sizes),
        matched=int(np.count_nonzero(iou > THRESHOLDS[0])),
        f1=float(f1[0]),
        panoptic_quality=float(quality[0]),
        mean_f1=float(f1.mean()),
        mean_panoptic_quality=float(quality.mean()),
        splits=_shared_by_several(other[(of_one > 0.5) & (of_other >= SUBSTANTIAL)]),
        merges=_shared_by_several(one[(of_other > 0.5) & (of_one >= SUBSTANTIAL)]),
    )


def contingency(parts: Iterable[tuple[LabelArray, LabelArray]]) -> sparse.csr_array:
    """How many voxels have the i-th label in the one and the j-th in the other, 0 first.

    Parameters
    ----------
    parts : iterable of two ndarrays of integers, shape (z, y, x)
        Boxes of two volumes that partition them, in any order.

    Returns
    -------
    csr_array of int64, shape (objects of the one + 1, objects of the other + 1)
        Row and column 0 are the background, whether it occurs or not.
    """
    met = np.concatenate([np.zeros((0, 3), np.uint64), *(_meetings(*part) for part in parts)])
    labels = [np.unique(np.append(met[:, side], np.uint64(0))) for side in (0, 1)]
    row, column = (np.searchsorted(found, met[:, side]) for side, found in enumerate(labels))
    shape = (len(labels[0]), len(labels[1]))
    return sparse.coo_array((met[:, 2].astype(np.int64), (row, column)), shape=shape).tocsr()


def _meetings(predicted: LabelArray, reference: LabelArray) -> npt.NDArray[np.uint64]:
    """Which labels meet, and in how many voxels: rows of one's label, other's label, count; slice by slice."""
    labels = [np.concatenate([np.zeros(1, np.uint64), present_labels(array)]) for array in (predicted, reference)]
    renumber, renumber_reference = (renumbering(found[1:]) for found in labels)
    width, rows = len(labels[1]), []
    for one, other in zip(predicted, reference, strict=True):
        key = renumber(one).astype(np.int64) * width + renumber_reference(other)
        found, count = fastremap.unique(key, return_counts=True)
        row, column = np.divmod(found, width)
        rows.append(np.stack([labels[0][row], labels[1][column], count.astype(np.uint64)], axis=1))
    return np.concatenate(rows)


def _shared_by_several(owners: npt.NDArray[np.int64]) -> int:
    """How many objects occur twice or more among `owners`."""
    return int(np.count_nonzero(np.bincount(owners) > 1))
