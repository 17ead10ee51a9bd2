"""Hand-made features at several scales, in the slice and through it: what a random forest on filters would see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from napari_unetseg.errors import SettingsError

TRUNCATE = 3.0  # a Gaussian is cut off at so many standard deviations
WHOLE, BAND = 384, 128
"""Voxels of an axis that are filtered by one matrix, and those of a part of a longer one."""
LARGEST_SCALE = 1000.0  # voxels: beyond, a filter is larger than any slice


@dataclass(frozen=True)
class FilterSettings:
    """Which filters; JSON-able, so that a model's card can hold it.

    Parameters
    ----------
    channels : int
        Image channels; each is filtered on its own.
    flat : tuple of float
        Standard deviations of the filters within a slice, in pixels of the slice.
    deep : tuple of float
        Standard deviations of the filters through slices, in pixels of the slice. Empty for a 2D image.
    depth : float
        Distance between slices, in pixels of the slice: 10 for a stack with slices 10 times as thick as its pixels.

    Raises
    ------
    SettingsError
        If a number is not above 0, or a filter is larger than any image.
    """

    channels: int = 1
    flat: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    deep: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    depth: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "flat", tuple(self.flat))
        object.__setattr__(self, "deep", tuple(self.deep))
        if min(self.channels, self.depth, *self.flat, *self.deep) <= 0:
            raise SettingsError(f"Expected channels, scales and depth above 0; got {self}.")
        if max(*self.flat, *self.deep, *(scale / self.depth for scale in self.deep), 0.0) > LARGEST_SCALE:
            raise SettingsError(f"Expected scales of at most {LARGEST_SCALE} voxels; got {self}.")

    @property
    def outputs(self) -> int:
        """How many features come out."""
        return self.channels * (1 + FLAT * len(self.flat) + DEEP * len(self.deep))

    @property
    def halo(self) -> tuple[int, int, int]:
        """Voxels around a place that its features depend on (z, y, x)."""
        plane = _radius(max(*self.flat, *self.deep, 0.0)) + 2
        return (_radius(max(self.deep) / self.depth) if self.deep else 0), plane, plane


FLAT = 5  # features a scale within the slice: smooth, gradient, two Hessian eigenvalues, deviation
DEEP = 6  # features a scale through slices: smooth, gradient, three Hessian eigenvalues, deviation


class Filters(nn.Module):
    """The filters that `settings` describe. No parameters: the same image gives the same features."""

    def __init__(self, settings: FilterSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, image: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
        """Features of the slices `rows` of an image.

        Parameters
        ----------
        image : (N, channels, Z, Y, X) float
            Normalised intensities; beyond its border the image is mirrored.
        rows : slice
            The slices of `image` whose features are wanted.

        Returns
        -------
        (N, outputs, rows, Y, X) float
            Scale-normalised (a derivative of order n is multiplied by σⁿ), so that they share one magnitude. The
            Hessian's eigenvalues ascend.
        """
        plane = image[:, :, rows]
        found = [plane]
        for sigma in self.settings.flat:
            found += _flat_features(plane, sigma)
        square = image**2 if self.settings.deep else image
        for sigma in self.settings.deep:
            found += _deep_features(image, square, rows, sigma, self.settings.depth)
        return torch.cat(found, dim=1)


def _flat_features(plane: torch.Tensor, sigma: float) -> list[torch.Tensor]:
    smooth = _blur_plane(plane, sigma)
    dy, dx = (_slope(smooth, axis) * sigma for axis in (-2, -1))
    hyy, hxx, hxy = _slope(dy, -2) * sigma, _slope(dx, -1) * sigma, _slope(dy, -1) * sigma
    middle, spread = (hyy + hxx) / 2, torch.sqrt(((hyy - hxx) / 2) ** 2 + hxy**2)
    deviation = _deviation(_blur_plane(plane**2, sigma), smooth)
    return [smooth, torch.sqrt(dy**2 + dx**2), middle - spread, middle + spread, deviation]


def _deep_features(
    image: torch.Tensor, squares: torch.Tensor, rows: slice, sigma: float, depth: float
) -> list[torch.Tensor]:
    """As `_flat_features`, in space; along z by derivatives of a Gaussian, since only `rows` are wanted."""
    through = [_along_z(image, rows, sigma / depth, order) for order in range(3)]
    smooth, dz, hzz = (_blur_plane(part, sigma) for part in through)
    dy, dx = (_slope(smooth, axis) * sigma for axis in (-2, -1))
    hyy, hxx, hxy = _slope(dy, -2) * sigma, _slope(dx, -1) * sigma, _slope(dy, -1) * sigma
    hzy, hzx = _slope(dz, -2) * sigma, _slope(dz, -1) * sigma
    square = _blur_plane(_along_z(squares, rows, sigma / depth, 0), sigma)
    gradient = torch.sqrt(dz**2 + dy**2 + dx**2)
    return [smooth, gradient, *_eigenvalues(hzz, hyy, hxx, hzy, hzx, hxy), _deviation(square, smooth)]


def _deviation(square: torch.Tensor, smooth: torch.Tensor) -> torch.Tensor:
    return torch.sqrt((square - smooth**2).clamp_min(0))


def _slope(image: torch.Tensor, axis: int) -> torch.Tensor:
    """Central differences; 0 along an axis of one voxel."""
    if image.shape[axis] == 1:
        return torch.zeros_like(image)
    ahead = torch.cat([image.narrow(axis, 1, image.shape[axis] - 1), image.narrow(axis, -1, 1)], dim=axis)
    behind = torch.cat([image.narrow(axis, 0, 1), image.narrow(axis, 0, image.shape[axis] - 1)], dim=axis)
    return (ahead - behind) / 2


def _eigenvalues(
    zz: torch.Tensor, yy: torch.Tensor, xx: torch.Tensor, zy: torch.Tensor, zx: torch.Tensor, yx: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Eigenvalues of a symmetric 3×3 matrix, ascending, in closed form (DOI 10.1145/355578.366316)."""
    mean = (zz + yy + xx) / 3
    a, b, c = zz - mean, yy - mean, xx - mean
    scale = torch.sqrt((a**2 + b**2 + c**2 + 2 * (zy**2 + zx**2 + yx**2)) / 6).clamp_min(1e-12)
    determinant = a * (b * c - yx**2) - zy * (zy * c - yx * zx) + zx * (zy * yx - b * zx)
    angle = torch.acos((determinant / (2 * scale**3)).clamp(-1, 1)) / 3
    largest = mean + 2 * scale * torch.cos(angle)
    smallest = mean + 2 * scale * torch.cos(angle + 2 * math.pi / 3)
    return smallest, 3 * mean - largest - smallest, largest


