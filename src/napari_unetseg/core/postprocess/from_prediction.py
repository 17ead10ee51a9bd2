"""Labels from a prediction's classes, as a user gets them: named structures, or numbered objects."""

from __future__ import annotations

import math
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt

from napari_unetseg.core.grid import UNITS
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.compatibility import scales
from napari_unetseg.core.postprocess.instances import separate_objects
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import SettingsError

MOST_VOXELS = 2**40
"""Of a part that is asked for: no image is as large, and beyond lies infinity."""


def wants_objects(card: ModelCard, settings: SegmentSettings) -> bool:
    """Whether the result is numbered objects, not classes.

    Raises
    ------
    SettingsError
        If they are asked of a model with several structures and no object cores.
    """
    if settings.write == "objects" and not card.finds_objects and len(card.structures) > 1:
        names = ", ".join(s.name for s in card.structures)
        raise SettingsError(f"{card.name} finds classes ({names}), not single objects; write classes instead.")
    return settings.write == "objects" or (settings.write == "auto" and card.finds_objects)


def smallest_part(card: ModelCard, volume: Volume, settings: SegmentSettings) -> int:
    """The size in voxels of the image below which a part is dropped: the user's, or else the model's own."""
    return round(min(_smallest_part(card, volume, settings), MOST_VOXELS))


def _smallest_part(card: ModelCard, volume: Volume, settings: SegmentSettings) -> float:
    spacing = volume.grid.spacing[1:] if volume.is_2d else volume.grid.spacing
    if settings.smallest:
        return max(1, settings.smallest / math.prod(spacing))
    smallest, size = card.minimum_object / math.prod(scales(card, settings.scale)), card.voxel_size
    if size is None or not volume.grid.is_physical or size.unit not in UNITS:
        return smallest
    here = volume.grid.spacing_in(size.unit)
    factors = [there / mine for there, mine in zip(size.spacing, here, strict=True)]
    return smallest * math.prod(factors[1:] if volume.is_2d else factors)


def classes_of(classes: npt.NDArray[np.uint8], card: ModelCard, volume: Volume, smallest: int) -> Labels:
    """Named structures on the volume's grid, without connected parts below `smallest` voxels."""
    if smallest > 1:
        classes = cc3d.dust(classes, threshold=smallest, connectivity=26)
    return Labels(classes, volume.grid, card.structures, name=_name(volume, card))


def objects_of(
    classes: npt.NDArray[np.uint8], seeds: npt.NDArray[np.bool_] | None, card: ModelCard, volume: Volume, smallest: int
) -> Labels:
    """Numbered objects of the first structure that has cores; without cores, its connected parts.

    Parameters
    ----------
    classes : uint8 array (Z, Y, X)
        0 is background, the others are the labels of the card's structures.
    seeds : bool array (Z, Y, X) or None
        The cores of single objects, where the model marks them.
    smallest : int
        Objects of fewer voxels are dropped.
    """
    structure = next((s for s in card.structures if s.seed_channel is not None), card.structures[0])
    mask = classes == structure.label
    numbered = separate_objects(mask, seeds, volume.grid.spacing, smallest)
    return Labels(numbered, volume.grid, (structure,), are_objects=True, name=_name(volume, card))


def probabilities_of(probabilities: npt.NDArray[Any], card: ModelCard, volume: Volume) -> Volume:
    """Probabilities (1 + structures, Z, Y, X) as a volume whose channels are named."""
    names = ("background", *(structure.name for structure in card.structures))
    return Volume(probabilities, volume.grid, names, _name(volume, card))


def _name(volume: Volume, card: ModelCard) -> str:
    return f"{volume.name} {card.name}"
