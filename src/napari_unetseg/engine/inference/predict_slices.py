"""Prediction slice by slice, in any order, in windows where a slice is large."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.geometry.tiles import Needs, Step, Tile, plan_tiles, triple
from napari_unetseg.core.grid import Box, Span
from napari_unetseg.core.models.card import Normalisation
from napari_unetseg.core.models.normalisation import Normaliser, normaliser
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.core.voxels import VoxelSource
from napari_unetseg.engine.devices import OutOfMemory, memory_guard
from napari_unetseg.engine.inference.aggregate import LabelAggregator
from napari_unetseg.engine.networks.architecture import Architecture, Scorer
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.errors import ResourceError, SettingsError

STAGE = "Predicting"
Flip = tuple[int, ...]  # axes of a slice (C, Y, X)
WINDOW = 1280  # pixels along y and x that one pass may see: about 1 GB of features


@dataclass(frozen=True)
class SliceRun:
    """What it takes to predict a volume slice by slice.

    Parameters
    ----------
    network : Network
        Of an architecture that is predicted in slices.
    aggregator : LabelAggregator
        Takes the results.
    read : Normaliser
        Turns the volume's intensities into the network's input.
    device : torch.device
    """

    network: Network
    aggregator: LabelAggregator
    read: Normaliser
    device: torch.device


def check_scale(name: str, settings: SegmentSettings) -> None:
    """Raise `SettingsError` for a scale: what goes slice by slice sees the image's own voxels."""
    if settings.scale != 1:
        raise SettingsError(f"{name} takes images as they are: expected a scale of 1; got {settings.scale:g}.")


def iter_slices(run: SliceRun, volume: VoxelSource, settings: SegmentSettings, notes: list[str]) -> Job[torch.device]:
    """Predict every slice; yields before each, and stops there when it is closed.

    Where the device's memory runs out, it begins again on the CPU and adds that to `notes`.

    Returns
    -------
    The device that the result was computed on.

    Raises
    ------
    ResourceError
        If the CPU has not enough memory either.
    """
    try:
        yield from _iter_slices(run, volume, settings)
    except OutOfMemory as error:
        if run.device.type == "cpu":
            raise ResourceError("Not enough memory for the features of one slice. Close other programs.") from error
        notes.append(f"Not enough memory on {run.device}: went on with the CPU.")
    else:
        return run.device
    yield Progress(0, 1, STAGE, notes[-1])
    cpu = torch.device("cpu")
    yield from _iter_slices(replace(run, device=cpu), volume, settings)
    return cpu


def _iter_slices(run: SliceRun, volume: VoxelSource, settings: SegmentSettings) -> Job[None]:
    architecture = architecture_of(run.network)
    run = replace(run, network=architecture.prepare(run.network, run.device, torch.float32))
    windows = _windows(volume, architecture)
    began, total = time.monotonic(), len(windows) * volume.shape[0]
    for index, window in enumerate(windows):
        scorers = _scorers(run, volume, window, mirroring=settings.flips)
        for z in range(volume.shape[0]):
            done = index * volume.shape[0] + z
            left = (time.monotonic() - began) / done * (total - done) if done else None
            yield Progress(done, total, STAGE, seconds_left=left)
            with memory_guard(run.device):
                run.aggregator.write(_box(z, window), _within(_averaged(scorers, z), window)[:, None])
    yield Progress(total, total, STAGE, seconds_left=0.0)


@torch.inference_mode()
def _probabilities(scorer: Scorer, z: int) -> torch.Tensor:
    """Probabilities (outputs, Y, X), float32, of one slice."""
    return scorer(z).softmax(dim=0)


