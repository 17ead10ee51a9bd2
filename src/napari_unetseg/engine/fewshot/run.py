"""A fine-tuning run: the images, their annotations, what of these is held out, what to begin with, and the settings."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.annotations.sparse_labels import Split, check_painted, class_count, hold_out
from napari_unetseg.core.grid import Triple
from napari_unetseg.core.models.card import ModelCard, Normalisation
from napari_unetseg.core.models.compatibility import channel_mix, map_input
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings, LearnedFrom, LearnedNetwork, fine_tuned_card
from napari_unetseg.core.models.normalisation import Normaliser, normaliser
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.devices import choose_device
from napari_unetseg.engine.networks.model_file import Model, round_as_saved
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier
from napari_unetseg.engine.networks.pixel.features import Extractor, FeatureSource, MagnifiedSource, magnified_paint
from napari_unetseg.engine.networks.pixel.filters import FilterSettings
from napari_unetseg.engine.networks.pixel.head import Head
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.engine.networks.unets.unet import UNet
from napari_unetseg.errors import InputError, ModelError

MAGNIFICATIONS = (0.67, 1.5)
"""Sizes, beside the image's own, that paint is learned at where several scales are asked for."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class AnnotationDataset:
    """Images of one kind with sparse labels on them.

    Parameters
    ----------
    volumes : sequence of Volume
        The same channels, all stacks or all single slices.
    painted : sequence of ndarray (Z, Y, X), whole numbers
        Sparse labels of each: 0 unpainted, 1 background, 2… structures.
    names : mapping
        Names of structures by output label (painted value - 1).
    known : int
        Structures of the model whose result the paint corrects; 0 where it corrects none.

    Raises
    ------
    InputError
        If there is nothing to learn from, or labels and image do not fit (see
        `core.annotations.sparse_labels.check_painted`).
    """

    volumes: Sequence[Volume]
    painted: Sequence[Array]
    names: Mapping[int, str] = field(default_factory=dict)
    known: int = 0

    def __post_init__(self) -> None:
        check_painted(self.painted, [volume.shape for volume in self.volumes], self.known)
        kinds = {(len(volume.channels), volume.is_2d) for volume in self.volumes}
        if len(kinds) > 1:
            raise InputError(
                "Expected images of one kind to learn from, with the same channels, all stacks or all 2D; got "
                f"{', '.join(f'{v.name} {v.array.shape}' for v in self.volumes)} (C, Z, Y, X)."
            )

    @cached_property
    def split(self) -> Split:
        """The part to learn from and the part to score on."""
        return hold_out(self.painted)

    @property
    def outputs(self) -> int:
        """Network outputs that it asks for, background included."""
        return max(class_count(self.painted), self.known + 1)

    @property
    def channels(self) -> int:
        """Of each image."""
        return len(self.volumes[0].channels)


@dataclass(frozen=True)
class AnnotatedFeatures:
    """What a pixel classifier learns from: features, and the sparse labels (Z, Y, X) that lie on them, an image each.

    Parameters
    ----------
    sources : sequence of FeatureSource
        Of one extractor.
    painted, learning, held_out : sequences of ndarray (Z, Y, X)
        All labels, and the two parts that validation splits them into.
    """

    sources: Sequence[FeatureSource]
    painted: Sequence[Array]
    learning: Sequence[Array]
    held_out: Sequence[Array]

    def magnified(self, factors: Sequence[float]) -> AnnotatedFeatures:
        """With the images at other sizes beside them; what is held out is scored at their own size alone."""
        pairs = [(s, p, f) for f in factors for s, p in zip(self.sources, self.learning, strict=True)]
        learning = [magnified_paint(paint, factor) for _, paint, factor in pairs]
        return AnnotatedFeatures(
            [*self.sources, *(MagnifiedSource(source, factor) for source, _, factor in pairs)],
            [*self.painted, *learning],
            [*self.learning, *learning],
            [*self.held_out, *map(np.zeros_like, learning)],
        )


