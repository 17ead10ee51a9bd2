"""Random changes of patches: where things lie, in which image and labels move together, and how bright they are.

Everything works on batches, on the device of the image; random numbers come from a CPU generator, so that the same
seed gives the same changes everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from napari_unetseg.core.annotations.sparse_labels import IGNORE

Range = tuple[float, float]


@dataclass(frozen=True)
class Augmentation:
    """What may change, and by how much. The defaults change nothing.

    Parameters
    ----------
    flip_axes : tuple of int
        Spatial axes that may be mirrored, each with probability 1/2.
    turn_planes : tuple of pairs of axes
        Planes in which 90° turns and rotations are allowed: axes of equal spacing only.
    quarter_turns : bool
        Whether those planes are turned by 90°; false for what always lies one way round, as organs in a scanner do.
    rotation : float
        Largest rotation in those planes, in degrees.
    scale : (smallest, largest)
        Magnification, drawn log-uniformly.
    elastic : float
        Largest displacement of elastic deformation, in voxels, along axes of `turn_planes`.
    warp_share : float
        Share of the patches that are rotated, scaled and deformed; the rest is only flipped and turned, exactly.
    contrast, brightness, gamma : float
        Largest change: contrast by a factor up to ``1 + contrast``, an offset, an exponent up to ``1 + gamma``.
    inversion : float
        Share of patches with inverted intensities, x → 1 - x.
    noise : float
        Largest standard deviation of Gaussian noise.
    blur : float
        Largest sigma of Gaussian blur, in voxels.
    low_resolution : float
        Largest factor by which a patch is made coarser.
    share : float
        Probability of each of noise, blur and low resolution.
    """

    flip_axes: tuple[int, ...] = ()
    turn_planes: tuple[tuple[int, int], ...] = ()
    quarter_turns: bool = True
    rotation: float = 0.0
    scale: Range = (1.0, 1.0)
    elastic: float = 0.0
    warp_share: float = 0.5
    contrast: float = 0.0
    brightness: float = 0.0
    gamma: float = 0.0
    inversion: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    low_resolution: float = 1.0
    share: float = 0.25

    @property
    def reach(self) -> float:
        """How many times the patch a crop must be, so that the smallest magnification still sees image."""
        return max(1.0, 1.0 / self.scale[0])


def augment(
    image: torch.Tensor, labels: torch.Tensor, patch: tuple[int, ...], how: Augmentation, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a randomly moved patch from the centre of each crop and change its intensities.

    Parameters
    ----------
    image : tensor, shape (N, C, [Z,] Y, X), float32
    labels : tensor, shape (N, [Z,] Y, X), int64
        Classes, `IGNORE` where not known.
    patch : tuple of int
        Size of the result, each axis of the same parity as the crop's.

    Returns
    -------
    image (N, C, *patch) and labels (N, *patch); labels are `IGNORE` where a patch reaches out of its crop.
    """
    image, labels = move(image, labels, patch, how, generator)
    return recolour(image, how, generator), labels


