"""A conditional random field over image and probabilities: neighbours that look alike should be alike.

Mean-field inference of a dense CRF (Krähenbühl and Koltun, arXiv 1210.5644) whose pairs end at a window's rim (arXiv
1805.04777): then a few shifted sums do what else takes a permutohedral lattice, in two and in three dimensions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.grid import Triple
from napari_unetseg.core.postprocess.context import spread_of
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.steps import Crf
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.devices import OutOfMemory, choose_device, memory_guard
from napari_unetseg.errors import InputError, ResourceError

Window = tuple[slice, ...]
STAGE = "Refining by the image"
SMALLEST = 1e-6
"""Probabilities below it count as this much, so that evidence can overcome them."""
NEAREST = 1.0
"""Standard deviation, in sides of the finest axis, of how far away smoothness looks."""


DEFAULTS = Crf()


def refine(
    probabilities: npt.NDArray[np.floating],
    image: Volume,
    settings: Crf = DEFAULTS,
    spread: Sequence[float] | None = None,
) -> npt.NDArray[np.float32]:
    """Make probabilities agree with each other and with the image.

    Parameters
    ----------
    probabilities : ndarray of float, shape (S + 1, Z, Y, X)
        Adding up to 1.
    image : Volume
        Of the same Z, Y and X. Its spacing shortens the window along coarse axes: distances are counted in sides of
        the finest one.
    settings : Crf
        Its window is also the standard deviation of the distance of neighbours that look alike; that of neighbours
        whatever they look like is one side. `per_slice` and `certainty` are for those who call this.
    spread : sequence of float, optional
        Standard deviation of each channel, where the image is a part of a larger one.

    Returns
    -------
    ndarray of float32, shape (S + 1, Z, Y, X)
        Adding up to 1.

    Raises
    ------
    InputError
        If the shapes differ.
    ResourceError
        If the memory is not enough.
    """
    return finish(iter_refine(probabilities, image, settings, spread))


def iter_refine(
    probabilities: npt.NDArray[np.floating],
    image: Volume,
    settings: Crf = DEFAULTS,
    spread: Sequence[float] | None = None,
    device: str = "auto",
) -> Job[npt.NDArray[np.float32]]:
    """`refine` as a generator that yields a `Progress` before each round.

    It computes on a torch device; where a GPU's memory is not enough, it begins again on the CPU and says so.
    """
    if probabilities.shape[1:] != image.shape:
        raise InputError(f"Expected probabilities of the image's shape {image.shape}; got {probabilities.shape[1:]}.")
    chosen = choose_device(device)
    try:
        return (yield from _rounds(probabilities, image, settings, spread, chosen))
    except OutOfMemory as error:
        if chosen.type == "cpu":
            raise ResourceError("Not enough memory for a crf of this size; refine per_slice, or a crop.") from error
    note = f"Not enough memory on {chosen}: going on with the CPU."
    yield Progress(0, max(1, settings.iterations), STAGE, note)
    return (yield from _rounds(probabilities, image, settings, spread, torch.device("cpu")))


def _rounds(
    probabilities: npt.NDArray[np.floating],
    image: Volume,
    settings: Crf,
    spread: Sequence[float] | None,
    device: torch.device,
) -> Job[npt.NDArray[np.float32]]:
    with memory_guard(device), torch.inference_mode():
        belief = torch.as_tensor(np.asarray(probabilities, np.float32), device=device).clamp_min(SMALLEST)
        unary = belief.log()
        looks = _standardised(image, spread, device)
        pairs = list(_pairs(image.grid.spacing, settings, image.shape))
    for done in range(settings.iterations):
        yield Progress(done, settings.iterations, STAGE)
        with memory_guard(device), torch.inference_mode():
            belief = torch.softmax(unary + _messages(belief, looks, pairs, settings), dim=0)
    return (belief / belief.sum(dim=0)).cpu().numpy()


@dataclass(frozen=True)
class _Pair:
    """All pairs of voxels at one offset: where the first ones are, where the second ones, and their two weights."""

    first: Window
    second: Window
    appearance: float
    smoothness: float


def _standardised(image: Volume, spread: Sequence[float] | None, device: torch.device) -> torch.Tensor:
    """The image with a standard deviation of 1 a channel; what is constant or not finite says nothing."""
    looks = torch.as_tensor(np.asarray(image.array, np.float32), device=device)
    finite = looks.isfinite()
    means = looks.where(finite, 0).flatten(1).sum(dim=1) / finite.flatten(1).sum(dim=1).clamp_min(1)
    looks = looks.where(finite, means.reshape(-1, 1, 1, 1))
    widths = torch.tensor(spread or spread_of(image), dtype=torch.float32, device=device)
    return looks / torch.where(widths > 0, widths, 1).reshape(-1, 1, 1, 1)


def _pairs(spacing: Triple, settings: Crf, shape: tuple[int, int, int]) -> Iterator[_Pair]:
    """One of every two opposite offsets within the window, with weights that add up to those of the settings."""
    finest = min((size for size, length in zip(spacing, shape, strict=True) if length > 1), default=1.0)
    sides = np.array(spacing) / finest
    reach = [min(int(settings.window / side), length - 1) for side, length in zip(sides, shape, strict=True)]
    offsets = np.array(list(itertools.product(*(range(-r, r + 1) for r in reach))))
    squared = np.sum((offsets * sides) ** 2, axis=1)
    offsets, squared = (values[(squared > 0) & (squared <= settings.window**2)] for values in (offsets, squared))
    near, nearer = (np.exp(-squared / (2 * sigma**2)) for sigma in (settings.window, NEAREST))
    weights = settings.appearance * near / near.sum(), settings.smoothness * nearer / nearer.sum()
    for offset, appearance, smoothness in zip(offsets.tolist(), *weights, strict=True):
        if offset > [0, 0, 0]:
            opposite = [-step for step in offset]
            yield _Pair(_moved(opposite, shape), _moved(offset, shape), float(appearance), float(smoothness))


def _moved(offset: list[int], shape: tuple[int, int, int]) -> Window:
    """The part of an array, all its channels, that an equal array which is moved by `offset` covers."""
    sides = zip(offset, shape, strict=True)
    return (slice(None), *(slice(max(0, step), length + min(0, step)) for step, length in sides))


def _messages(belief: torch.Tensor, looks: torch.Tensor, pairs: list[_Pair], settings: Crf) -> torch.Tensor:
    """What every voxel hears from those around it, for each class: shape of `belief`."""
    messages = torch.zeros_like(belief)
    for pair in pairs:
        apart = (looks[pair.first] - looks[pair.second]).square_().sum(dim=0)
        weight = apart.mul_(-0.5 / settings.contrast**2).exp_().mul_(pair.appearance).add_(pair.smoothness)
        messages[pair.first].addcmul_(weight, belief[pair.second])
        messages[pair.second].addcmul_(weight, belief[pair.first])
    return messages
