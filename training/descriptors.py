"""Descriptors of a model's training images, for its card."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_unetseg.core.models.appearance import SIDE, mean_descriptor
from napari_unetseg.core.models.card import ImageDescriptor
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.training.patches import Case

DESCRIPTORS = 128


def descriptors_of(cases: Sequence[Case]) -> tuple[ImageDescriptor, ...]:
    """`DESCRIPTORS` of them, each of a random place in a slice; of every so many cases, or several of each."""
    random = np.random.default_rng(0)
    return tuple(_descriptor(cases[index * len(cases) // DESCRIPTORS], random) for index in range(DESCRIPTORS))


def _descriptor(case: Case, random: np.random.Generator) -> ImageDescriptor:
    image = case.image.cpu().numpy()
    stack = image.reshape(len(image), -1, *image.shape[-2:])
    size = (1, SIDE, SIDE)
    room = [max(1, length - side + 1) for length, side in zip(stack.shape[1:], size, strict=True)]
    z, y, x = (int(start) for start in random.integers(room))
    return mean_descriptor([Volume(stack[:1, z : z + 1, y : y + SIDE, x : x + SIDE])])
