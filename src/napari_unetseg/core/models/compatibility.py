"""Compatibility of a volume with a model: its channels, its voxel size, the directions to look along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.geometry.resample import AxisGrid, axis_ratio
from napari_unetseg.core.grid import Triple
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.normalisation import LUMINANCE
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.voxels import VoxelSource
from napari_unetseg.errors import ModelError

FARTHEST = 16.0
"""A voxel size that is off by more than this factor is taken for a mistake."""
NEARLY_CUBIC = 1.5
"""Spacings within this factor look alike from all three directions."""


@dataclass(frozen=True)
class InputMapping:
    """How a volume is shown to a model.

    Parameters
    ----------
    grid : three AxisGrid
        The network's grid along z, y, x.
    mix : ndarray, float64, shape (model channels, volume channels), or None
        How the model's channels are made of the volume's; None where they are the same.
    orthogonal_planes : bool
        Whether a 2D model sees slices along all three axes, whose probabilities are averaged.
    notes : tuple of str
        What the user should know.
    """

    grid: tuple[AxisGrid, AxisGrid, AxisGrid]
    mix: npt.NDArray[np.float64] | None
    orthogonal_planes: bool
    notes: tuple[str, ...]


def map_input(card: ModelCard, volume: VoxelSource, settings: SegmentSettings) -> InputMapping:
    """Fit a volume to a model.

    Raises
    ------
    ModelError
        If the model is a start to learn from, it is 3D and the image 2D, the channels do not match, or the voxel sizes
        are far apart.
    """
    if card.is_start:
        raise ModelError(f"{card.name} is a start to learn from and finds nothing by itself. Paint, or choose another.")
    if card.dimensions == 3 and volume.is_2d:
        raise ModelError(f"{card.name} needs a stack of slices; {volume.name!r} is one 2D image. Choose a 2D model.")
    notes: list[str] = []
    mix = channel_mix(card, volume, notes)
    orthogonal_planes = _orthogonal_planes(card, volume, settings, notes)
    ratios = zip(
        _ratios(card, volume, orthogonal_planes, notes),
        scales(card, settings.scale, orthogonal_planes=orthogonal_planes),
        strict=True,
    )
    z, y, x = (AxisGrid(length, ratio * scale) for length, (ratio, scale) in zip(volume.shape, ratios, strict=True))
    return InputMapping((z, y, x), mix, orthogonal_planes, tuple(notes))


def scales(card: ModelCard, scale: float, *, orthogonal_planes: bool = False) -> Triple:
    """How many times as large a model sees an image along z, y and x: a 2D model takes slices as they come."""
    return (scale if card.dimensions == 3 or orthogonal_planes else 1.0), scale, scale


def channel_mix(card: ModelCard, volume: VoxelSource, notes: list[str]) -> npt.NDArray[np.float64] | None:
    """How an image's channels are mixed into a model's, (model's, image's); None where they are the same ones.

    Raises
    ------
    ModelError
        If the model cannot see so many channels.
    """
    if len(card.channels) == len(volume.channels):
        return None
    if len(card.channels) == 1 and volume.is_colour:
        notes.append("The colours were turned to grey by their luminance.")
        return np.array([LUMINANCE])
    raise ModelError(
        f"{card.name} takes {len(card.channels)} channel(s) ({', '.join(card.channels)}); {volume.name!r} has "
        f"{len(volume.channels)} ({', '.join(volume.channels)}). Choose among them with --channel."
    )


def _orthogonal_planes(card: ModelCard, volume: VoxelSource, settings: SegmentSettings, notes: list[str]) -> bool:
    if not settings.vote or card.dimensions == 3 or volume.is_2d:
        return False
    cubic = max(volume.grid.spacing) <= NEARLY_CUBIC * min(volume.grid.spacing)
    if not cubic:
        notes.append(
            "Slices were taken along z only: the voxels are too far from cubes for a vote of three directions."
        )
    return cubic


def _ratios(card: ModelCard, volume: VoxelSource, orthogonal_planes: bool, notes: list[str]) -> Triple:
    wanted = card.voxel_size
    if wanted is None:
        return 1.0, 1.0, 1.0
    if not volume.grid.is_physical:
        notes.append(
            f"The voxel size is not known and was taken to fit {card.name}; give it for a better result "
            f"(the model expects {_text(wanted.spacing, wanted.unit)})."
        )
        return 1.0, 1.0, 1.0
    spacing = volume.grid.spacing_in(wanted.unit)
    z, y, x = (have / want for have, want in zip(spacing, wanted.spacing, strict=True))
    if card.dimensions == 2:  # slices are taken as they come; across orthogonal planes z is as y
        z = spacing[0] / wanted.spacing[1] if orthogonal_planes else 1.0
    if not all(1 / FARTHEST <= ratio <= FARTHEST for ratio in (z, y, x)):
        raise ModelError(
            f"{card.name} expects voxels of {_text(wanted.spacing, wanted.unit)} (z, y, x); {volume.name!r} has "
            f"{_text(volume.grid.spacing, volume.grid.unit)}. Mend the spacing or choose another model."
        )
    z, y, x = axis_ratio(z), axis_ratio(y), axis_ratio(x)
    if (z, y, x) != (1.0, 1.0, 1.0):
        notes.append(f"Resampled to the model's voxel size, {_text(wanted.spacing, wanted.unit)}, and back.")
    return z, y, x


def _text(spacing: Triple, unit: str) -> str:
    return f"{' × '.join(f'{s:.3g}' for s in spacing)} {unit}"
