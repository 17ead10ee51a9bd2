"""A correction under way: a result, the layer in which a person mends it, and the paint that follows from both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels as LabelsLayer

from napari_unetseg.core.annotations.corrections import AXES, classes_of_labels, paint_of_corrections
from napari_unetseg.core.volume import Labels
from napari_unetseg.plugin.layers.axes import kept_axes, to_volume
from napari_unetseg.plugin.layers.source import LayerSource

Array = npt.NDArray[Any]


@dataclass(eq=False)
class Correction:
    """What differs between a result and its copy, and whole slices that are right, kept up to date in a painted layer.

    Parameters
    ----------
    source : LayerSource
        The image that all lie on.
    result : Labels
        As it was; of numbered objects, what is an object counts, and not its number.
    layer : LabelsLayer
        The copy that a person mends, in napari's axes.
    paint : LabelsLayer
        0 unpainted, 1 background, 2… structures; what it holds at first was corrected before, and stays.
    right : dict
        Slices that are right, by axis (z, y, x).
    """

    source: LayerSource
    result: Labels
    layer: LabelsLayer
    paint: LabelsLayer
    right: dict[str, set[int]] = field(default_factory=lambda: {axis: set() for axis in AXES})

    def __post_init__(self) -> None:
        self._before, self._earlier = classes_of_labels(self.result), self._volume(self.paint).copy()

    @property
    def axes(self) -> str:
        """Of both layers, as napari has them."""
        return kept_axes(self.source.axes)

    def toggle(self, axis: str, index: int) -> bool:
        """Mark a slice as right, or take the mark back; returns whether it is marked now."""
        marks = self.right[axis]
        marks ^= {index}
        self.follow(range(self.result.array.shape[0]) if axis != "z" else [index])
        return index in marks

    def follow(self, slices: Iterable[int] | None = None) -> None:
        """Bring the paint of z slices up to date, or of all of them."""
        mended, paint = self._volume(self.layer), self._volume(self.paint)
        for z in range(len(mended)) if slices is None else slices:
            wanted = self._paint_of(z, mended[z])
            y, x = np.nonzero(wanted != paint[z])
            if len(y):
                self._write(z, y, x, wanted[y, x])

    def counts(self) -> tuple[int, ...]:
        """Painted voxels of each value 0, 1, …."""
        return tuple(np.bincount(self._volume(self.paint).ravel()).tolist())

    def slices_of(self, changes: Iterable[tuple[Any, ...]]) -> set[int]:
        """The z slices that napari's records of a stroke, each with its indices first, have touched."""
        if "Z" not in self.axes:
            return {0}
        along = self.axes.index("Z")
        places = (change[0][along] for change in changes)  # a box of the stroke, or indices
        return {
            int(z)
            for place in places
            for z in (range(place.start, place.stop) if isinstance(place, slice) else np.unique(place))
        }

    def _paint_of(self, z: int, mended: Array) -> Array:
        is_right = np.full(mended.shape, z in self.right["z"])
        is_right[sorted(self.right["y"])] = True
        is_right[:, sorted(self.right["x"])] = True
        after = (mended > 0).astype(np.uint8) if self.result.are_objects else mended
        return paint_of_corrections(self._before[z], after, is_right, self._earlier[z])

    def _write(self, z: int, y: Array, x: Array, values: Array) -> None:
        """Paint as napari's tools do, so that whoever watches the layer hears of it."""
        places: Mapping[str, Array] = {"Z": np.full_like(y, z), "Y": y, "X": x, "T": np.zeros_like(y)}
        channels = self.paint.data.shape[self.axes.index("C")] if "C" in self.axes else 1
        for channel in range(channels):
            place = {**places, "C": np.full_like(y, channel)}
            self.paint.data_setitem(tuple(place[axis] for axis in self.axes), values.astype(self.paint.data.dtype))

    def _volume(self, layer: LabelsLayer) -> Array:
        """A layer's voxels (Z, Y, X), without a copy."""
        return to_volume(np.asarray(layer.data), self.axes)[0]
