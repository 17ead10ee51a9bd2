"""The U-Net as an architecture: what it takes to plan, predict, train and export one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, cast

import torch

from napari_unetseg.engine.networks import padding
from napari_unetseg.engine.networks.architecture import Architecture
from napari_unetseg.engine.networks.fused import FusedUNet, prepare
from napari_unetseg.engine.networks.network import Network, settings_from_json
from napari_unetseg.engine.networks.standalone import Standalone, standalone_source
from napari_unetseg.engine.networks.unets import unet
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings

CITATIONS = (
    {"text": "Ronneberger, Fischer and Brox 2015: U-Net.", "doi": "10.1007/978-3-319-24574-4_28"},
    {"text": "Çiçek et al. 2016: 3D U-Net.", "doi": "10.1007/978-3-319-46723-8_49"},
)
FACTORY = '''def unet(**fields: Any) -> UNet:
    """The network that the package describes."""
    return UNet(UNetSettings.from_json(fields))
'''


@dataclass(frozen=True)
class UNetArchitecture(Architecture[UNetSettings]):
    """One U-Net, in two or three dimensions."""

    title: ClassVar[str] = "U-Net"
    trains_whole: ClassVar[bool] = True
    keeps_structures: ClassVar[bool] = True

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """That of a card's fields; raises `SettingsError` where they do not fit."""
        return cls(settings_from_json(UNetSettings, fields))

    def build(self) -> UNet:
        """A U-Net of random weights."""
        return UNet(self.settings)

    def sample(self) -> UNet:
        """The same, padded: an unpadded one takes no small images."""
        return UNet(replace(self.settings, padded=True))

    @property
    def stride(self) -> tuple[int, ...]:
        """Product of the poolings."""
        return self.settings.stride

    @property
    def field_of_view(self) -> tuple[int, ...]:
        """Of the convolutions and what its poolings straddle; normalisation that measures the tile is left out."""
        return tuple(_reach(self.settings, axis) for axis in range(self.settings.dimensions))

    def bytes_per_voxel(self, dtype: torch.dtype) -> float:
        """Two images of the first width, or the outputs, and the input as float: see `FusedUNet`."""
        features = 2 * self.settings.widths[0] * dtype.itemsize
        outputs = (dtype.itemsize + 8) * self.settings.outputs
        return max(features, outputs) + (4 + dtype.itemsize) * self.settings.inputs

    @property
    def depends_on_tile(self) -> bool:
        """Instance and group norm measure the whole tile."""
        return self.settings.norm in ("instance", "group")

    @property
    def is_padded(self) -> bool:
        """Whether its convolutions keep the size."""
        return self.settings.padded

    def prepare(self, network: Network, device: torch.device, dtype: torch.dtype) -> FusedUNet:
        """A copy with batch norm folded into its convolutions, which computes in little memory."""
        return prepare(cast("UNet", network), device, dtype)

    def base(self, network: Network) -> UNet:
        """The U-Net itself."""
        return cast("UNet", network)

    def standalone(self) -> Standalone:
        """The source of `unets.unet`."""
        return Standalone(standalone_source([padding, unet], FACTORY), "unet", CITATIONS, ("unet",))


def _reach(settings: UNetSettings, axis: int) -> int:
    """The farthest of what any voxel of a pooling's grid sees along an axis."""
    positions = range(settings.stride[axis])
    seen = [_seen(settings, axis, 0, position, position) for position in positions]
    return max(max(p - first, last - p) for p, (first, last) in zip(positions, seen, strict=True))


def _seen(settings: UNetSettings, axis: int, level: int, first: int, last: int) -> tuple[int, int]:
    """What the voxels `first` to `last` of a level's result see of the level's input."""
    block = 2 * (settings.kernels[level][axis] // 2)
    first, last = first - block, last + block
    if level == len(settings.widths) - 1:
        return first, last
    pool = settings.pools[level][axis]
    below = _seen(settings, axis, level + 1, first // pool, last // pool)
    return min(below[0] * pool, first) - block, max(below[1] * pool + pool - 1, last) + block