@dataclass(frozen=True)
class FineTuningRun:
    """All that a fine-tuning is made of; what it gives depends on nothing else.

    Parameters
    ----------
    dataset : AnnotationDataset
    pretrained : Model or None
        A 2D U-Net of one channel, whose features are joined with the hand-made ones; or the result of an earlier
        fine-tuning; or a 3D U-Net, which is trained itself. None: only hand-made features, or random weights.
    settings : FineTuneSettings
    sources : sequence of FeatureSource, optional
        The images' features, as `feature_sources` makes them of the same volumes and model. They keep what they have
        computed, so a run may be given those of an earlier one.

    Raises
    ------
    ModelError
        If `pretrained` is of another kind.
    """

    dataset: AnnotationDataset
    pretrained: Model | None
    settings: FineTuneSettings
    sources: Sequence[FeatureSource] = ()

    def __post_init__(self) -> None:
        if not self.sources:
            looked_through = None if corrects_whole(self.pretrained, self.settings) else self.pretrained
            sources = feature_sources(self.dataset.volumes, looked_through, self.settings.device)
            object.__setattr__(self, "sources", sources)

    @cached_property
    def features(self) -> AnnotatedFeatures:
        """What a pixel classifier learns from, at several magnifications where these are asked for."""
        split = self.dataset.split
        features = AnnotatedFeatures(self.sources, self.dataset.painted, split.learning, split.held_out)
        return features.magnified(MAGNIFICATIONS) if self.settings.several_scales else features

    def classifier(self, head: Head, refiner: UNet | None = None) -> PixelClassifier:
        """The pixel classifier of a head, and of a U-Net on top of it, on this run's features."""
        return PixelClassifier(self.sources[0].extractor, head, refiner).eval()

    def classifier_card(self, network: PixelClassifier, dice: Mapping[int, float]) -> ModelCard:
        """The card of such a classifier, with its held-out Dice by structure label."""
        first = self.dataset.volumes[0]
        architecture, dimensions = network.settings.to_json(), 2 if first.is_2d else 3
        return self.card(LearnedNetwork(architecture, network.settings.outputs, dimensions, first.channels), dice)

    def card(self, network: LearnedNetwork, dice: Mapping[int, float]) -> ModelCard:
        """The card of a network that was fitted in this run, with its held-out Dice by structure label."""
        data, pretrained = self.dataset, self.pretrained.card if self.pretrained is not None else None
        voxels, images = sum(map(np.count_nonzero, data.painted)), sum(bool(p.any()) for p in data.painted)
        learned = LearnedFrom(data.volumes, int(voxels), images, data.names, dice)
        return fine_tuned_card(network, learned, pretrained)


def corrects_whole(pretrained: Model | None, settings: FineTuneSettings) -> bool:
    """Whether what is trained is the U-Net whose result was corrected, and no features are looked at."""
    return settings.corrects and pretrained is not None and architecture_of(pretrained.network).trains_whole


def detached(network: UNet | PixelClassifier, card: ModelCard) -> Model:
    """The model of a copy on the CPU, since the network and its features may go on being used, as its file holds it."""
    own = copy.deepcopy(network).cpu()
    round_as_saved(own)
    return Model(own, card)


def feature_sources(volumes: Sequence[Volume], pretrained: Model | None, device: str) -> list[FeatureSource]:
    """The features of volumes of one kind: hand-made ones, joined with those of the U-Net to begin with.

    Raises
    ------
    ModelError
        If `pretrained` has no U-Net that fits.
    """
    extractor = Extractor(filters_for(volumes), base_of(pretrained))
    normalisation = pretrained.card.normalisation if pretrained is not None else Normalisation()
    where = choose_device(device)
    return [FeatureSource(volume, normaliser(volume, normalisation), extractor, where) for volume in volumes]


def filters_for(volumes: Sequence[Volume]) -> FilterSettings:
    """Filters for images of this kind: through slices only where there are slices, by the voxel size where known."""
    first = volumes[0]
    channels = len(first.channels)
    if first.is_2d:
        return FilterSettings(channels, deep=())
    z, y, x = first.grid.spacing
    return FilterSettings(channels, depth=2 * z / (y + x))


def base_of(pretrained: Model | None) -> UNet | None:
    """The 2D U-Net whose features are used; None where the model is 3D, or has none.

    Raises
    ------
    ModelError
        If the model has none that fits.
    """
    if pretrained is None:
        return None
    network = architecture_of(pretrained.network).base(pretrained.network)
    if network is None or network.settings.dimensions == 3:
        return None
    if network.settings.inputs != 1 or not network.settings.padded:
        raise ModelError(
            f"Fine-tuning begins with a padded U-Net of one channel; {pretrained.card.name} has "
            f"{network.settings.inputs}{'' if network.settings.padded else ' and is not padded'}. "
            "Choose another --model."
        )
    return network


@dataclass(frozen=True)
class NetworkInput:
    """How a whole U-Net sees an image: its intensities, and voxels of the network for one of the image's (z, y, x)."""

    read: Normaliser
    ratio: Triple = (1.0, 1.0, 1.0)


def network_input(volume: Volume, model: Model | None) -> NetworkInput:
    """How a volume is seen by a U-Net that begins with `model`: as that sees it, where it has a voxel size of its own.

    Raises
    ------
    ModelError
        If the volume does not fit the model's card.
    """
    if model is None:
        return NetworkInput(normaliser(volume, Normalisation()))
    if not architecture_of(model.network).trains_whole:
        return NetworkInput(normaliser(volume, model.card.normalisation))
    if model.card.is_start:
        return NetworkInput(normaliser(volume, model.card.normalisation, channel_mix(model.card, volume, [])))
    fitted = map_input(model.card, volume, SegmentSettings())
    z, y, x = (axis.ratio for axis in fitted.grid)
    return NetworkInput(normaliser(volume, model.card.normalisation, fitted.mix), (z, y, x))