def _blur_plane(image: torch.Tensor, sigma: float) -> torch.Tensor:
    along_y = _smoother(image.shape[-2], sigma, 0).to(image)
    along_x = _smoother(image.shape[-1], sigma, 0).to(image)
    blurred = torch.cat([along_y[out, seen] @ image[..., seen, :] for out, seen in _bands(len(along_y), sigma)], dim=-2)
    return torch.cat([blurred[..., seen] @ along_x[out, seen].T for out, seen in _bands(len(along_x), sigma)], dim=-1)


def _bands(length: int, sigma: float) -> list[tuple[slice, slice]]:
    """Parts of an axis, and what a filter sees for each: far from its diagonal the matrix is 0."""
    if length <= WHOLE:
        return [(slice(0, length), slice(0, length))]
    reach = _radius(sigma)
    starts = range(0, length, BAND)
    return [(slice(a, a + BAND), slice(max(0, a - reach), min(length, a + BAND + reach))) for a in starts]


def _along_z(image: torch.Tensor, rows: slice, sigma: float, order: int) -> torch.Tensor:
    """The Gaussian's derivative of an order along z, at `rows`, scale-normalised."""
    matrix = _smoother(image.shape[2], sigma, order).to(image)[rows]
    return torch.einsum("rz,nczyx->ncryx", matrix, image)


@lru_cache(maxsize=256)
def _smoother(length: int, sigma: float, order: int) -> torch.Tensor:
    """The (length, length) matrix that filters an axis with a Gaussian's derivative, mirrored at the ends.

    A product of matrices is several times as fast as a convolution here, and exact.
    """
    reach = torch.arange(-_radius(sigma), _radius(sigma) + 1, dtype=torch.float64)
    bell = torch.exp(-0.5 * (reach / sigma) ** 2)
    bell /= bell.sum()
    kernel = bell
    if order == 1:  # the sign makes `matrix @ image` the slope; each is exact for a line or a parabola
        kernel = reach * bell
        kernel = kernel / (kernel * reach).sum().clamp_min(1e-12) * sigma
    elif order == 2:
        kernel = (reach**2 / sigma**2 - 1) * bell
        kernel = kernel - kernel.mean()
        norm = (kernel * reach**2).sum() / 2
        kernel = kernel / norm * sigma**2 if norm > 0 else torch.zeros_like(kernel)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    centres = torch.arange(length)
    for offset, weight in zip(reach.long().tolist(), kernel.tolist(), strict=True):
        matrix[centres, _mirrored(centres + offset, length)] += weight
    return matrix.float()


def _mirrored(index: torch.Tensor, length: int) -> torch.Tensor:
    """Indices folded back into 0 … length − 1: d c b a | a b c d | d c b a."""
    index = index.remainder(2 * length)
    return torch.minimum(index, 2 * length - 1 - index)


def _radius(sigma: float) -> int:
    return max(1, math.ceil(TRUNCATE * sigma)) if sigma > 0 else 0
