"""Which model to take where none was named."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_unetseg.core.card import ModelCard
from napari_unetseg.core.volume import UNITS, Volume
from napari_unetseg.errors import ModelError

NEAR = 4.0
"""Up to this factor a voxel size speaks for a model; beyond it, against."""


def rank_models(cards: Sequence[ModelCard], volume: Volume) -> list[ModelCard]:
    """The models that can take a volume, the most likely one first.

    A model fits by its dimensions and its channels. First come those whose voxel size is at most `NEAR` times off, the
    nearest one first; then models without a voxel size, and all of them where the volume has none, in the order given;
    then those whose voxel size is farther off. What is in the image is not looked at: a person who knows it names the
    model.

    Returns
    -------
    list of ModelCard
        Empty where no model fits.
    """
    return sorted((card for card in cards if _fits(card, volume)), key=lambda card: _order(card, volume))


def choose_model(cards: Sequence[ModelCard], volume: Volume) -> ModelCard:
    """The first of `rank_models`.

    Raises
    ------
    ModelError
        If no model fits.
    """
    ranked = rank_models(cards, volume)
    if not ranked:
        kind = "2D" if volume.is_2d else "3D"
        names = ", ".join(card.name for card in cards) or "none"
        raise ModelError(f"No model takes {kind} images of {len(volume.channels)} channels; there are: {names}.")
    return ranked[0]


def _fits(card: ModelCard, volume: Volume) -> bool:
    same_channels = len(card.channels) == len(volume.channels) or (len(card.channels) == 1 and volume.is_colour)
    return card.dimensions == (2 if volume.is_2d else 3) and same_channels


def _order(card: ModelCard, volume: Volume) -> tuple[int, float]:
    """Near, not known, or far; then the factor between the two voxel sizes along y and x, as |log|."""
    size = card.voxel_size
    if size is None or not volume.grid.is_physical or size.unit not in UNITS:
        return 1, 0.0
    here = volume.grid.spacing_in(size.unit)
    distance = abs(math.log(math.hypot(*here[1:]) / math.hypot(*size.spacing[1:])))
    return 0 if distance <= math.log(NEAR) else 2, distance
