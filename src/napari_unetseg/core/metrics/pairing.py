"""Pairs of a prediction and its reference, on one grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.geometry.label_arrays import plain
from napari_unetseg.core.geometry.same_grid import common_grid
from napari_unetseg.core.volume import Labels


@dataclass(frozen=True)
class Pair:
    """A prediction and its reference on one grid.

    Parameters
    ----------
    predicted, reference : ndarray of integers, shape (Z, Y, X)
    spacing : (y, x) or (z, y, x)
        Two numbers where there is a single slice: it is an image, not a volume.
    unit : str
    names : dict of int to str
        Structures by label; where both volumes name a label, the reference's name.
    """

    predicted: npt.NDArray[Any]
    reference: npt.NDArray[Any]
    spacing: tuple[float, ...]
    unit: str
    names: dict[int, str]

    @classmethod
    def of(cls, predicted: Labels, reference: Labels) -> Pair:
        """Pair two label volumes; raises `InputError` where they do not fit, saying why."""
        grid = common_grid(predicted, reference)
        return cls(
            plain(predicted.array),
            plain(reference.array),
            grid.spacing[1:] if reference.array.shape[0] == 1 else grid.spacing,
            grid.unit,
            {s.label: s.name for s in (*predicted.structures, *reference.structures)},
        )

    @property
    def voxel(self) -> float:
        """Volume of a voxel, or area of a pixel."""
        return float(np.prod(self.spacing))

    @property
    def images(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Both arrays with as many axes as `spacing` has numbers."""
        flat = len(self.spacing) == 2
        return (self.predicted[0], self.reference[0]) if flat else (self.predicted, self.reference)

    def foreground(self) -> Pair:
        """The pair with every label above 0 made 1, and called what label 1 is called."""
        predicted, reference = ((array > 0).view(np.uint8) for array in (self.predicted, self.reference))
        return replace(self, predicted=predicted, reference=reference, names={1: self.names.get(1, "object")})
