"""A conditional random field over image and probabilities: neighbours that look alike should be alike.

Mean-field inference of a dense CRF (Krähenbühl and Koltun, arXiv 1210.5644) whose pairs end at a window's rim (arXiv
1805.04777): then a few shifted sums do what else takes a permutohedral lattice, in two and in three dimensions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.settings import setting
from napari_unetseg.core.volume import Triple, Volume
from napari_unetseg.errors import InputError, SettingsError

Window = tuple[slice, ...]
SMALLEST = 1e-6
"""Probabilities below it count as this much, so that evidence can overcome them."""


@dataclass(frozen=True)
class CrfSettings:
    """How strongly, and how far, voxels are bound to those around them.

    Raises
    ------
    SettingsError
        If a value is negative or not finite, or a distance or the contrast is 0.
    """

    iterations: int = setting(5, "Rounds of mean-field inference.")
    appearance: float = setting(3.0, "Weight of neighbours that look alike.")
    appearance_distance: float = setting(3.0, "How far apart they may be: a standard deviation, in voxel sides.")
    contrast: float = setting(0.3, "How different they may look: a standard deviation, in those of the image.")
    smoothness: float = setting(1.0, "Weight of neighbours whatever they look like.")
    smoothness_distance: float = setting(1.0, "How far apart they may be: a standard deviation, in voxel sides.")
    radius: int = setting(3, "Where the window ends, in voxel sides.")

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            above = one.name in ("appearance_distance", "contrast", "smoothness_distance", "radius")
            if not (math.isfinite(value) and value >= 0 and (value > 0 or not above)):
                raise SettingsError(f"Expected {one.name} {'above 0' if above else 'of 0 or more'}; got {value}.")


DEFAULTS = CrfSettings()


def refine(
    probabilities: npt.NDArray[np.floating],
    image: Volume,
    settings: CrfSettings = DEFAULTS,
    device: str = "cpu",
) -> npt.NDArray[np.float32]:
    """Make probabilities agree with each other and with the image.

    Parameters
    ----------
    probabilities : ndarray of float, shape (S + 1, Z, Y, X)
        Adding up to 1.
    image : Volume
        Of the same Z, Y and X. Its spacing shortens the window along coarse axes: distances are counted in sides of
        the finest one.
    settings : CrfSettings
    device : str
        A torch device.

    Returns
    -------
    ndarray of float32, shape (S + 1, Z, Y, X)
        Adding up to 1.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    return finish(iter_refine(probabilities, image, settings, device))


def iter_refine(
    probabilities: npt.NDArray[np.floating],
    image: Volume,
    settings: CrfSettings = DEFAULTS,
    device: str = "cpu",
) -> Job[npt.NDArray[np.float32]]:
    """`refine` as a generator that yields a `Progress` before each round."""
    if probabilities.shape[1:] != image.shape:
        raise InputError(f"Expected probabilities of the image's shape {image.shape}; got {probabilities.shape[1:]}.")
    with torch.inference_mode():
        belief = torch.as_tensor(np.asarray(probabilities, np.float32), device=device).clamp_min(SMALLEST)
        unary = belief.log()
        looks = _standardised(image, device)
        pairs = list(_pairs(image.grid.spacing, settings, image.shape))
    for done in range(settings.iterations):
        yield Progress(done, settings.iterations, "Refining by the image")
        with torch.inference_mode():
            belief = torch.softmax(unary + _messages(belief, looks, pairs, settings), dim=0)
    return (belief / belief.sum(dim=0)).cpu().numpy()


@dataclass(frozen=True)
class _Pair:
    """All pairs of voxels at one offset: where the first ones are, where the second ones, and their two weights."""

    first: Window
    second: Window
    appearance: float
    smoothness: float


def _standardised(image: Volume, device: str) -> torch.Tensor:
    """The image with a standard deviation of 1 a channel; a constant channel says nothing."""
    looks = torch.as_tensor(np.asarray(image.array, np.float32), device=device)
    spread = looks.flatten(1).std(dim=1, correction=0)
    return looks / torch.where(spread > 0, spread, 1).reshape(-1, 1, 1, 1)


def _pairs(spacing: Triple, settings: CrfSettings, shape: tuple[int, int, int]) -> Iterator[_Pair]:
    """One of every two opposite offsets within the window, with weights that add up to those of the settings."""
    finest = min((size for size, length in zip(spacing, shape, strict=True) if length > 1), default=1.0)
    sides = np.array(spacing) / finest
    reach = [min(int(settings.radius / side), length - 1) for side, length in zip(sides, shape, strict=True)]
    offsets = np.array(list(itertools.product(*(range(-r, r + 1) for r in reach))))
    squared = np.sum((offsets * sides) ** 2, axis=1)
    offsets, squared = (values[(squared > 0) & (squared <= settings.radius**2)] for values in (offsets, squared))
    near, nearer = (
        np.exp(-squared / (2 * sigma**2)) for sigma in (settings.appearance_distance, settings.smoothness_distance)
    )
    weights = settings.appearance * near / near.sum(), settings.smoothness * nearer / nearer.sum()
    for offset, appearance, smoothness in zip(offsets.tolist(), *weights, strict=True):
        if offset > [0, 0, 0]:
            opposite = [-step for step in offset]
            yield _Pair(_moved(opposite, shape), _moved(offset, shape), float(appearance), float(smoothness))


def _moved(offset: list[int], shape: tuple[int, int, int]) -> Window:
    """The part of an array, all its channels, that an equal array which is moved by `offset` covers."""
    sides = zip(offset, shape, strict=True)
    return (slice(None), *(slice(max(0, step), length + min(0, step)) for step, length in sides))


def _messages(belief: torch.Tensor, looks: torch.Tensor, pairs: list[_Pair], settings: CrfSettings) -> torch.Tensor:
    """What every voxel hears from those around it, for each class: shape of `belief`."""
    messages = torch.zeros_like(belief)
    for pair in pairs:
        apart = (looks[pair.first] - looks[pair.second]).square_().sum(dim=0)
        weight = torch.exp(apart / (-2 * settings.contrast**2)) * pair.appearance + pair.smoothness
        messages[pair.first] += weight * belief[pair.second]
        messages[pair.second] += weight * belief[pair.first]
    return messages
