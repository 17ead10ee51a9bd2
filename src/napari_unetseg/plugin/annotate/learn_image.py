"""An image to learn on, as it was chosen: what paint is painted on, and what a model is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unetseg.core.annotations.session_record import Place
from napari_unetseg.core.grid import Grid
from napari_unetseg.plugin.layers.source import LayerSource

NOWHERE = Place()


@dataclass(frozen=True)
class LearnImage:
    """An image to learn on.

    Parameters
    ----------
    grid : Grid
        With the voxel size on the form: the layer's own unless it was mended.
    place : Place
        Where the layer comes from.
    """

    source: LayerSource
    grid: Grid
    place: Place = NOWHERE

    def is_like(self, other: LearnImage | None) -> bool:
        """Whether the other one has the same voxels, chosen and measured in the same way: a model of it holds here."""
        if other is None or self.source.data is not other.source.data:
            return False
        chosen = (self.source.axes, self.source.channel, self.grid, self.place)
        return chosen == (other.source.axes, other.source.channel, other.grid, other.place)
