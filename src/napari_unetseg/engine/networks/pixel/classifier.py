"""The pixel classifier: a head on joined features, and a U-Net that refines its answer by what lies around."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self, cast

import torch
from torch import nn

from napari_unetseg.core.models.card import PIXEL_CLASSIFIER
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.networks.padding import grow_to_multiple
from napari_unetseg.engine.networks.pixel.features import Extractor, SliceFeatures
from napari_unetseg.engine.networks.pixel.filters import FilterSettings
from napari_unetseg.engine.networks.pixel.head import Head
from napari_unetseg.engine.networks.precision import half_precision
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings


@dataclass(frozen=True)
class PixelClassifierSettings:
    """Everything that defines a pixel classifier; JSON-able, so that a model's card can hold it.

    Parameters
    ----------
    filters : FilterSettings
    base : UNetSettings or None
        The frozen 2D network whose features are joined with the hand-made ones.
    hidden, outputs : int
        Units of the head's hidden layer; classes out.
    refiner : UNetSettings or None
        The 2D network that adds to the head's scores. It sees the image and the head's hidden layer.
    trees : int
        Of the head's forest; 0: it has none.
    levels : int or None
        How many of the base's levels the head looks at, the finest first; None: all.
    """

    kind: ClassVar[str] = PIXEL_CLASSIFIER

    filters: FilterSettings
    base: UNetSettings | None = None
    hidden: int = 64
    outputs: int = 2
    refiner: UNetSettings | None = None
    trees: int = 0
    levels: int | None = None

    @property
    def dimensions(self) -> int:
        """3 where features look through slices."""
        return 3 if self.filters.deep else 2

    @property
    def inputs(self) -> int:
        """Image channels."""
        return self.filters.channels

    def to_json(self) -> dict[str, Any]:
        """Plain fields for a model's card."""
        return {"kind": self.kind, **asdict(self)}


class Refiner(UNet):
    """A 2D U-Net that adds to class scores what it sees around.

    Parameters
    ----------
    settings : UNetSettings
        Its inputs are those of `forward` but for the scores.
    """

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Refined scores (N, outputs, Y, X) from image, hidden layer and scores (N, inputs + outputs, Y, X)."""
        height, width = seen.shape[2:]
        inputs, scores = seen[:, : self.settings.inputs], seen[:, self.settings.inputs :]
        added = self.head(self.features(grow_to_multiple(inputs, self.settings.stride))[-1])
        refined: torch.Tensor = scores.float() + added[..., :height, :width].float()
        return refined

    @classmethod
    def fresh(cls, settings: UNetSettings) -> Self:
        """A refiner of random weights that adds nothing yet."""
        refiner = cls(settings)
        nn.init.zeros_(refiner.head.weight)
        nn.init.zeros_(cast("torch.Tensor", refiner.head.bias))
        return refiner


def refined_answer(refiner: UNet, seen: torch.Tensor) -> torch.Tensor:
    """Scores (N, outputs, Y, X) of the mean of two probabilities: the head's own, and the refined ones.

    From a few slices either may be wrong where the other is right, and what a refiner learns by heart weighs less.

    Parameters
    ----------
    refiner : UNet
        A `Refiner`.
    seen : tensor, (N, inputs + outputs, Y, X)
        What it sees. Computed in half precision where that is trusted.
    """
    inputs = refiner.settings.inputs
    with half_precision(refiner, (len(seen), inputs, *seen.shape[2:]), seen.device):
        own, refined = seen[:, inputs:].float(), refiner(seen)
    return torch.logaddexp(own.log_softmax(dim=1), refined.log_softmax(dim=1))


class PixelClassifier(Network):
    """Features, a head on them, and a refiner that has half of the say. It takes a stack slice by slice.

    Parameters
    ----------
    extractor : Extractor
        Its U-Net is left out where the head does not look at it.
    head : Head
    refiner : UNet or None
        A `Refiner`.
    """

    settings: PixelClassifierSettings

    def __init__(self, extractor: Extractor, head: Head, refiner: UNet | None = None) -> None:
        super().__init__()
        filters = extractor.filters.settings
        self.extractor = extractor if len(head.levels) else Extractor(filters)
        self.head, self.refiner = head, refiner
        base = self.extractor.base
        self.settings = PixelClassifierSettings(
            filters,
            base.settings if base is not None else None,
            head.hidden,
            head.out.out_features,
            refiner.settings if refiner is not None else None,
            head.forest.trees if head.forest is not None else 0,
            len(head.levels),
        )

    @classmethod
    def from_settings(cls, settings: PixelClassifierSettings) -> Self:
        """A network with random weights."""
        extractor = Extractor(settings.filters, UNet(settings.base) if settings.base is not None else None)
        looked_at = extractor.widths if settings.levels is None else extractor.widths[: 1 + settings.levels]
        head = Head(looked_at, settings.hidden, settings.outputs, settings.trees)
        return cls(extractor, head, Refiner(settings.refiner) if settings.refiner is not None else None)

    def forward(self, features: SliceFeatures) -> torch.Tensor:
        """Class scores (outputs, Y, X) of a slice, before the softmax."""
        if self.refiner is None:
            return self.head.maps(features)[1]
        return refined_answer(self.refiner, self.seen(features)[None])[0]

    def seen(self, features: SliceFeatures) -> torch.Tensor:
        """What the refiner sees (inputs + hidden + outputs, Y, X): image, hidden layer and the head's scores."""
        return torch.cat([features.image, *self.head.maps(features)])
