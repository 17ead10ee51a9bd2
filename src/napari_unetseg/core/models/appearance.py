"""Appearance of an image, in numbers: enough to tell which model was trained on images like it, and whether any was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unetseg.core.geometry.tiles import Box, Span
from napari_unetseg.core.models.card import Appearance, ImageDescriptor, Normalisation
from napari_unetseg.core.models.normalisation import LUMINANCE, normaliser
from napari_unetseg.core.volume import Volume
from napari_unetseg.core.voxels import VoxelSource

VERSION = 2
"""Of the numbers: descriptors of other versions are not compared with these. The first had 15."""
SIDE = 512
"""Pixels along y and x that are looked at, at most: in the middle."""
SLICES = 3
OCTAVES = 6
PATTERNED = 4
"""Octaves, from the finest, whose patterns are counted."""
LEAST_SIDE = 10
"""Pixels below which an octave has nothing to say."""
LEAST = 1e-3
"""Share of the contrast below which detail counts as none."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_SKEW = 6.0
PATTERNS = 10
LENGTH = 4 + len(QUANTILES) + 5 * OCTAVES + PATTERNS * PATTERNED
"""Numbers in a descriptor."""
CROP = (0.35, 32)
"""The least share of each side, and pixels, of what is cut out of a training image to be looked at alone."""
Plane = npt.NDArray[np.float32]


def describe_image(volume: VoxelSource) -> tuple[ImageDescriptor, ...]:
    """The descriptors of a volume, one for each of `descriptor_boxes`; see `describe_plane`."""
    return describe_parts(part_of(volume, box) for box in descriptor_boxes(volume.shape))


def describe_parts(parts: Iterable[Volume]) -> tuple[ImageDescriptor, ...]:
    """The descriptors of slices, each of luminance or of the first channel."""
    return tuple(describe_plane(plane) for part in parts for plane in planes_of(part))


