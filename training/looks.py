"""What the training images of a model look like, for its card."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_unetseg.core.models.appearance import SIDE, mean_look
from napari_unetseg.core.models.card import Look
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.training.patches import Case

LOOKS = 128


def looks_of(cases: Sequence[Case]) -> tuple[Look, ...]:
    """`LOOKS` looks, each of a random place in a slice; of every so many cases, or several of each."""
    random = np.random.default_rng(0)
    return tuple(_look(cases[index * len(cases) // LOOKS], random) for index in range(LOOKS))


def _look(case: Case, random: np.random.Generator) -> Look:
    image = case.image.cpu().numpy()
    stack = image.reshape(len(image), -1, *image.shape[-2:])
    size = (1, SIDE, SIDE)
    room = [max(1, length - side + 1) for length, side in zip(stack.shape[1:], size, strict=True)]
    z, y, x = (int(start) for start in random.integers(room))
    return mean_look([Volume(stack[:1, z : z + 1, y : y + SIDE, x : x + SIDE])])
