"""Normalisation of intensities for a network: measured once over the volume, applied tile by tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.models.card import Normalisation
from napari_unetseg.core.volume import Volume

SAMPLE = 2**22
"""Voxels per channel, at most, that percentiles and means are measured on."""
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


def normaliser(volume: Volume, normalisation: Normalisation, mix: npt.NDArray[np.float64] | None = None) -> Normaliser:
    """Measure a volume, on an evenly spaced sample of at most `SAMPLE` voxels per channel.

    A channel that is constant, or holds no finite value at all, becomes 0 everywhere.
    """
    sample = mixed(sampled(volume.array), mix)
    low, high, fill = np.array([_range(channel, normalisation) for channel in sample]).T
    with np.errstate(divide="ignore", over="ignore"):
        scale = 1.0 / (high - low)
    return Normaliser(low, np.where(np.isfinite(scale), scale, 0.0), fill, normalisation.method == "window", mix)


def sampled(array: npt.NDArray[Any], most: int = SAMPLE) -> npt.NDArray[Any]:
    """Every n-th voxel along z, y and x, so that at most about `most` are left in a channel (C, Z, Y, X)."""
    axes = sum(length > 1 for length in array.shape[1:])
    step = math.ceil((math.prod(array.shape[1:]) / most) ** (1 / max(axes, 1)))
    return array[:, ::step, ::step, ::step]


def count_not_finite(array: npt.NDArray[Any]) -> int:
    """How many values are NaN or infinite, counted slice by slice."""
    if array.dtype.kind != "f":
        return 0
    return sum(int(part.size - np.isfinite(part).sum()) for channel in array for part in channel)


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