@lru_cache
def seconds_per_pixel(architecture: Architecture[Any], device: torch.device) -> float:
    """Time a network of that architecture on one small slice: a second pass, the first one warms up."""
    side, deep = 128, sum(architecture.field_of_view[:-2])
    volume = Volume(np.zeros((architecture.settings.inputs, 1 + 2 * deep, side, side), np.float32))
    network = architecture.prepare(architecture.build(), device, torch.float32)
    read = normaliser(volume, Normalisation())
    for _ in range(2):
        began = time.perf_counter()
        scorer = architecture.scorer(network, volume, read, device)
        _probabilities(scorer, deep).sum().item()  # .item() waits for the device
        seconds = time.perf_counter() - began
    return seconds / side**2


def _windows(volume: VoxelSource, architecture: Architecture[Any]) -> tuple[Tile, ...]:
    """The whole slice, or windows that see as far beyond what they fill as their result depends on."""
    stride, halo = triple((1, *architecture.stride[-2:])), triple((0, *architecture.field_of_view[-2:]))
    return plan_tiles((1, *volume.shape[1:]), (1, WINDOW, WINDOW), Needs(stride, halo))


class _Slab:
    """A part of a volume along y and x, read in slabs of whole chunks along z; the last one is kept."""

    def __init__(self, volume: VoxelSource, rows: Span, columns: Span) -> None:
        self.volume, self.start = volume, (0, rows[0], columns[0])
        self.shape, self.chunk = (volume.shape[0], rows[1] - rows[0], columns[1] - columns[0]), volume.chunk
        self._kept: tuple[Span, npt.NDArray[Any]] | None = None

    def read(self, box: Box) -> npt.NDArray[Any]:
        (first, last), *sides = box
        if self._kept is None or not self._kept[0][0] <= first < last <= self._kept[0][1]:
            thick = self.chunk[0]
            span = first // thick * thick, min(-(-last // thick) * thick, self.shape[0])
            _, rows, columns = ((start, start + length) for start, length in zip(self.start, self.shape, strict=True))
            self._kept = span, self.volume.read((span, rows, columns))
        span, values = self._kept
        return values[:, first - span[0] : last - span[0], *(slice(*side) for side in sides)]


@dataclass(frozen=True)
class _Flipped:
    """An image mirrored along axes of its slices (C, Y, X)."""

    image: _Slab
    axes: Flip

    @property
    def shape(self) -> Step:
        return self.image.shape

    @property
    def chunk(self) -> Step:
        return self.image.chunk

    def read(self, box: Box) -> npt.NDArray[Any]:
        there = triple(
            (length - span[1], length - span[0]) if axis in self.axes else span
            for axis, (span, length) in enumerate(zip(box, self.shape, strict=True))
        )
        return np.flip(self.image.read(there), tuple(axis + 1 for axis in self.axes))


def _scorers(run: SliceRun, volume: VoxelSource, window: Tile, *, mirroring: bool) -> list[tuple[Flip, Scorer]]:
    """The scores of what a window sees, and of the same mirrored."""
    architecture = architecture_of(run.network)
    _, (top, bottom), (left, right) = window.seen
    _, height, width = volume.shape
    seen = _Slab(volume, (max(top, 0), min(bottom, height)), (max(left, 0), min(right, width)))
    return [
        (axes, architecture.scorer(run.network, _Flipped(seen, axes), run.read, run.device))
        for axes in ([(), (1,), (2,), (1, 2)] if mirroring else [()])
    ]


def _averaged(scorers: Sequence[tuple[Flip, Scorer]], z: int) -> torch.Tensor:
    answers = [_probabilities(scorer, z).flip(axes) for axes, scorer in scorers]
    return torch.stack(answers).mean(0)


def _box(z: int, window: Tile) -> Box:
    return (z, z + 1), window.fills[1], window.fills[2]


def _within(probabilities: torch.Tensor, window: Tile) -> torch.Tensor:
    (top, bottom), (left, right) = (
        (fills[0] - max(seen[0], 0), fills[1] - max(seen[0], 0))
        for fills, seen in zip(window.fills[1:], window.seen[1:], strict=True)
    )
    return probabilities[:, top:bottom, left:right]
