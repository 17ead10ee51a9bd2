"""Volumes and labels that come from files, as the layer data that napari's readers give: (array, attributes, kind)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.units import UNIT_NAMES
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.plugin.layers.source import METADATA, appearance

LayerData = tuple[Any, dict[str, Any], str]
COLOURS = ("green", "magenta", "cyan", "yellow", "blue", "red")
"""Of the channels of an image with several."""
SAMPLED = 1_000_000
"""How many voxels are looked at for the contrast limits."""


def volume_layers(volumes: list[Volume]) -> list[LayerData]:
    """One image layer per channel; a colour picture is one RGB layer.

    Parameters
    ----------
    volumes : list of Volume
        The time points, at least one; several become a leading time axis.
    """
    first = volumes[0]
    arrays = [volume.array[:, 0] if first.is_2d else volume.array for volume in volumes]
    array = np.stack(arrays, axis=1) if len(volumes) > 1 else arrays[0]
    attributes = placement(first.grid, first.is_2d, len(volumes) > 1)
    if first.is_colour:
        return [(np.moveaxis(array, 0, -1), {**attributes, "name": first.name, "rgb": True}, "image")]
    several = len(first.channels) > 1
    return [
        (channel, {**attributes, **_look(first, index, several), **_contrast(channel)}, "image")
        for index, channel in enumerate(array)
    ]


def labels_layer(labels: Labels) -> LayerData:
    """One labels layer, with the structures' names and colours."""
    flat = labels.array.shape[0] == 1
    attributes = {**placement(labels.grid, flat), **appearance(labels), "name": labels.name}
    return labels.array[0] if flat else labels.array, attributes, "labels"


def placement(grid: Grid, flat: bool, timed: bool = False) -> dict[str, Any]:
    """Scale, translation, units and axis labels of a layer [t,] [z,] y, x, and the grid in its metadata."""
    first = 1 if flat else 0
    unit = UNIT_NAMES.get(grid.unit, "pixel")
    return {
        "scale": (*((1.0,) if timed else ()), *grid.spacing[first:]),
        "translate": (*((0.0,) if timed else ()), *grid.origin[first:]),
        "units": (*(("pixel",) if timed else ()), *(unit,) * (3 - first)),
        "axis_labels": (*(("t",) if timed else ()), *"zyx"[first:]),
        "metadata": {METADATA: {"grid": grid}},
    }


def _look(volume: Volume, index: int, several: bool) -> dict[str, Any]:
    if not several:
        return {"name": volume.name}
    colour = COLOURS[index % len(COLOURS)]
    return {"name": f"{volume.name}: {volume.channels[index]}", "colormap": colour, "blending": "additive"}


def _contrast(channel: npt.NDArray[Any]) -> dict[str, Any]:
    """Contrast limits that leave out the few darkest and brightest voxels; none for a constant image."""
    values = channel.reshape(-1)[:: max(1, channel.size // SAMPLED)]
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, (0.1, 99.9)) if values.size else (0.0, 0.0)
    return {"contrast_limits": (float(low), float(high))} if low < high else {}