def descriptor_boxes(shape: tuple[int, int, int]) -> list[Box]:
    """The parts of a volume (Z, Y, X) that are looked at: the middle of some slices."""
    depth, *sides = shape
    rows, columns = (_middle(length) for length in sides)
    return [((z, z + 1), rows, columns) for z in sorted({depth * (i + 1) // (SLICES + 1) for i in range(SLICES)})]


def part_of(source: VoxelSource, box: Box) -> Volume:
    """A part of a volume, with the whole one's grid."""
    return Volume(source.read(box), source.grid, source.channels, source.name)


def planes_of(part: Volume) -> Plane:
    """Luminance, or the first channel, of the slices of a part (Z, Y, X)."""
    return part.array[0] if not part.is_colour else np.tensordot(LUMINANCE, part.array, 1).astype(np.float32)


def appearance_of(planes: Sequence[Plane], groups: Sequence[int]) -> Appearance:
    """What a model was trained on, for its card: each plane, and a random part of it, as a user may have cut one out.

    Parameters
    ----------
    planes : sequence of ndarray, shape (Y, X)
    groups : sequence of int
        Planes of one group are of one image or place.
    """
    random = np.random.default_rng(0)
    seen = [plane for plane in planes for plane in (plane, _cropped(plane, random))]
    return Appearance(
        version=VERSION, descriptors=tuple(map(describe_plane, seen)), groups=tuple(np.repeat(groups, 2).tolist())
    )


def appearance_of_volumes(volumes: Iterable[Volume]) -> Appearance:
    """The same of whole volumes, in those slices of them that would be looked at."""
    planes = [
        (plane, group)
        for group, volume in enumerate(volumes)
        for box in descriptor_boxes(volume.shape)
        for plane in planes_of(part_of(volume, box))
    ]
    return appearance_of([plane for plane, _ in planes], [group for _, group in planes])


def describe_plane(plane: npt.NDArray[np.generic]) -> ImageDescriptor:
    """`LENGTH` numbers about one slice; None where it is too small for a number.

    Of the intensities, as a network would get them: mean, standard deviation, skewness, Geary's ratio and quantiles.
    Then, octave by octave from the finest, of what a blur takes away (a Laplacian pyramid, DOI
    10.1109/TCOM.1983.1095851): its contrast, as the logarithm of its share; its skewness and Geary's ratio; its
    correlation with the brightness around; whether what the blur leaves is curved both ways, as dots are, or one way,
    as lines. Last, of the finest octaves, how often each pattern of brighter neighbours comes, turned and uniform
    (local binary patterns, DOI 10.1109/TPAMI.2002.1017623), as square roots.

    Parameters
    ----------
    plane : ndarray, shape (Y, X)
        Not empty, of any intensities. A constant image is allowed.
    """
    values = _normalised(plane)
    octaves: list[list[float | None]] = []
    patterns: list[list[float | None]] = []
    contrast, scale = float(values.std()) + LEAST, values
    for octave in range(OCTAVES):
        is_large = min(scale.shape) >= LEAST_SIDE
        blurred = ndimage.gaussian_filter(scale, 1.0, truncate=3.0) if is_large else scale
        octaves.append(_detail(scale, blurred, contrast) if is_large else [None] * 5)
        if octave < PATTERNED:
            patterns.append(_patterns(blurred) if is_large else [None] * PATTERNS)
        scale = blurred[::2, ::2]
    numbers = [*_intensities(values), *(n for part in (*octaves, *patterns) for n in part)]
    return tuple(None if number is None else round(float(number), 2) for number in numbers)


def _middle(length: int) -> Span:
    start = max(0, length - SIDE) // 2
    return start, min(length, start + SIDE)


def _cropped(plane: Plane, random: np.random.Generator) -> Plane:
    share, pixels = CROP
    sides = [max(min(n, pixels), int(n * np.exp(random.uniform(np.log(share), 0)))) for n in plane.shape]
    y, x = (int(random.integers(n - side + 1)) for n, side in zip(plane.shape, sides, strict=True))
    return plane[y : y + sides[0], x : x + sides[1]]


def _normalised(plane: npt.NDArray[np.generic]) -> Plane:
    part = Volume(plane[None, None])
    values: Plane = np.clip(normaliser(part, Normalisation())(part.array)[0, 0], -0.5, 1.5)
    return values


def _intensities(values: Plane) -> list[float]:
    quantiles = np.quantile(values, QUANTILES)
    return [float(values.mean()), float(values.std()), _skewness(values), _geary(values), *map(float, quantiles)]


def _detail(scale: Plane, blurred: Plane, contrast: float) -> list[float | None]:
    detail = scale - blurred
    share = float(np.log(detail.std() / contrast + LEAST))
    return [share, _skewness(detail) / 2, _geary(detail), _correlation(np.abs(detail), blurred), _curvature(blurred)]


def _skewness(values: Plane) -> float:
    around = values - values.mean()
    return float(np.clip((around * around * around).mean() / (around.std() + LEAST) ** 3, -MOST_SKEW, MOST_SKEW))


def _geary(values: Plane) -> float:
    """Mean absolute by standard deviation, as a logarithm: low where few values are far from the mean."""
    return float(np.log((np.abs(values - values.mean()).mean() + LEAST) / (values.std() + LEAST)))


def _correlation(one: Plane, other: Plane) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).mean() / (one.std() * other.std() + LEAST * LEAST))


def _curvature(values: Plane) -> float:
    """From -0.5 for saddles, over 0 for lines, to 0.5 for dots."""
    along_y, along_x = np.diff(values, 2, axis=0)[:, 1:-1], np.diff(values, 2, axis=1)[1:-1]
    power = (along_y * along_y).mean() + (along_x * along_x).mean()
    return float((along_y * along_x).mean() / (power + 1e-12))


def _patterns(values: Plane) -> list[float | None]:
    """Square roots of the shares of the nine uniform patterns of eight neighbours, and of all others."""
    height, width = values.shape
    ring = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    around = np.stack([values[y : height - 2 + y, x : width - 2 + x] for y, x in ring]) >= values[1:-1, 1:-1]
    changes = np.count_nonzero(around != np.roll(around, 1, axis=0), axis=0)
    codes = np.where(changes <= 2, np.count_nonzero(around, axis=0), PATTERNS - 1)
    return list(np.sqrt(np.bincount(codes.ravel(), minlength=PATTERNS) / codes.size))
