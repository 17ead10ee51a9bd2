"""How far a trained network really looks: the halo that its tiles need."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from training.data import normalised
from training.recipe import Array

from napari_unetseg.engine.unet import UNet

GRADIENT_SHARE = 0.99
AGREEMENT = 0.998
CORES = 6


def measured_halo(network: UNet, images: list[Array]) -> tuple[int, int, int]:
    """Smallest halo (z, y, x) with which tiles give the labels of the whole image.

    The search begins at the radius that holds 99 % of the gradient of the central scores, rounded up to the
    network's stride, and grows until the labels of tiles agree with those of the whole image in 99.8 % of the voxels.

    Parameters
    ----------
    images : list of ndarray, shape (Z, Y, X)
        Larger than the field of view where possible; 2D ones have one slice.
    """
    stride = network.settings.stride
    inputs = [normalised(image[0] if len(stride) == 2 else image)[None] for image in images]
    radii = np.max([_gradient_radius(network, image) for image in inputs], axis=0)
    halo = [int(-(-radius // step) * step) for radius, step in zip(radii, stride, strict=True)]
    while not _agrees(network, inputs, halo) and max(halo) < 128:
        halo = [length + step for length, step in zip(halo, stride, strict=True)]
    z, y, x = [0, *halo] if len(halo) == 2 else halo
    return z, y, x


def _gradient_radius(network: UNet, image: torch.Tensor) -> list[int]:
    """Per axis, the distance from the centre within which `GRADIENT_SHARE` of the gradient lies."""
    image = image.clone().requires_grad_()
    middle = tuple(length // 2 for length in image.shape[2:])
    network(image)[(0, slice(None), *middle)].amax().backward()
    gradient = image.grad[0].abs().sum(0)
    radii = []
    for axis, centre in enumerate(middle):
        others = tuple(a for a in range(len(middle)) if a != axis)
        profile = gradient.sum(others)
        distance = (torch.arange(len(profile)) - centre).abs()
        shares = torch.zeros(int(distance.max()) + 1).index_add_(0, distance, profile).cumsum(0)
        radii.append(int(torch.searchsorted(shares, GRADIENT_SHARE * shares[-1])))
    return radii


@torch.inference_mode()
def _agrees(network: UNet, inputs: list[torch.Tensor], halo: list[int]) -> bool:
    same, total = 0, 0
    for image in inputs:
        whole = network(image).argmax(1)
        for core in _cores(image.shape[2:], network.settings.stride):
            seen = tuple(slice(max(0, c.start - h), c.stop + h) for c, h in zip(core, halo, strict=True))
            inner = tuple(
                slice(c.start - s.start, c.stop - s.start) for c, s in zip(core, seen, strict=True)
            )
            tile = network(image[(slice(None), slice(None), *seen)]).argmax(1)[(0, *inner)]
            same, total = same + int((tile == whole[(0, *core)]).sum()), total + tile.numel()
    return same >= AGREEMENT * total


def _cores(size: torch.Size, stride: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """A few blocks of twice the stride, at multiples of it, spread over the image."""
    starts = [range(0, max(1, length - 2 * step), 2 * step) for length, step in zip(size, stride, strict=True)]
    blocks = list(itertools.product(*starts))
    chosen = np.random.default_rng(0).permutation(len(blocks))[:CORES]
    return [
        tuple(slice(s, min(s + 2 * step, n)) for s, step, n in zip(blocks[i], stride, size, strict=True)) for i in chosen
    ]
