"""Normalisation of intensities for a network: measured once over the volume, applied tile by tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.models.card import Normalisation
from napari_unetseg.core.voxels import VoxelSource, blocks

SAMPLE = 2**22
"""Voxels per channel, at most, that percentiles and means are measured on."""
MOST_READ = 2**34
"""Voxels of a volume, at most, that is read from end to end to be measured."""
BLOCKS = 128
"""Places where a larger one is measured."""
LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""


@dataclass(frozen=True)
class Normaliser:
    """Turns intensities into network input: ``(value - offset) * scale``, per channel.

    Parameters
    ----------
    offset, scale, fill : ndarray, float64, shape (C,)
        `fill` stands in for values that are not finite, before they are scaled.
    clip : bool
        Whether results are held between 0 and 1.
    mix : ndarray, float64, shape (C, channels of the volume), or None
        Weights that make the network's channels from the volume's; None leaves them as they are.
    """

    offset: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    fill: npt.NDArray[np.float64]
    clip: bool = False
    mix: npt.NDArray[np.float64] | None = None

    def __call__(self, part: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Normalise a part of the volume.

        Parameters
        ----------
        part : ndarray, shape (channels of the volume, Z, Y, X)

        Returns
        -------
        ndarray, float32, shape (C, Z, Y, X)
            Finite everywhere.
        """
        values = mixed(part, self.mix)
        if values.dtype.kind == "f":
            values = np.where(np.isfinite(values), values, _column(self.fill, values.dtype))
        values = (values - _column(self.offset, values.dtype)) * _column(self.scale, values.dtype)
        if self.clip:
            np.clip(values, 0, 1, out=values)
        result: npt.NDArray[np.float32] = values.astype(np.float32, copy=False)
        return result


def normaliser(
    source: VoxelSource, normalisation: Normalisation, mix: npt.NDArray[np.float64] | None = None
) -> Normaliser:
    """Measure a volume, on an evenly spaced sample of at most `SAMPLE` voxels per channel.

    The same voxels are taken wherever they are kept. A channel that is constant, or holds no finite value at all,
    becomes 0 everywhere.
    """
    sample = mixed(sampled(source, SAMPLE), mix)
    low, high, fill = np.array([_range(channel, normalisation) for channel in sample]).T
    with np.errstate(divide="ignore", over="ignore"):
        scale = 1.0 / (high - low)
    return Normaliser(low, np.where(np.isfinite(scale), scale, 0.0), fill, normalisation.method == "window", mix)


def sampled(source: VoxelSource, most: int) -> npt.NDArray[Any]:
    """Every n-th voxel along z, y and x (C, z, y, x), so that at most about `most` are left in a channel.

    Of more than `MOST_READ` voxels, whole blocks are taken instead, evenly spread: of chunks on disk, every n-th
    voxel needs them all.
    """
    if math.prod(source.shape) > MOST_READ:
        return _of_blocks(source, most)
    axes = sum(length > 1 for length in source.shape)
    step = math.ceil((math.prod(source.shape) / most) ** (1 / max(axes, 1)))
    sample = np.empty((len(source.channels), *(-(-length // step) for length in source.shape)), source.dtype)
    for box in blocks(source):
        first = [-(-start // step) for start, _ in box]
        inside = tuple(slice(i * step - start, None, step) for i, (start, _) in zip(first, box, strict=True))
        if all(i * step < stop for i, (_, stop) in zip(first, box, strict=True)):
            values = source.read(box)[:, *inside]
            sample[:, *(slice(i, i + n) for i, n in zip(first, values.shape[1:], strict=True))] = values
    return sample


def _of_blocks(source: VoxelSource, most: int) -> npt.NDArray[Any]:
    """The voxels of `BLOCKS` boxes around points that are spread evenly (C, 1, 1, voxels).

    The points are those of a Halton sequence, DOI 10.1007/BF01386213: they fill the volume evenly, and are always
    the same.
    """
    from scipy.stats import qmc  # slow to import

    side = max(1, round((most / BLOCKS) ** (1 / 3)))
    parts = []
    for place in qmc.Halton(d=3, scramble=False).random(BLOCKS):
        starts = [int(p * max(1, length - side + 1)) for p, length in zip(place, source.shape, strict=True)]
        z, y, x = ((start, min(start + side, length)) for start, length in zip(starts, source.shape, strict=True))
        parts.append(source.read((z, y, x)).reshape(len(source.channels), -1))
    return np.concatenate(parts, axis=1)[:, None, None]


def count_not_finite(source: VoxelSource) -> int:
    """How many values are NaN or infinite, counted block by block; of whole numbers nothing is read."""
    if source.dtype.kind != "f":
        return 0
    parts = (source.read(box) for box in blocks(source))
    return sum(int(part.size - np.isfinite(part).sum()) for part in parts)


def mixed(part: npt.NDArray[Any], mix: npt.NDArray[np.float64] | None) -> npt.NDArray[Any]:
    """The part as floats, wide enough for its values, with its channels mixed."""
    exact = part.dtype.itemsize <= 2 or part.dtype == np.float32
    values = part.astype(np.float32 if exact else np.float64)
    return values if mix is None else np.tensordot(mix.astype(values.dtype), values, axes=1)


def _range(channel: npt.NDArray[Any], normalisation: Normalisation) -> tuple[float, float, float]:
    """What becomes 0, what becomes 1, and what replaces values that are not finite; `channel` may be reordered."""
    known = np.isfinite(channel)
    finite = channel.ravel() if known.all() else channel[known]
    if finite.size == 0:
        return 0.0, 0.0, 0.0
    median = float(np.median(finite, overwrite_input=True))
    if normalisation.method == "window":
        return normalisation.low, normalisation.high, median
    if finite.min() == finite.max():
        return median, median, median
    if normalisation.method == "zscore":
        mean = float(finite.mean(dtype=np.float64))
        return mean, mean + float(finite.std(dtype=np.float64)), median
    low, high = np.percentile(finite, (normalisation.low, normalisation.high), overwrite_input=True)
    return float(low), float(high), median


def _column(values: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return values.astype(dtype)[:, None, None, None]
