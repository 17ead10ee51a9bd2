"""The pixel classifier as an architecture: predicted slice by slice, and made by painting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, cast

import torch

from napari_unetseg.core.models.normalisation import Normaliser
from napari_unetseg.core.voxels import Boxes
from napari_unetseg.engine.networks.architecture import Architecture, Scorer
from napari_unetseg.engine.networks.network import Network, settings_from_json
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier, PixelClassifierSettings
from napari_unetseg.engine.networks.pixel.features import FeatureSource
from napari_unetseg.engine.networks.unets.unet import UNet
from napari_unetseg.engine.networks.unets.unet_architecture import UNetArchitecture

MARGIN = 32
"""Pixels that the U-Nets' answer depends on, in effect, beyond the filters' reach."""


@dataclass(frozen=True)
class PixelClassifierArchitecture(Architecture[PixelClassifierSettings]):
    """One pixel classifier: features of a slice, a head on them, and perhaps a refiner."""

    title: ClassVar[str] = "pixel classifier"
    predicts: ClassVar[Literal["tiles", "slices"]] = "slices"

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """That of a card's fields; raises `SettingsError` where they do not fit."""
        return cls(settings_from_json(PixelClassifierSettings, fields))

    def build(self) -> PixelClassifier:
        """A pixel classifier of random weights."""
        return PixelClassifier.from_settings(self.settings)

    @property
    def stride(self) -> tuple[int, ...]:
        """Of its U-Nets, in the plane."""
        strides = [net.stride for net in self._unets]
        plane = tuple(max((stride[axis] for stride in strides), default=1) for axis in (0, 1))
        return (1, *plane) if self.settings.dimensions == 3 else plane

    @property
    def field_of_view(self) -> tuple[int, ...]:
        """Of its filters; in the plane also what its U-Nets see, in effect."""
        deep, flat = self.settings.filters.halo[:2]
        plane = (flat + (MARGIN if self._unets else 0),) * 2
        return (deep, *plane) if self.settings.dimensions == 3 else plane

    def bytes_per_voxel(self, dtype: torch.dtype) -> float:
        """Features, hidden layers and the U-Nets' finest images of a slice; they are float32 whatever `dtype` is."""
        settings = self.settings
        widths = [net.settings.widths[0] for net in self._unets]
        return 4.0 * (2 * settings.filters.outputs + 3 * settings.hidden + 3 * sum(widths) + 3 * settings.outputs)

    @property
    def flops_per_voxel(self) -> float:
        """Of its U-Nets and its head, on which most of the time is spent; the filters are left out."""
        settings = self.settings
        levels = settings.base.widths[: settings.levels] if settings.base is not None else ()
        shares = [1.0]
        for pool in settings.base.pools if settings.base is not None else ():
            shares.append(shares[-1] / (pool[0] * pool[1]))
        looked_at = settings.filters.outputs + sum(w * s for w, s in zip(levels, shares, strict=False))
        head = 2 * settings.hidden * (looked_at + settings.outputs)
        return head + sum(net.flops_per_voxel for net in self._unets)

    def training_bytes_per_voxel(self, dtype: torch.dtype) -> float:
        """Of the refiner, which is trained on patches; of a head alone, the features of a painted pixel."""
        if self.settings.refiner is not None:
            return UNetArchitecture(self.settings.refiner).training_bytes_per_voxel(dtype)
        levels = self.settings.base.widths[: self.settings.levels] if self.settings.base is not None else ()
        return 4.0 * (self.settings.filters.outputs + sum(levels) + 2 * self.settings.hidden)

    def prepare(self, network: Network, device: torch.device, dtype: torch.dtype) -> Network:
        """The network itself, on the device: where half precision is trusted, its U-Nets take it by themselves."""
        return network.to(device).eval()

    def scorer(self, network: Network, volume: Boxes, read: Normaliser, device: torch.device) -> Scorer:
        """Scores of the features of a slice, which are not kept."""
        classifier = cast("PixelClassifier", network)
        source = FeatureSource(volume, read, classifier.extractor, device, room=0)
        return lambda z: cast("torch.Tensor", classifier(source[z]))

    def base(self, network: Network) -> UNet | None:
        """The frozen U-Net whose features it looks at."""
        return cast("PixelClassifier", network).extractor.base

    def needs_float32(self, name: str) -> bool:
        """The head undoes the features' scale."""
        return name.startswith("head.")

    @property
    def _unets(self) -> list[UNetArchitecture]:
        return [UNetArchitecture(net) for net in (self.settings.base, self.settings.refiner) if net is not None]
