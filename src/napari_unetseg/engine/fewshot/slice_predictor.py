"""Slices of an interactive session's images: their features, and what a light model or a U-Net says about them."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.annotations.expected_dice import StrokeCounts, strokes_of
from napari_unetseg.core.annotations.next_slice import SliceUncertainty
from napari_unetseg.core.annotations.sparse_labels import class_count
from napari_unetseg.core.annotations.versions import SlicePrediction
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot.fit_head import PaintedSlice, gathered, painted_slices
from napari_unetseg.engine.fewshot.run import network_input
from napari_unetseg.engine.inference.predict import iter_predict
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier
from napari_unetseg.engine.networks.pixel.features import FeatureSource
from napari_unetseg.engine.networks.registry import architecture_of

BLOCK = 16
"""Slices that a 3D U-Net predicts together; whatever its strides are, they begin where those of the volume do."""
ROOM = 2**28
"""Bytes of probabilities that are kept."""


@dataclass(frozen=True)
class _Block:
    """Slices that are predicted together, and what is looked at for them; (start, stop) along z."""

    fills: tuple[int, int]
    seen: tuple[int, int]


class WholeSlices:
    """The probabilities of a U-Net on some volumes, computed when they are asked for and kept while there is room.

    Parameters
    ----------
    model : Model
        A U-Net, each of whose structures is one output.
    volumes : sequence of Volume
        Of the kind that its card asks for.
    device : str
        As `SegmentSettings.device`.

    Raises
    ------
    ModelError
        If a volume does not fit the card.
    """

    def __init__(self, model: Model, volumes: Sequence[Volume], device: str) -> None:
        self.model, self._volumes = model, tuple(volumes)
        self._settings = SegmentSettings(device, "probabilities", cleanup=())
        self._mappings = [network_input(volume, model) for volume in volumes]
        self._kept: OrderedDict[tuple[int, int], torch.Tensor] = OrderedDict()

    def scores(self, image: int, z: int) -> torch.Tensor:
        """Logarithms of the probabilities (outputs, Y, X), float32, of one slice; on the CPU."""
        block = self._block(image, z)
        key = (image, block.fills[0])
        if key not in self._kept:
            self._kept[key] = self._predicted(image, block)
            while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > ROOM:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        probabilities = self._kept[key][:, z - block.fills[0]].float()
        return probabilities.clamp_min(torch.finfo(torch.float16).tiny).log()

    def _block(self, image: int, z: int) -> _Block:
        """The slice alone where the model is 2D."""
        if self.model.card.dimensions == 2:
            return _Block((z, z + 1), (z, z + 1))
        depth = self._volumes[image].shape[0]
        start = z - z % BLOCK
        reach = BLOCK * math.ceil((self.model.card.halo[0] + 1) / self._mappings[image].ratio[0] / BLOCK)
        return _Block((start, min(depth, start + BLOCK)), (max(0, start - reach), min(depth, start + BLOCK + reach)))

    def _predicted(self, image: int, block: _Block) -> torch.Tensor:
        """Probabilities (outputs, slices of the block, Y, X), float16."""
        volume, (first, last) = self._volumes[image], block.seen
        part = replace(volume, array=volume.array[:, first:last])
        found = finish(iter_predict(self.model, part, self._settings, self._mappings[image].read)).probabilities
        if found is None:  # for the type checker: the settings ask for them
            raise TypeError("The probabilities that were asked for have not come.")
        return torch.from_numpy(found)[:, block.fills[0] - first : block.fills[1] - first].clone()


Array = npt.NDArray[Any]
SliceNetwork = PixelClassifier | WholeSlices
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
        if architecture_of(model.network).predicts == "slices":
            return cast("PixelClassifier", model.network).to(self.sources[0].device)
        if self._whole is None or self._whole.model.network is not model.network:
            self._whole = WholeSlices(model, self.volumes, self._device)
        return self._whole

    def prepare(self, painted: Sequence[Array]) -> Job[None]:
        """Compute the features of the painted voxels, where they are not kept."""
        slices = painted_slices(painted)
        for image, source in enumerate(self.sources):
            source.wanted = frozenset(points.z for points in slices if points.image == image)
        for done, points in enumerate(slices):
            yield Progress(done, len(slices), "Looking at the painted slices")
            gathered(self.sources, points)

    def prediction(self, network: SliceNetwork, image: int, z: int) -> SlicePrediction:
        """Labels and uncertainty of a slice."""
        return prediction_of(self._scores(network, image, z))

    def counts(self, network: SliceNetwork, held_out: Sequence[Array], painted: Sequence[Array]) -> StrokeCounts:
        """What a model says about held-out paint (Z, Y, X), counted by the strokes of all paint that it is part of."""
        parts = []
        for points in painted_slices(held_out):
            strokes = strokes_of(painted[points.image][points.z])[points.y.numpy(), points.x.numpy()]
            parts.append((self._at(network, points).numpy(), points.classes.numpy(), strokes))
        return StrokeCounts.of(parts, class_count(painted))

    @torch.inference_mode()
    def _at(self, network: SliceNetwork, points: PaintedSlice) -> torch.Tensor:
        """Predicted classes (P,) of some voxels of a slice; a light head needs only their own features."""
        if not isinstance(network, WholeSlices) and network.refiner is None:
            features = gathered(self.sources, points)[:, : sum(kind.in_features for kind in network.head.first)]
            return cast("torch.Tensor", network.head(features)).argmax(1).cpu()
        return self._scores(network, points.image, points.z).argmax(0).cpu()[points.y, points.x]

    @torch.inference_mode()
    def _scores(self, network: SliceNetwork, image: int, z: int) -> torch.Tensor:
        if isinstance(network, WholeSlices):
            return network.scores(image, z)
        scores: torch.Tensor = network(self.sources[image][z])
        return scores


def prediction_of(scores: torch.Tensor) -> SlicePrediction:
    """Labels and uncertainty of a slice's class scores (outputs, Y, X), before the softmax."""
    probabilities = scores.softmax(0)
    best = probabilities.topk(2, 0).values
    labels = np.asarray(probabilities.argmax(0).to(torch.uint8).cpu())
    uncertainty = np.asarray((255 * (1 - best[0] + best[1])).round().to(torch.uint8).cpu())
    return SlicePrediction(labels, uncertainty, SliceUncertainty.of(labels, uncertainty))
