"""The training set: images, their paint, and the features that a light head looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from napari_unetseg.core.annotations.sparse_labels import check_painted
from napari_unetseg.core.models.card import Normalisation
from napari_unetseg.core.models.normalisation import normaliser
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.devices import choose_device
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.pixel.features import Extractor, FeatureSource
from napari_unetseg.engine.networks.pixel.filters import FilterSettings
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.engine.networks.unets.unet import UNet
from napari_unetseg.errors import InputError, ModelError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Lesson:
    """Images of one kind with paint on them.

    Parameters
    ----------
    volumes : sequence of Volume
        The same channels, all stacks or all single slices.
    painted : sequence of ndarray (Z, Y, X), whole numbers
        Painted labels of each: 0 unknown, 1 background, 2… structures.
    names : mapping
        Names of structures by output label (painted value - 1).
    sources : sequence of FeatureSource
        The volumes' features where they have been computed before, as `feature_sources` makes them; else empty.

    Raises
    ------
    InputError
        If there is nothing to learn from, or paint and image do not fit (see
        `core.annotations.sparse_labels.check_painted`).
    """

    volumes: Sequence[Volume]
    painted: Sequence[Array]
    names: Mapping[int, str] = field(default_factory=dict)
    sources: Sequence[FeatureSource] = ()

    def __post_init__(self) -> None:
        check_painted(self.painted, [volume.shape for volume in self.volumes])
        kinds = {(len(volume.channels), volume.is_2d) for volume in self.volumes}
        if len(kinds) > 1:
            raise InputError(
                "Expected images of one kind to learn from, with the same channels, all stacks or all 2D; got "
                f"{', '.join(f'{v.name} {v.array.shape}' for v in self.volumes)} (C, Z, Y, X)."
            )


def feature_sources(volumes: Sequence[Volume], start: Model | None, device: str) -> list[FeatureSource]:
    """The features of volumes of one kind: hand-made ones, joined with those of the U-Net to begin with.

    Raises
    ------
    ModelError
        If `start` has no U-Net that fits.
    """
    extractor = Extractor(filters_for(volumes), base_of(start))
    normalisation = start.card.normalisation if start is not None else Normalisation()
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


def base_of(start: Model | None) -> UNet | None:
    """The 2D U-Net whose features are used; None where the model is 3D, or has none.

    Raises
    ------
    ModelError
        If the model has none that fits.
    """
    if start is None:
        return None
    network = architecture_of(start.network).base(start.network)
    if network is None or network.settings.dimensions == 3:
        return None
    if network.settings.inputs != 1 or not network.settings.padded:
        raise ModelError(
            f"Fine-tuning begins with a padded U-Net of one channel; {start.card.name} has {network.settings.inputs}"
            f"{'' if network.settings.padded else ' and is not padded'}. Choose another --model."
        )
    return network
