"""Resampling from the volume's voxels to the network's and back, in exact coordinates, one axis at a time.

Network voxel n lies at (n + 0.5) / ratio - 0.5 of the volume: both grids share their outer borders. So a tile can be
resampled on its own and meets its neighbours without a seam.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.geometry.tiles import Span, mirrored

NEAR = 1.15
"""Voxels that differ by less than this factor are taken as they are: networks bear it, resampling costs sharpness."""


@dataclass(frozen=True)
class AxisSampling:
    """A stretch of one axis, and how to get the wanted positions from it.

    Parameters
    ----------
    span : (start, stop)
        The voxels to read.
    matrix : ndarray, float32, shape (wanted, stop - start), or None
        Rows add up to 1. None where the voxels read are those wanted.
    """

    span: Span
    matrix: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class AxisGrid:
    """One axis of the volume and of the network's grid on it.

    Parameters
    ----------
    length : int
        Voxels of the volume.
    ratio : float
        Network voxels per voxel of the volume. Exactly 1.0: nothing is resampled.
    """

    length: int
    ratio: float = 1.0

    @property
    def network_length(self) -> int:
        """Voxels of the network's grid, at least 1."""
        return max(1, round(self.length * self.ratio))

    @property
    def support(self) -> int:
        """How many network voxels around its position a voxel of the result is interpolated from."""
        return 0 if self.ratio == 1.0 else math.ceil(max(1.0, self.ratio))

    def seen(self, span: Span) -> AxisSampling:
        """How to read network voxels from the volume, mirrored where `span` lies outside."""
        if self.ratio == 1.0 and span[0] >= 0 and span[1] <= self.length:
            return AxisSampling(span)
        index = mirrored(*span, self.network_length)
        return _interpolation((index + 0.5) / self.ratio - 0.5, self.length, max(1.0, 1.0 / self.ratio))

    def filled(self, span: Span) -> Span:
        """The voxels of the volume that lie in a span of the network's grid. Spans that partition give a partition."""
        start, stop = (math.ceil(edge / self.ratio - 0.5) for edge in span)
        return start, self.length if span[1] == self.network_length else stop

    def result(self, span: Span, seen: Span) -> AxisSampling:
        """How to get voxels of the volume from those of a tile that saw `seen`; the part is relative to the tile."""
        if self.ratio == 1.0:
            return AxisSampling((span[0] - seen[0], span[1] - seen[0]))
        inside = max(seen[0], 0), min(seen[1], self.network_length)
        positions = (np.arange(*span) + 0.5) * self.ratio - 0.5
        part = _interpolation(positions - inside[0], inside[1] - inside[0], max(1.0, self.ratio))
        shift = inside[0] - seen[0]
        return AxisSampling((part.span[0] + shift, part.span[1] + shift), part.matrix)


def axis_ratio(ratio: float) -> float:
    """The ratio, or exactly 1.0 where voxels are near enough to the network's to need no resampling."""
    return 1.0 if 1 / NEAR <= ratio <= NEAR else ratio


def _interpolation(positions: npt.NDArray[np.floating], length: int, support: float) -> AxisSampling:
    """Linear interpolation at positions of an axis of `length` voxels; a triangle of `support` voxels to each side.

    A support above 1 averages over what a coarser voxel covers, so that shrinking does not alias. Positions beyond
    the outer voxels take their value.
    """
    positions = np.clip(positions, 0, length - 1)
    start = max(0, math.floor(positions.min() - support) + 1)
    stop = min(length, math.ceil(positions.max() + support))
    away = np.abs(positions[:, None] - np.arange(start, stop))
    weights = np.maximum(0, 1 - away / support)
    return AxisSampling((start, stop), (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))