def move(
    image: torch.Tensor, labels: torch.Tensor, patch: tuple[int, ...], how: Augmentation, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The spatial half of `augment`: flips, turns, rotation, scale and elastic deformation."""
    grid = torch.stack([_sampling_grid(image.shape[2:], patch, how, generator) for _ in range(len(image))])
    grid = grid.to(image.device)
    moved = F.grid_sample(image, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    shifted = (labels - IGNORE).to(image.dtype)[:, None]  # outside the crop is sampled as 0, which is unknown
    classes = F.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return moved, classes[:, 0].round().long() + IGNORE


def _sampling_grid(
    crop: tuple[int, ...], patch: tuple[int, ...], how: Augmentation, generator: torch.Generator
) -> torch.Tensor:
    """Where each voxel of the patch is read from, in the coordinates of `torch.nn.functional.grid_sample`."""
    axes = [torch.arange(length, dtype=torch.float32) - (length - 1) / 2 for length in patch]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    matrix = _flips_and_turns(len(patch), how, generator)
    if _uniform(0, 1, generator) < how.warp_share:
        matrix = matrix @ _rotation_and_scale(len(patch), how, generator)
        places = places + _displacement(patch, how, generator)
    places = places @ matrix.T
    return (2 * places / torch.tensor(crop, dtype=torch.float32)).flip(-1)


def _flips_and_turns(dimensions: int, how: Augmentation, generator: torch.Generator) -> torch.Tensor:
    matrix = torch.eye(dimensions)
    for axis in how.flip_axes:
        if _uniform(0, 1, generator) < 0.5:
            matrix[axis] *= -1
    for first, second in how.turn_planes if how.quarter_turns else ():
        if _uniform(0, 1, generator) < 0.5:
            matrix[[first, second]] = matrix[[second, first]]
    return matrix


def _rotation_and_scale(dimensions: int, how: Augmentation, generator: torch.Generator) -> torch.Tensor:
    low, high = how.scale
    matrix = torch.eye(dimensions) / math.exp(_uniform(math.log(low), math.log(high), generator))
    for first, second in how.turn_planes:
        angle = math.radians(_uniform(-how.rotation, how.rotation, generator))
        plane = torch.eye(dimensions)
        plane[first, first] = plane[second, second] = math.cos(angle)
        plane[first, second], plane[second, first] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ plane
    return matrix


def _displacement(patch: tuple[int, ...], how: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Smooth random displacement: random vectors about every 16 voxels, interpolated between."""
    coarse = [max(2, length // 16 + 1) for length in patch]
    vectors = (
        how.elastic * _uniform(0, 1, generator) * (2 * torch.rand(1, len(patch), *coarse, generator=generator) - 1)
    )
    smooth = F.interpolate(vectors, size=patch, mode="bilinear" if len(patch) == 2 else "trilinear", align_corners=True)
    free = {axis for plane in how.turn_planes for axis in plane}
    mask = torch.tensor([float(axis in free) for axis in range(len(patch))])
    return smooth[0].movedim(0, -1) * mask


def recolour(image: torch.Tensor, how: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """The intensity half of `augment`, for (N, C, [Z,] Y, X) with intensities of about 0 to 1."""
    return torch.stack([_recolour_one(sample, how, generator) for sample in image])


def _recolour_one(sample: torch.Tensor, how: Augmentation, generator: torch.Generator) -> torch.Tensor:
    if _uniform(0, 1, generator) < how.share:
        sample = _coarser(sample, _uniform(1, how.low_resolution, generator))
    if _uniform(0, 1, generator) < how.share:
        sample = _blurred(sample, _uniform(0, how.blur, generator))
    sample = _gamma(sample, _factor(how.gamma, generator))
    if _uniform(0, 1, generator) < how.inversion:
        sample = 1 - sample
    mean = sample.mean()
    offset = _uniform(-how.brightness, how.brightness, generator)
    sample = (sample - mean) * _factor(how.contrast, generator) + mean + offset
    if _uniform(0, 1, generator) < how.share:
        noise = torch.randn(sample.shape, generator=generator).to(sample.device)
        sample = sample + _uniform(0, how.noise, generator) * noise
    return sample


def _gamma(sample: torch.Tensor, exponent: float) -> torch.Tensor:
    """Raise to a power between the darkest and the brightest value, which stay."""
    low, high = sample.min(), sample.max()
    span = (high - low).clamp_min(1e-6)
    return ((sample - low) / span).pow(exponent) * span + low


def _coarser(sample: torch.Tensor, factor: float) -> torch.Tensor:
    size = sample.shape[1:]
    mode = "bilinear" if len(size) == 2 else "trilinear"
    small = F.interpolate(sample[None], [max(2, round(n / factor)) for n in size], mode=mode, align_corners=False)
    return F.interpolate(small, size, mode=mode, align_corners=False)[0]


def _blurred(sample: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur along every spatial axis, one after the other."""
    radius = max(1, math.ceil(2.5 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / max(sigma, 1e-3)) ** 2).to(sample)
    taps = taps / taps.sum()
    for axis in range(1, sample.dim()):
        rows = sample.movedim(axis, -1)
        padded = F.pad(rows.reshape(-1, 1, rows.shape[-1]), (radius, radius), mode="replicate")
        sample = F.conv1d(padded, taps[None, None]).reshape(rows.shape).movedim(-1, axis)
    return sample


def _factor(change: float, generator: torch.Generator) -> float:
    """A factor between 1 / (1 + change) and 1 + change, log-uniformly."""
    limit = math.log1p(change)
    return math.exp(_uniform(-limit, limit, generator))


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
