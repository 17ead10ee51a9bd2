"""Random label volumes that look like segmentations: blobs, and a slightly wrong copy of them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def blobs(shape: tuple[int, ...], structures: int, seed: int, smooth: float = 2.0) -> np.ndarray:
    """Labels 0 … structures: where the largest of several smooth random fields wins."""
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.normal(size=shape), smooth) for _ in range(structures + 1)]
    return np.argmax(fields, axis=0).astype(np.uint8)


def distorted(labels: np.ndarray, seed: int, shift: int = 1, noise: float = 0.02) -> np.ndarray:
    """The labels, moved by some voxels and with some of them changed."""
    rng = np.random.default_rng(seed)
    moved = np.roll(labels, shift, axis=tuple(range(labels.ndim)))
    return np.where(rng.random(labels.shape) < noise, rng.integers(0, labels.max() + 1, labels.shape), moved).astype(
        labels.dtype
    )


def voronoi(shape: tuple[int, ...], count: int, radius: float, seed: int, move: float = 0.0) -> np.ndarray:
    """`count` numbered balls, cut where they touch; `move` shifts each of them a little."""
    rng = np.random.default_rng(seed)
    centres = rng.random((count, len(shape))) * shape
    centres = centres + move * rng.normal(size=centres.shape)
    points = np.indices(shape).reshape(len(shape), -1).T
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2)
    return np.where(distances.min(1) < radius, distances.argmin(1) + 1, 0).reshape(shape).astype(np.uint16)
