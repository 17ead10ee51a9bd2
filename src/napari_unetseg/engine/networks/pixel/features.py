"""Features of a pixel classifier, slice by slice: hand-made features, joined with those of a frozen 2D U-Net."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from napari_unetseg.core.models.normalisation import Normaliser
from napari_unetseg.core.voxels import Boxes, whole
from napari_unetseg.engine.networks.fused import LAYOUT
from napari_unetseg.engine.networks.padding import grow_to_multiple
from napari_unetseg.engine.networks.pixel.filters import Filters, FilterSettings
from napari_unetseg.engine.networks.precision import half_precision
from napari_unetseg.engine.networks.unets.unet import UNet

CACHE_BYTES = 768 * 1024**2
"""What cached features may take; a slice of 512×512 takes about 80 MB."""
PLANES_BYTES = 64 * 1024**2
"""What normalised slices may take, which the filters of the next slices look through."""
TOGETHER = 16
"""Channels that are interpolated at once."""
GATHERED_BYTES = 256 * 1024**2
"""What features of single pixels may take: of large slices, only those of painted pixels can all be kept."""


@dataclass(frozen=True)
class SliceFeatures:
    """Features of one slice.

    Parameters
    ----------
    image : tensor, float32, (C, Y, X)
        The normalised slice itself.
    hand : tensor, float32, (F, Y, X)
        Hand-made features.
    levels : tuple of tensor, float32, (W, Yl, Xl)
        The U-Net's decoder levels, finest first, each at its own resolution; they begin where the slice begins and
        may reach beyond its end. Empty without a U-Net.
    strides : tuple of (y, x)
        Pixels of the slice for one of each level's.
    """

    image: torch.Tensor
    hand: torch.Tensor
    levels: tuple[torch.Tensor, ...] = ()
    strides: tuple[tuple[int, int], ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(t.element_size() * t.nelement() for t in (self.image, self.hand, *self.levels))

    def at(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Features of single pixels: hand-made ones, then each level's, interpolated linearly.

        Parameters
        ----------
        y, x : tensor, int64, (P,)

        Returns
        -------
        tensor, float32, (P, F + ΣW)
        """
        parts = [self.hand[:, y, x]]
        for level, (stride_y, stride_x) in zip(self.levels, self.strides, strict=True):
            size = torch.tensor([level.shape[-1] * stride_x, level.shape[-2] * stride_y], device=x.device)
            place = (2 * torch.stack([x, y], dim=-1) + 1) / size - 1  # of pixel centres, from -1 to 1 over the level
            sampled = F.grid_sample(
                level[None], place[None, None].to(level), padding_mode="border", align_corners=False
            )
            parts.append(sampled[0, :, 0])
        return torch.cat(parts).T

    def add_mapped(self, maps: Sequence[torch.Tensor], total: torch.Tensor) -> None:
        """Add linear maps (K, W) of the levels, or of the finest, to a total (K, Y, X) of the slice's pixels.

        The levels are mapped at their own resolution, and the result is interpolated linearly; a few channels at a
        time, for all of a large slice's would be more memory than its features.
        """
        height, width = self.hand.shape[-2:]
        for weights, level, (stride_y, stride_x) in zip(maps, self.levels, self.strides, strict=False):
            size = [level.shape[-2] * stride_y, level.shape[-1] * stride_x]
            for start in range(0, len(weights), TOGETHER):
                few = slice(start, start + TOGETHER)
                mapped = (weights[few] @ level.flatten(1)).reshape(1, -1, *level.shape[1:])
                total[few] += F.interpolate(mapped, size, mode="bilinear", align_corners=False)[0, :, :height, :width]


class Extractor(nn.Module):
    """Computes the features of a slice. Nothing in it learns.

    Parameters
    ----------
    filters : FilterSettings
    base : UNet or None
        A 2D network of one input channel; it sees the mean of the image's channels.
    """

    def __init__(self, filters: FilterSettings, base: UNet | None = None) -> None:
        super().__init__()
        self.filters = Filters(filters)
        self.base = base.eval().requires_grad_(False) if base is not None else None
        if self.base is not None:
            self.base.to(memory_format=LAYOUT[self.base.settings.dimensions])  # type: ignore[call-overload]

    @property
    def widths(self) -> tuple[int, ...]:
        """How many features the hand-made ones and each level of the U-Net are, the finest level first."""
        levels = self.base.settings.widths if self.base is not None else ()
        return (self.filters.settings.outputs, *levels)

    @torch.no_grad()
    def filtered(self, slab: torch.Tensor, row: int) -> SliceFeatures:
        """Hand-made features of the slice `row` of a slab of slices (C, Z, Y, X), float32 and normalised."""
        hand = self.filters(slab[None], slice(row, row + 1))[0, :, 0]
        return SliceFeatures(slab[:, row].clone(), hand)  # a view would keep the whole slab

    @torch.no_grad()
    def forward(self, filtered: SliceFeatures) -> SliceFeatures:
        """The same features with those of the U-Net."""
        image = filtered.image
        if self.base is None:
            return filtered
        grey = grow_to_multiple(image.mean(0, keepdim=True)[None], self.base.settings.stride)
        with half_precision(self.base, tuple(grey.shape), image.device):
            levels = self.base.features(grey.contiguous(memory_format=LAYOUT[self.base.settings.dimensions]))
        strides = [(1, 1)]
        for pool_y, pool_x in self.base.settings.pools:
            strides.append((strides[-1][0] * pool_y, strides[-1][1] * pool_x))
        return replace(filtered, levels=tuple(level[0].float() for level in reversed(levels)), strides=tuple(strides))


