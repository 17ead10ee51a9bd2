"""Model selection: which one to take where none was named, and on which part of a volume to try several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_unetseg.core.geometry.tiles import Box, Span
from napari_unetseg.core.grid import UNITS, Triple
from napari_unetseg.core.models.card import ImageDescriptor, ModelCard
from napari_unetseg.core.models.compatibility import map_input
from napari_unetseg.core.models.likeness import LIKELY, doubt, likeness
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.errors import ModelError

NEAR = 4.0
"""Up to this factor a voxel size speaks for a model; beyond it, against."""
CLOSE, ANY, UNSTATED, FAR = range(4)
"""What the voxel size says of a model, the best first."""
HANDICAP = 1.15
"""How much nearer the training images of a 2D model must be on a stack than those of a 3D one."""
NEAREST = "nearest"
"""Named instead of a model: the first one of those ranked, likely or not."""
NOTHING_FITS = "No bundled model was made for such images. Nearest: {}."
SIDE = {2: 512, 3: 176}
"""Network voxels along y and x that a 2D or 3D model is tried on, at most."""
TRIED = 2**19
"""Network voxels that a 3D model is tried on, at most: about a second on two CPU cores."""


@dataclass(frozen=True)
class Proposal:
    """Which model is proposed for an image, and whether it was made for such images.

    Parameters
    ----------
    ranked : tuple of ModelCard
        All that can see the image, the most likely one first; empty where none can.
    is_likely : bool
        Whether the first was trained on images like this one; True too where nothing is known that would deny it.
    """

    ranked: tuple[ModelCard, ...]
    is_likely: bool

    @property
    def warning(self) -> str:
        """What to say where no model was made for the image; empty where one was, or none can see it."""
        return "" if self.is_likely or not self.ranked else NOTHING_FITS.format(self.ranked[0].name)


def propose_model(
    cards: Sequence[ModelCard], volume: Volume, descriptors: Sequence[ImageDescriptor] | None = None
) -> Proposal:
    """Rank the models that can see a volume, and tell whether the first was made for such images.

    A model can see a volume by its channels, and by its dimensions: 2D ones take stacks slice by slice. A start to
    learn from finds nothing. Those whose voxel size is more than `NEAR` times off come last. Among the others, those
    come first whose training images look most like this one, see `core.models.likeness`; on a stack, a 2D model must
    be nearer by `HANDICAP`. Where that is not known, it is the dimensions, and then the voxel size: first the nearest
    one (a model for any voxel size has those that it was measured at); then models for any voxel size; then, where the
    volume has none, all others in the order given.

    Parameters
    ----------
    descriptors : sequence of ImageDescriptor, or None
        Of the volume, see `core.models.appearance`; None where it is not to be read yet: then nothing is denied.
    """
    seeing = [card for card in cards if _can_see(card, volume)]
    looks = likeness(descriptors or (), [card.appearance for card in seeing] if descriptors else ())
    distances = [
        distance * (HANDICAP if _is_sliced(card, volume) else 1)
        for card, distance in zip(seeing, looks.distances or [math.inf] * len(seeing), strict=True)
    ]
    ranked = sorted(zip(seeing, distances, strict=True), key=lambda pair: _order(pair[0], pair[1], volume))
    is_likely = not looks.is_calibrated or (_by_voxel_size(ranked[0][0], volume)[0] != FAR and _doubt(ranked) <= LIKELY)
    return Proposal(tuple(card for card, _ in ranked), is_likely)


def rank_models(
    cards: Sequence[ModelCard], volume: Volume, descriptors: Sequence[ImageDescriptor] | None = None
) -> list[ModelCard]:
    """The models that can see a volume, the most likely one first; see `propose_model`."""
    return list(propose_model(cards, volume, descriptors).ranked)


def select_model(
    cards: Sequence[ModelCard], volume: Volume, descriptors: Sequence[ImageDescriptor] | None = None
) -> Proposal:
    """`propose_model` where there must be a model.

    Raises
    ------
    ModelError
        If no model can see the volume.
    """
    proposal = propose_model(cards, volume, descriptors)
    if not proposal.ranked:
        kind = "2D" if volume.is_2d else "3D"
        names = ", ".join(card.name for card in cards) or "none"
        raise ModelError(f"No model takes {kind} images of {len(volume.channels)} channels; there are: {names}.")
    return proposal


def trial_models(
    cards: Sequence[ModelCard], volume: Volume, descriptors: Sequence[ImageDescriptor] | None = None
) -> list[ModelCard]:
    """The models that are worth trying on a volume, the most likely one first.

    Those of `rank_models`, without those whose voxel size is so far off that they would refuse the volume.
    """
    return [card for card in rank_models(cards, volume, descriptors) if not _is_refused(card, volume)]


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


def _can_see(card: ModelCard, volume: Volume) -> bool:
    return not card.is_start and not (volume.is_2d and card.dimensions == 3) and _takes_channels(card, volume)


def _is_sliced(card: ModelCard, volume: Volume) -> bool:
    return card.dimensions == 2 and not volume.is_2d


def _doubt(ranked: Sequence[tuple[ModelCard, float]]) -> float:
    """About the first model; that another one finds the same structures casts none on it."""
    (first, distance), *others = ranked
    named = {structure.name for structure in first.structures}
    rivals = (far for card, far in others if named.isdisjoint(structure.name for structure in card.structures))
    return doubt(distance, min(rivals, default=math.inf))


def _order(card: ModelCard, unlike: float, volume: Volume) -> tuple[bool, float, bool, int, float]:
    """Far off or not; the distance in appearance; whether it sees slices only; the voxel size, and its factor."""
    says, distance = _by_voxel_size(card, volume)
    return says == FAR, unlike, _is_sliced(card, volume), says, distance


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
