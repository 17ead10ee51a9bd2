"""Pairs of a prediction and its reference, on one grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.geometry.label_arrays import plain
from napari_unetseg.core.geometry.same_grid import common_grid
from napari_unetseg.core.geometry.tiles import triple
from napari_unetseg.core.grid import Box, Shape
from napari_unetseg.core.voxels import BLOCK, LabelSource, partition, whole

Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True)
class Pair:
    """A prediction and its reference on one grid, read in boxes.

    Parameters
    ----------
    predicted, reference : LabelSource
    spacing : (y, x) or (z, y, x)
        Two numbers where there is a single slice: it is an image, not a volume.
    unit : str
    names : dict of int to str
        Structures by label; where both volumes name a label, the reference's name.
    binary : bool
        Whether every label above 0 is read as 1.
    """

    predicted: LabelSource
    reference: LabelSource
    spacing: tuple[float, ...]
    unit: str
    names: dict[int, str]
    binary: bool = False

    @classmethod
    def of(cls, predicted: LabelSource, reference: LabelSource) -> Pair:
        """Pair two label volumes; raises `InputError` where they do not fit, saying why."""
        grid = common_grid(predicted, reference)
        return cls(
            predicted,
            reference,
            grid.spacing[1:] if reference.shape[0] == 1 else grid.spacing,
            grid.unit,
            {s.label: s.name for s in (*predicted.structures, *reference.structures)},
        )

    @property
    def shape(self) -> Shape:
        """Size along (z, y, x)."""
        return self.reference.shape

    @property
    def voxel(self) -> float:
        """Volume of a voxel, or area of a pixel."""
        return float(np.prod(self.spacing))

    @property
    def images(self) -> Arrays:
        """Both as whole arrays with as many axes as `spacing` has numbers."""
        return self.read_image(whole(self.shape))

    def read(self, box: Box) -> Arrays:
        """A box (z, y, x) of both, integers in this machine's byte order."""
        one, other = (plain(source.read(box)) for source in (self.predicted, self.reference))
        return ((one > 0).view(np.uint8), (other > 0).view(np.uint8)) if self.binary else (one, other)

    def read_image(self, box: Box) -> Arrays:
        """A box of both, with as many axes as `spacing` has numbers."""
        one, other = self.read(box)
        return (one[0], other[0]) if len(self.spacing) == 2 else (one, other)

    def parts(self) -> Iterator[tuple[Box, Arrays]]:
        """Boxes that partition both, and what is in them, z slowest."""
        chunk = triple(max(lengths) for lengths in zip(self.predicted.chunk, self.reference.chunk, strict=True))
        for box in partition(self.shape, chunk, BLOCK):
            yield box, self.read(box)

    def foreground(self) -> Pair:
        """The pair with every label above 0 made 1, and called what label 1 is called."""
        return replace(self, binary=True, names={1: self.names.get(1, "object")})
