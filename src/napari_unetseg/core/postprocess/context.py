"""The state of labels while they are cleaned up, and the context that steps may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.geometry.label_arrays import Box, LabelArray, regions
from napari_unetseg.core.geometry.same_grid import common_grid
from napari_unetseg.core.grid import Grid, Triple
from napari_unetseg.core.postprocess.morphology import Mask
from napari_unetseg.core.postprocess.prior import KnownSlices
from napari_unetseg.core.steps import Step
from napari_unetseg.core.volume import Labels, Structure, Volume


@dataclass(frozen=True)
class CleanupContext:
    """The context of steps, beside the labels and on their grid; each may be missing.

    Parameters
    ----------
    image : Volume or None
        What the labels are of. Steps that cut along it take the mean of its channels.
    probabilities : Volume or None
        Channels background and structures in the order of their labels, or structures alone. They hold until a step
        changes the labels; from then on the labels, softened, stand for them.
    prior : Volume or None
        Such channels as well: how likely each structure is at each place, whatever the image shows.
    known : KnownSlices or None
        Painted slices to make a prior of, where there is none.
    spread : tuple of float or None
        Standard deviation of the image's channels, where it is only a part of an image.
    """

    image: Volume | None = None
    probabilities: Volume | None = None
    prior: Volume | None = None
    known: KnownSlices | None = None
    spread: tuple[float, ...] | None = None

    def cropped(self, start: int, stop: int) -> Self:
        """What there is of the slices `start` to `stop` along z, with the contrast of the whole image."""
        spread = self.spread
        if self.image is not None and spread is None:
            spread = spread_of(self.image)
        parts = {
            name: volume and replace(volume, array=volume.array[:, start:stop])
            for name, volume in (("image", self.image), ("probabilities", self.probabilities), ("prior", self.prior))
        }
        known = self.known and replace(self.known, part=(start, stop))
        return replace(self, **parts, known=known, spread=spread)

    def volumes(self) -> Iterator[Volume | Labels]:
        """All that must lie on the labels' grid."""
        yield from (volume for volume in (self.image, self.probabilities, self.prior) if volume is not None)
        if self.known is not None:
            yield self.known.outline()


NO_CONTEXT = CleanupContext()


def spread_of(image: Volume) -> tuple[float, ...]:
    """The standard deviation of each channel's finite voxels; 0 where there is none."""
    voxels = (channel[np.isfinite(channel)] if channel.dtype.kind == "f" else channel for channel in image.array)
    return tuple(float(found.std(dtype=np.float64)) if found.size else 0.0 for found in voxels)


def spacing_in(unit: str, grid: Grid) -> Triple:
    """Voxel size in a step's unit; ``pixel`` counts voxels, or takes the ratios of a grid without a unit."""
    if unit != "pixel":
        return grid.spacing_in(unit)
    return (1.0, 1.0, 1.0) if grid.is_physical else grid.spacing


@dataclass(frozen=True)
class CleanupState:
    """What a step works on: labels of shape (Z, Y, X), or (Y, X) where there is one slice, and the context."""

    array: LabelArray
    grid: Grid
    structures: tuple[Structure, ...]
    are_objects: bool
    context: CleanupContext = field(default_factory=CleanupContext)

    @classmethod
    def of(cls, array: LabelArray, labels: Labels, context: CleanupContext) -> Self:
        """The state of labels whose array has been made plain; raises `InputError` where the grids differ."""
        grid = labels.grid
        for volume in context.volumes():
            grid = common_grid(volume, replace(labels, grid=grid))
        return cls(array, grid, labels.structures, labels.are_objects, context)

    @property
    def image(self) -> npt.NDArray[Any] | None:
        """The mean of the image's channels, in the shape of the labels."""
        image = self.context.image
        return None if image is None else image.array.mean(axis=0, dtype=np.float32).reshape(self.array.shape)

    def spacing(self, unit: str) -> tuple[float, ...]:
        """Voxel size along the axes of the labels; see `spacing_in`."""
        return spacing_in(unit, self.grid)[-self.array.ndim :]

    def regions(self, step: Step) -> list[tuple[int, Box]]:
        """The labels that the step is for, with their boxes."""
        return [(label, box) for label, box in regions(self.array) if not step.structures or label in step.structures]

    def each(self, step: Step, change: Callable[[Mask], Mask]) -> CleanupState:
        """Change each structure's mask alone. What it gains is taken from the background, never from another one."""
        array = self.array.copy()
        for label, box in self.regions(step):
            view = array[box]
            mask = view == label
            changed = change(mask)
            view[mask & ~changed] = 0
            view[changed & (view == 0)] = label
        return replace(self, array=array)

    def forget_probabilities(self) -> CleanupState:
        """The state after its labels were changed: the network's probabilities are not theirs any more."""
        return replace(self, context=replace(self.context, probabilities=None))