@dataclass(frozen=True)
class _Gathered:
    """Features (P, F) of pixels of one slice, by their numbers (P,) in rising order."""

    pixels: torch.Tensor
    features: torch.Tensor

    @classmethod
    def of(cls, pixels: torch.Tensor, features: torch.Tensor) -> Self:
        order = pixels.argsort()
        return cls(pixels[order], features[order.to(features.device)])

    def rows_of(self, pixels: torch.Tensor) -> torch.Tensor | None:
        """Where these pixels are; None unless all of them are there."""
        rows = torch.searchsorted(self.pixels, pixels).clamp_max(len(self.pixels) - 1)
        return rows.to(self.features.device) if torch.equal(self.pixels[rows], pixels) else None


class FeatureSource:
    """The features of a volume's slices, computed when they are asked for and kept while there is room.

    Parameters
    ----------
    volume : Boxes
        An image; boxes of it are (C, z, y, x).
    read : Normaliser
        Turns intensities into the network's input.
    extractor : Extractor
    device : torch.device
    room : int
        Bytes that cached features may take.
    """

    def __init__(
        self,
        volume: Boxes,
        read: Normaliser,
        extractor: Extractor,
        device: torch.device,
        room: int = CACHE_BYTES,
    ) -> None:
        self.volume, self.read, self.device, self.room = volume, read, device, room
        self.extractor = extractor.to(device)
        self.wanted: frozenset[int] = frozenset()
        """Slices that will be asked for again and again: where room is scarce, the others are given up first."""
        self._features: OrderedDict[int, SliceFeatures] = OrderedDict()
        self._planes: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._gathered: OrderedDict[int, _Gathered] = OrderedDict()

    def __len__(self) -> int:
        return self.volume.shape[0]

    def __getitem__(self, z: int) -> SliceFeatures:
        """Features of slice `z`."""
        if z not in self._features:
            room = self.room - max((f.nbytes for f in self._features.values()), default=0)  # for the one that comes
            while self._features and sum(f.nbytes for f in self._features.values()) > room:
                del self._features[
                    next((i for i in self._features if i not in self.wanted), next(iter(self._features)))
                ]
            self._features[z] = self._computed(z)
        self._features.move_to_end(z)
        return self._features[z]

    def at(self, z: int, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Features (P, F + ΣW) of pixels (P,) of a slice, kept where all were asked for before."""
        pixels = (y << 32) | x  # whatever the slice's width: magnified sources have another one than their volume
        kept = self._gathered.get(z)
        if kept is not None and (rows := kept.rows_of(pixels)) is not None:
            self._gathered.move_to_end(z)
            return kept.features[rows]
        features = self[z].at(y.to(self.device), x.to(self.device))
        if len(pixels):
            self._gathered[z] = _Gathered.of(pixels, features)
            self._gathered.move_to_end(z)
        while self._gathered and sum(kept.features.nbytes for kept in self._gathered.values()) > GATHERED_BYTES:
            self._gathered.popitem(last=False)
        return features

    def _computed(self, z: int) -> SliceFeatures:
        features: SliceFeatures = self.extractor(self.extractor.filtered(*self._slab(z)))
        return features

    def _slab(self, z: int) -> tuple[torch.Tensor, int]:
        """The slices (C, Z, Y, X) that the filters look through for slice `z`, and which of them it is."""
        reach = self.extractor.filters.settings.halo[0]
        start, stop = max(0, z - reach), min(len(self), z + reach + 1)
        return torch.stack([self._plane(i) for i in range(start, stop)], dim=1), z - start

    def _plane(self, z: int) -> torch.Tensor:
        """The normalised slice (C, Y, X); as many are kept as the filters look through."""
        if z not in self._planes:
            _, rows, columns = whole(self.volume.shape)
            values = self.read(np.asarray(self.volume.read(((z, z + 1), rows, columns))))
            self._planes[z] = torch.from_numpy(values)[:, 0].to(self.device)
            most = min(PLANES_BYTES // self._planes[z].nbytes, 2 * self.extractor.filters.settings.halo[0] + 2)
            while len(self._planes) > max(1, most):
                self._planes.popitem(last=False)
        self._planes.move_to_end(z)
        return self._planes[z]


class MagnifiedSource(FeatureSource):
    """The features of a source's slices at another size along y and x; computed anew each time.

    Parameters
    ----------
    source : FeatureSource
    factor : float
        Above 1: larger.
    """

    def __init__(self, source: FeatureSource, factor: float) -> None:
        super().__init__(source.volume, source.read, source.extractor, source.device, room=0)
        self.factor = factor

    def _plane(self, z: int) -> torch.Tensor:
        plane = super()._plane(z)
        size = _magnified(plane.shape[1:], self.factor)
        return F.interpolate(plane[None], size, mode="bilinear", align_corners=False, antialias=True)[0]


def magnified_paint(painted: npt.NDArray[Any], factor: float) -> npt.NDArray[Any]:
    """Painted labels (Z, Y, X) as they lie on the slices of a `MagnifiedSource`."""
    size = _magnified(painted.shape[1:], factor)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, painted.shape[1:], strict=True)
    )
    return np.ascontiguousarray(painted[:, rows][:, :, columns])


def _magnified(size: Sequence[int], factor: float) -> list[int]:
    return [max(1, round(length * factor)) for length in size]
