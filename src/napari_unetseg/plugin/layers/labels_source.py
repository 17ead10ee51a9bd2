"""Labels layers as jobs take them: a snapshot on the GUI's thread, the voxels in the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from napari.layers import Labels as LabelsLayer

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.plugin.layers.source import METADATA, LayerSource


@dataclass(frozen=True)
class LabelsSource:
    """A snapshot of a labels layer: what its values mean, and where to read them."""

    source: LayerSource
    structures: tuple[Structure, ...] = ()
    are_objects: bool = False

    @classmethod
    def of(cls, layer: LabelsLayer, time: int = 0, are_objects: bool | None = None) -> Self:
        """A layer as it is now, at one time point; `are_objects` stands in for what the layer says."""
        record = layer.metadata.get(METADATA, {})
        if are_objects is None:
            are_objects = bool(record.get("are_objects", False))
        return cls(LayerSource.of(layer, time=time, channel=0), tuple(record.get("structures", ())), are_objects)

    def labels(self, grid: Grid | None = None) -> Labels:
        """The labels, computed where the layer is lazy; `grid` stands in for the layer's own."""
        return self._with(self.source.volume().array[0], grid)

    def outline(self) -> Labels:
        """A stand-in without the voxels, which takes no memory."""
        return self._with(np.broadcast_to(np.uint8(0), self.source.shape[1:]))

    def _with(self, array: npt.NDArray[Any], grid: Grid | None = None) -> Labels:
        return Labels(array, grid or self.source.grid, self.structures, self.are_objects, self.source.name)
