"""How far a trained network really looks: the halo that its tiles need."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.networks.registry import architecture_of
from training.data import normalised
from training.recipe import Array

AGREEMENT = 0.998
CORES = 16  # blocks of each image that are compared
LARGEST = 96


def measured_halo(network: Network, images: list[Array]) -> tuple[int, int, int]:
    """Smallest halo (z, y, x) with which tiles give the labels of the whole image in 99.8 % of their voxels.

    It is a multiple of the network's stride, and along each axis as many times the stride.

    Parameters
    ----------
    images : list of ndarray, shape (Z, Y, X)
        Larger than the field of view where possible; 2D ones have one slice.
    """
    stride = architecture_of(network).stride
    inputs = [_poolable(normalised(image[0] if len(stride) == 2 else image)[None], stride) for image in images]
    halo = list(stride)
    while not _agrees(network, inputs, halo) and max(halo) < LARGEST:
        halo = [length + step for length, step in zip(halo, stride, strict=True)]
    z, y, x = [0, *halo] if len(halo) == 2 else halo
    return z, y, x


def _poolable(image: torch.Tensor, stride: tuple[int, ...]) -> torch.Tensor:
    """The image cut to multiples of the stride: a network grows other sizes at both ends, which shifts its poolings."""
    return image[(..., *(slice(length // step * step) for length, step in zip(image.shape[2:], stride, strict=True)))]


@torch.inference_mode()
def _agrees(network: Network, inputs: list[torch.Tensor], halo: list[int]) -> bool:
    same, total = 0, 0
    for image in inputs:
        whole = network(image).argmax(1)
        for core in _cores(image.shape[2:], architecture_of(network).stride):
            seen = tuple(slice(max(0, c.start - h), c.stop + h) for c, h in zip(core, halo, strict=True))
            inner = tuple(slice(c.start - s.start, c.stop - s.start) for c, s in zip(core, seen, strict=True))
            tile = network(image[(slice(None), slice(None), *seen)]).argmax(1)[(0, *inner)]
            same, total = same + int((tile == whole[(0, *core)]).sum()), total + tile.numel()
    return same >= AGREEMENT * total


def _cores(size: torch.Size, stride: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """A few blocks of twice the stride, at multiples of it, spread over the image."""
    starts = [range(0, max(1, length - 2 * step), 2 * step) for length, step in zip(size, stride, strict=True)]
    blocks = list(itertools.product(*starts))
    chosen = np.random.default_rng(0).permutation(len(blocks))[:CORES]
    return [
        tuple(slice(s, min(s + 2 * step, n)) for s, step, n in zip(blocks[i], stride, size, strict=True))
        for i in chosen
    ]
