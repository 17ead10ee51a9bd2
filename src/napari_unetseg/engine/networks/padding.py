"""Mirrored borders: images larger than they are, as networks need them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F


def mirror_pad(image: torch.Tensor, pads: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Grow an image by mirroring it at its borders; where it is too thin for that, the border voxel is repeated.

    Parameters
    ----------
    image : tensor, (N, C, [Z,] Y, X)
    pads : (before, after) for each spatial axis
        Voxels of 0 or more. All 0: the image itself.
    """
    if not any(before or after for before, after in pads):
        return image
    fits = all(max(pad) < length for pad, length in zip(pads, image.shape[2:], strict=True))
    flat = [side for pad in reversed(pads) for side in pad]
    return F.pad(image, flat, mode="reflect" if fits else "replicate")


def grow_to_multiple(image: torch.Tensor, stride: Sequence[int]) -> torch.Tensor:
    """The image grown at its far ends up to a multiple of the stride, so that it begins where it began."""
    return mirror_pad(image, [(0, -length % step) for length, step in zip(image.shape[2:], stride, strict=True)])
