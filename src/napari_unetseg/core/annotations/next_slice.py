"""Advice on the next slice to paint: the one that brings paint nearest to what the model is unsure of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SliceUncertainty:
    """How unsure a model is on one slice, summed up.

    Parameters
    ----------
    rows, columns : ndarray, float64, (classes, Y) and (classes, X)
        Uncertainty, 0 to 1 a voxel, summed over each row and over each column, for each predicted class.
    """

    rows: npt.NDArray[np.float64]
    columns: npt.NDArray[np.float64]

    @classmethod
    def of(cls, labels: Array, uncertainty: npt.NDArray[np.uint8]) -> SliceUncertainty:
        """That of predicted labels (Y, X) and their uncertainty (Y, X), 0 to 255."""
        parts = [np.where(labels == label, uncertainty, 0) for label in range(int(labels.max(initial=0)) + 1)]
        rows, columns = (np.array([part.sum(axis) for part in parts]) / 255 for axis in (1, 0))
        return cls(rows, columns)


class UncertaintyMap:
    """The uncertainty of a volume's slices, as far as they are predicted.

    Parameters
    ----------
    shape : (z, y, x)
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._slices: dict[int, SliceUncertainty] = {}

    def put(self, z: int, uncertainty: SliceUncertainty) -> None:
        """Know a slice, or know it anew."""
        self._slices[z] = uncertainty

    def along(self, axis: int) -> npt.NDArray[np.float64]:
        """Doubt (slices along the axis, classes); 0 where nothing is predicted. Axes are 0 z, 1 y, 2 x."""
        classes = max((len(uncertainty.rows) for uncertainty in self._slices.values()), default=1)
        total = np.zeros((self._shape[axis], classes))
        for z, uncertainty in self._slices.items():
            if axis == 0:
                total[z, : len(uncertainty.rows)] = uncertainty.rows.sum(1)
            else:
                part = uncertainty.rows if axis == 1 else uncertainty.columns
                total[:, : len(part)] += part.T
        return total


def next_slice(uncertainty: npt.NDArray[np.float64], is_painted: npt.NDArray[np.bool_]) -> int | None:
    """The slice that would bring paint nearest to what the model is unsure of; None where every slice is painted.

    It has the largest ``Σ_i u(i) · max(0, d(i) − |i − z|)``: the greedy step of a weighted k-median. d is the distance
    to the nearest painted slice, and ``u(i) = Σ_c u_c(i) / Σ_j u_c(j)`` the uncertainty of voxels that are predicted as
    class c: each class counts as much, however small it is. Where nothing is predicted, all slices count the same.

    Parameters
    ----------
    uncertainty : ndarray (slices, classes)
    is_painted : ndarray of bool (slices,)
    """
    if is_painted.all():
        return None
    places = np.arange(len(is_painted))
    apart = np.abs(places[:, None] - places)
    painted = np.flatnonzero(is_painted)
    distance = apart[:, painted].min(axis=1) if painted.size else np.full(len(places), len(places))
    gain = (_share(uncertainty)[:, None] * np.maximum(0, distance[:, None] - apart)).sum(0)
    return int(np.argmax(np.where(is_painted, -1, gain)))


def _share(uncertainty: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What a slice has of the volume's uncertainty, summed over the classes."""
    total = uncertainty.sum(0)
    if not total.any():
        return np.ones(len(uncertainty))
    share: npt.NDArray[np.float64] = (uncertainty[:, total > 0] / total[total > 0]).sum(1)
    return share
