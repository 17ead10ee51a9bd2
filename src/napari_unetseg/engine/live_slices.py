"""The slices of a live session's images: their features, and what a light model or a whole U-Net says about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.annotations.next_slice import Doubt
from napari_unetseg.core.annotations.versions import Prediction
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.features import FeatureSource
from napari_unetseg.engine.learn import PaintedSlice, class_dice, gathered, painted_slices
from napari_unetseg.engine.light import LightNet
from napari_unetseg.engine.live_whole import WholeSlices
from napari_unetseg.engine.model_file import Model

Array = npt.NDArray[Any]
SliceNetwork = LightNet | WholeSlices
"""What predicts slices: a light model looks at the features, a whole U-Net at the image itself."""


class Slices:
    """Slices of some images with their features, and what models say about them.

    Parameters
    ----------
    volumes : sequence of Volume
    sources : sequence of FeatureSource
        One a volume; they keep what was computed.
    device : str
        Where a whole U-Net computes, as `SegmentSettings.device`.
    """

    def __init__(self, volumes: Sequence[Volume], sources: Sequence[FeatureSource], device: str) -> None:
        self.volumes, self.sources, self._device = tuple(volumes), tuple(sources), device
        self._whole: WholeSlices | None = None

    def network(self, model: Model) -> SliceNetwork:
        """What predicts slices with a model; that of the last whole U-Net is kept with all that it has predicted."""
        if isinstance(model.network, LightNet):
            return model.network.to(self.sources[0].device)
        if self._whole is None or self._whole.model.network is not model.network:
            self._whole = WholeSlices(model, self.volumes, self._device)
        return self._whole

    def prepare(self, painted: Sequence[Array]) -> Job[None]:
        """Compute the features of the painted slices, where they are not kept."""
        slices = painted_slices(painted)
        for done, points in enumerate(slices):
            yield Progress(done, len(slices), "Looking at the painted slices")
            self.sources[points.image][points.z]

    def prediction(self, network: SliceNetwork, image: int, z: int) -> Prediction:
        """Labels and uncertainty of a slice."""
        return prediction_of(self._scores(network, image, z))

    def dice(self, network: SliceNetwork, paint: Sequence[Array]) -> dict[int, float]:
        """Dice of the structures in some paint, over its voxels."""
        predicted, classes = [], []
        for points in painted_slices(paint):
            predicted.append(self._at(network, points))
            classes.append(points.classes)
        return class_dice(torch.cat(predicted), torch.cat(classes))

    @torch.inference_mode()
    def _at(self, network: SliceNetwork, points: PaintedSlice) -> torch.Tensor:
        """Predicted classes (P,) of some voxels of a slice; a light head needs only their own features."""
        if isinstance(network, LightNet) and network.refiner is None:
            features = gathered(self.sources, points)[:, : sum(kind.in_features for kind in network.head.first)]
            return cast("torch.Tensor", network.head(features)).argmax(1).cpu()
        return self._scores(network, points.image, points.z).argmax(0).cpu()[points.y, points.x]

    @torch.inference_mode()
    def _scores(self, network: SliceNetwork, image: int, z: int) -> torch.Tensor:
        if isinstance(network, WholeSlices):
            return network.scores(image, z)
        scores: torch.Tensor = network(self.sources[image][z])
        return scores


def prediction_of(scores: torch.Tensor) -> Prediction:
    """Labels and uncertainty of a slice's class scores (outputs, Y, X), before the softmax."""
    probabilities = scores.softmax(0)
    best = probabilities.topk(2, 0).values
    labels = np.asarray(probabilities.argmax(0).to(torch.uint8).cpu())
    uncertainty = np.asarray((255 * (1 - best[0] + best[1])).round().to(torch.uint8).cpu())
    return Prediction(labels, uncertainty, Doubt.of(labels, uncertainty))
