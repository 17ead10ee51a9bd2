"""Appearance of an image, in a few numbers: enough to tell which model was trained on images like it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unetseg.core.geometry.tiles import Box, Span
from napari_unetseg.core.models.card import ImageDescriptor, Normalisation
from napari_unetseg.core.models.normalisation import LUMINANCE, normaliser
from napari_unetseg.core.volume import Volume
from napari_unetseg.core.voxels import VoxelSource

SIDE = 512
"""Pixels along y and x that are looked at, at most: in the middle."""
SLICES = 3
OCTAVES = 6
LEAST = 1e-3
"""Share of the contrast below which detail counts as none."""
MOST_SKEW = 4.0


def describe_image(volume: VoxelSource) -> ImageDescriptor:
    """The descriptor of a volume; see `mean_descriptor`."""
    return mean_descriptor(part_of(volume, box) for box in descriptor_boxes(volume.shape))


def descriptor_boxes(shape: tuple[int, int, int]) -> list[Box]:
    """The parts of a volume (Z, Y, X) that are looked at: the middle of some slices."""
    depth, *sides = shape
    rows, columns = (_middle(length) for length in sides)
    return [((z, z + 1), rows, columns) for z in sorted({depth * (i + 1) // (SLICES + 1) for i in range(SLICES)})]


def part_of(source: VoxelSource, box: Box) -> Volume:
    """A part of a volume, with the whole one's grid."""
    return Volume(source.read(box), source.grid, source.channels, source.name)


def mean_descriptor(parts: Iterable[Volume]) -> ImageDescriptor:
    """The mean over slices, each of luminance or of the first channel, of 15 numbers.

    Mean, standard deviation and skewness of the intensities, as a network would get them; then, octave by octave from
    the finest, the contrast of what a blur takes away, as the logarithm of its share, and its skewness: dots are
    bright or dark, lines thin or thick. A Laplacian pyramid, DOI 10.1109/TCOM.1983.1095851.

    Parameters
    ----------
    parts : iterable of Volume
        At least one, none of them empty. A constant image is allowed.
    """
    descriptors = [_describe_plane(plane) for part in parts for plane in _planes(part)]
    return tuple(round(float(number), 3) for number in np.mean(descriptors, axis=0))


def descriptor_distances(descriptor: ImageDescriptor, known: Sequence[Sequence[ImageDescriptor]]) -> list[float]:
    """How far a descriptor is from the nearest one of each group, in standard deviations of all that are known.

    Returns
    -------
    list of float
        Infinite for a group without descriptors, or with those of another length only, as other versions may have them.
    """
    groups = [[one for one in group if len(one) == len(descriptor)] for group in known]
    spread = np.std([one for group in groups for one in group] or [descriptor], axis=0) + LEAST
    return [
        float(np.sqrt((((np.array(group) - descriptor) / spread) ** 2).mean(axis=1)).min()) if group else np.inf
        for group in groups
    ]


def _middle(length: int) -> Span:
    start = max(0, length - SIDE) // 2
    return start, min(length, start + SIDE)


def _planes(part: Volume) -> npt.NDArray[np.float32]:
    mix = np.array([LUMINANCE if part.is_colour else np.eye(len(part.array))[0]])
    values = normaliser(part, Normalisation(), mix)(part.array)
    planes: npt.NDArray[np.float32] = np.clip(values, -0.5, 1.5)[0]
    return planes


def _describe_plane(plane: npt.NDArray[np.float32]) -> list[float]:
    contrast = float(plane.std()) + LEAST
    descriptor = [float(plane.mean()), float(plane.std()), _skewness(plane)]
    for _ in range(OCTAVES):
        blurred = ndimage.gaussian_filter(plane, 1.0, truncate=3.0)
        detail = plane - blurred
        descriptor += [float(np.log(detail.std() / contrast + LEAST)), _skewness(detail) / 2]
        plane = blurred[::2, ::2]
    return descriptor


def _skewness(values: npt.NDArray[np.float32]) -> float:
    around = values - values.mean()
    return float(np.clip((around * around * around).mean() / (around.std() + LEAST) ** 3, -MOST_SKEW, MOST_SKEW))
