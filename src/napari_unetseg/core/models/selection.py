"""Model selection: which one to take where none was named, and on which part of a volume to try several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_unetseg.core.geometry.tiles import Box, Span
from napari_unetseg.core.models.appearance import descriptor_distances
from napari_unetseg.core.models.card import ImageDescriptor, ModelCard
from napari_unetseg.core.models.compatibility import map_input
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import UNITS, Triple, Volume
from napari_unetseg.errors import ModelError

NEAR = 4.0
"""Up to this factor a voxel size speaks for a model; beyond it, against."""
CLOSE, ANY, UNSTATED, FAR = range(4)
"""What the voxel size says of a model, the best first."""
SIDE = {2: 512, 3: 176}
"""Network voxels along y and x that a 2D or 3D model is tried on, at most."""
TRIED = 2**19
"""Network voxels that a 3D model is tried on, at most: about a second on two CPU cores."""


def rank_models(
    cards: Sequence[ModelCard], volume: Volume, descriptor: ImageDescriptor | None = None
) -> list[ModelCard]:
    """The models that can take a volume, the most likely one first.

    A model fits by its dimensions and its channels; a start to learn from fits nothing. Those whose voxel size is
    more than `NEAR` times off come last. Among the others, those come first whose training images look most like this
    one. Where that is not known, it is the voxel size again: first the nearest one (a model for any voxel size has
    those that it was measured at); then models for any voxel size; then, where the volume has none, all others in the
    order given.

    Parameters
    ----------
    descriptor : ImageDescriptor or None
        Of the volume, see `core.models.appearance`; None where it is not to be read yet.

    Returns
    -------
    list of ModelCard
        Empty where no model fits.
    """
    return _ranked([card for card in cards if _fits(card, volume)], volume, descriptor)


def select_model(cards: Sequence[ModelCard], volume: Volume, descriptor: ImageDescriptor | None = None) -> ModelCard:
    """The first of `rank_models`.

    Raises
    ------
    ModelError
        If no model fits.
    """
    ranked = rank_models(cards, volume, descriptor)
    if not ranked:
        kind = "2D" if volume.is_2d else "3D"
        names = ", ".join(card.name for card in cards) or "none"
        raise ModelError(f"No model takes {kind} images of {len(volume.channels)} channels; there are: {names}.")
    return ranked[0]


def trial_models(
    cards: Sequence[ModelCard], volume: Volume, descriptor: ImageDescriptor | None = None
) -> list[ModelCard]:
    """The models that are worth trying on a volume, the most likely one first.

    Those of `rank_models` and then, for a stack, the 2D ones, which take it slice by slice; all without those whose
    voxel size is so far off that they would refuse the volume.
    """
    ranked = rank_models(cards, volume, descriptor)
    if not volume.is_2d:
        flat = [card for card in cards if card.dimensions == 2 and _takes_channels(card, volume)]
        ranked += _ranked(flat, volume, descriptor)
    return [card for card in ranked if not _is_refused(card, volume)]


@dataclass(frozen=True)
class Trial:
    """The part of a volume that a model is tried on, and what of it is shown.

    Parameters
    ----------
    crop : three (start, stop) pairs for z, y, x
        In voxels of the volume.
    shown : the same
        One slice, in voxels of the crop.
    """

    crop: Box
    shown: Box


def trial_part(card: ModelCard, volume: Volume, centre: tuple[int, int, int], settings: SegmentSettings) -> Trial:
    """Where to try a model around a voxel (z, y, x): as much as it sees in a second or two.

    All models show the same square around the centre, unless the model's voxels are so small that it can see only a
    part of it.

    Raises
    ------
    ModelError
        If the model refuses the volume.
    """
    grid = map_input(card, volume, settings).grid
    sides = [min(SIDE[card.dimensions], axis.network_length) for axis in grid[1:]]
    depth = TRIED // math.prod(sides) if card.dimensions == 3 else 1
    whole = [math.ceil(count / axis.ratio) for count, axis in zip((depth, *sides), grid, strict=True)]
    z, y, x = (_around(*place) for place in zip(centre, volume.shape, whole, strict=True))
    square = SIDE[2 if volume.is_2d else 3]
    row, column = (
        _within(_around(middle, length, square), span)
        for middle, length, span in zip(centre[1:], volume.shape[1:], (y, x), strict=True)
    )
    return Trial((z, y, x), ((centre[0] - z[0], centre[0] - z[0] + 1), row, column))


def _around(middle: int, length: int, count: int) -> Span:
    """`count` voxels around the middle, or all of them; moved inside where they would reach out."""
    start = min(max(0, middle - count // 2), max(0, length - count))
    return start, min(length, start + count)


def _within(span: Span, crop: Span) -> Span:
    """The part of a span that lies in a crop, counted from the crop's start."""
    return max(span[0], crop[0]) - crop[0], min(span[1], crop[1]) - crop[0]


def _is_refused(card: ModelCard, volume: Volume) -> bool:
    try:
        map_input(card, volume, SegmentSettings())
    except ModelError:
        return True
    return False


def _takes_channels(card: ModelCard, volume: Volume) -> bool:
    return len(card.channels) == len(volume.channels) or (len(card.channels) == 1 and volume.is_colour)


def _fits(card: ModelCard, volume: Volume) -> bool:
    return not card.is_start and card.dimensions == (2 if volume.is_2d else 3) and _takes_channels(card, volume)


def _ranked(cards: Sequence[ModelCard], volume: Volume, descriptor: ImageDescriptor | None) -> list[ModelCard]:
    unlike = descriptor_distances(descriptor, [card.looks for card in cards]) if descriptor else [0.0] * len(cards)
    ranked = sorted(zip(cards, unlike, strict=True), key=lambda pair: _order(pair[0], pair[1], volume))
    return [card for card, _ in ranked]


def _order(card: ModelCard, unlike: float, volume: Volume) -> tuple[bool, float, int, float]:
    """Far off or not; the distance in appearance; what the voxel size says; the factor between the two, as |log|."""
    says, distance = _by_voxel_size(card, volume)
    return says == FAR, unlike, says, distance


def _by_voxel_size(card: ModelCard, volume: Volume) -> tuple[int, float]:
    """What the voxel size says of a model, and the factor between the two along y and x, as |log|."""
    known = _voxel_sizes(card) if volume.grid.is_physical else []
    if not known:
        return (ANY if card.voxel_size is None else UNSTATED), 0.0
    distance = min(
        abs(math.log(math.hypot(*volume.grid.spacing_in(unit)[1:]) / math.hypot(*spacing[1:])))
        for spacing, unit in known
    )
    if distance <= math.log(NEAR):
        return CLOSE, distance
    return (ANY, 0.0) if card.voxel_size is None else (FAR, distance)


def _voxel_sizes(card: ModelCard) -> list[tuple[Triple, str]]:
    """The voxel size that a model is for, or those that it was measured at where it is for any."""
    if card.voxel_size is not None:
        known = [(card.voxel_size.spacing, card.voxel_size.unit)]
    else:
        known = [(rule.spacing, rule.unit) for rule in card.held_out if rule.spacing and rule.unit]
    return [(spacing, unit) for spacing, unit in known if unit in UNITS]
