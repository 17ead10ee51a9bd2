"""Prediction with a light model: slice by slice, in any order, in windows where a slice is large."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.geometry.tiles import Box, Needs, Tile, plan_tiles
from napari_unetseg.core.models.card import Normalisation
from napari_unetseg.core.models.normalisation import Normaliser, normaliser
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Structure, Volume
from napari_unetseg.engine.devices import OutOfMemory, memory_guard
from napari_unetseg.engine.inference.aggregate import PredictionAggregator
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier, PixelClassifierSettings
from napari_unetseg.engine.networks.pixel.features import FeatureSource
from napari_unetseg.errors import ResourceError, SettingsError

STAGE = "Predicting"
Flip = tuple[int, ...]  # axes of a slice (C, Y, X)
WINDOW = 1280  # pixels along y and x that one pass may see: about 1 GB of features
MARGIN = 32  # pixels that the U-Nets' answer depends on, in effect, beyond the filters' reach


@dataclass(frozen=True)
class SliceRun:
    """What it takes to predict a volume with a light model.

    Parameters
    ----------
    network : PixelClassifier
    structures : tuple of Structure
    read : Normaliser
        Turns the volume's intensities into the network's input.
    device : torch.device
    """

    network: PixelClassifier
    structures: tuple[Structure, ...]
    read: Normaliser
    device: torch.device


def check_scale(name: str, settings: SegmentSettings) -> None:
    """Raise `SettingsError` for a scale: a light model's features are of the image's own voxels."""
    if settings.scale != 1:
        raise SettingsError(f"{name} takes images as they are: expected a scale of 1; got {settings.scale:g}.")


def iter_light(
    run: SliceRun, volume: Volume, settings: SegmentSettings, notes: list[str]
) -> Job[tuple[PredictionAggregator, torch.device]]:
    """Predict every slice; yields before each, and stops there when it is closed.

    Where the device's memory runs out, it begins again on the CPU and adds that to `notes`.

    Returns
    -------
    The result, and the device that it was computed on.

    Raises
    ------
    ResourceError
        If the CPU has not enough memory either.
    """
    try:
        return (yield from _aggregated(run, volume, settings)), run.device
    except OutOfMemory as error:
        if run.device.type == "cpu":
            raise ResourceError("Not enough memory for the features of one slice. Close other programs.") from error
        notes.append(f"Not enough memory on {run.device}: went on with the CPU.")
    yield Progress(0, 1, STAGE, notes[-1])
    cpu = torch.device("cpu")
    return (yield from _aggregated(replace(run, device=cpu), volume, settings)), cpu


def _aggregated(run: SliceRun, volume: Volume, settings: SegmentSettings) -> Job[PredictionAggregator]:
    aggregator = PredictionAggregator(volume.shape, run.structures, settings.write == "probabilities")
    network = run.network.to(run.device).eval()
    windows = _windows(volume, network.settings)
    began, total = time.monotonic(), len(windows) * volume.shape[0]
    for index, window in enumerate(windows):
        sources = _sources(run, volume, window, mirroring=settings.flips)
        for z in range(volume.shape[0]):
            done = index * volume.shape[0] + z
            left = (time.monotonic() - began) / done * (total - done) if done else None
            yield Progress(done, total, STAGE, seconds_left=left)
            with memory_guard(run.device):
                aggregator.write(_box(z, window), _within(_averaged(network, sources, z), window)[:, None])
    yield Progress(total, total, STAGE, seconds_left=0.0)
    return aggregator


@torch.inference_mode()
def slice_probabilities(network: PixelClassifier, source: FeatureSource, z: int) -> torch.Tensor:
    """Probabilities (outputs, Y, X), float32, of one slice."""
    scores: torch.Tensor = network(source[z])
    return scores.softmax(dim=0)


@lru_cache
def seconds_per_pixel(settings: PixelClassifierSettings, device: torch.device) -> float:
    """Time a network of that architecture on one small slice: a second pass, the first one warms up."""
    side = 128
    volume = Volume(np.zeros((settings.inputs, 1 + 2 * settings.filters.halo[0], side, side), np.float32))
    network, read = PixelClassifier.from_settings(settings).to(device).eval(), normaliser(volume, Normalisation())
    for _ in range(2):
        began = time.perf_counter()
        source = FeatureSource(volume, read, network.extractor, device, room=0)
        slice_probabilities(network, source, settings.filters.halo[0]).sum().item()  # .item() waits for the device
        seconds = time.perf_counter() - began
    return seconds / side**2


def _windows(volume: Volume, settings: PixelClassifierSettings) -> tuple[Tile, ...]:
    """The whole slice, or windows that see as far beyond what they fill as their result depends on."""
    nets = [net for net in (settings.base, settings.refiner) if net is not None]
    stride = tuple(max((net.stride[axis] for net in nets), default=1) for axis in (0, 1))
    halo = settings.filters.halo[1] + (MARGIN if nets else 0)
    shape = (1, *volume.shape[1:])
    return plan_tiles(shape, (1, WINDOW, WINDOW), Needs((1, stride[0], stride[1]), (0, halo, halo)))


def _sources(run: SliceRun, volume: Volume, window: Tile, *, mirroring: bool) -> list[tuple[Flip, FeatureSource]]:
    """What a window sees, and the same mirrored."""
    _, (top, bottom), (left, right) = window.seen
    seen = volume.array[:, :, max(top, 0) : bottom, max(left, 0) : right]
    return [
        (axes, FeatureSource(replace(volume, array=flipped), run.read, run.network.extractor, run.device, room=0))
        for axes, flipped in _flipped(seen, mirroring=mirroring)
    ]


def _flipped(array: npt.NDArray[Any], *, mirroring: bool) -> Iterator[tuple[Flip, npt.NDArray[Any]]]:
    for axes in [(), (1,), (2,), (1, 2)] if mirroring else [()]:
        yield axes, np.flip(array, tuple(axis + 1 for axis in axes))


def _averaged(network: PixelClassifier, sources: Sequence[tuple[Flip, FeatureSource]], z: int) -> torch.Tensor:
    answers = [slice_probabilities(network, source, z).flip(axes) for axes, source in sources]
    return torch.stack(answers).mean(0)


def _box(z: int, window: Tile) -> Box:
    return (z, z + 1), window.fills[1], window.fills[2]


def _within(probabilities: torch.Tensor, window: Tile) -> torch.Tensor:
    (top, bottom), (left, right) = (
        (fills[0] - max(seen[0], 0), fills[1] - max(seen[0], 0))
        for fills, seen in zip(window.fills[1:], window.seen[1:], strict=True)
    )
    return probabilities[:, top:bottom, left:right]
