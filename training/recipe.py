"""What a recipe says: everything that makes one bundled model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.models.card import DataSource, VoxelSize
from napari_unetseg.core.models.verification import Example
from napari_unetseg.core.volume import Structure
from napari_unetseg.engine.networks.network import NetworkSettings
from napari_unetseg.engine.training.loop import Loss
from napari_unetseg.engine.training.patches import BatchSettings, Case

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Split:
    """Cases to train on, and examples that training never sees."""

    train: list[Case]
    held_out: list[Example]


@dataclass(frozen=True)
class Recipe:
    """One bundled model. `minutes` are wall-clock on a CPU core; the other fields go to the network or the card.

    Training begins with the weights of the bundled model `start`, all but its head's, where one is named: with few
    images much of the training is spent on what another model of the same kind of microscope knows already.

    What its card is measured on stands in `training.held_out`. A start for learning, which finds no structures of its
    own, is not there: the benchmark of few-shot learning tells what it is worth.
    """

    name: str
    title: str
    description: str
    data: Callable[[Path], Split]
    network: NetworkSettings
    batches: BatchSettings
    structures: tuple[Structure, ...]
    sources: tuple[DataSource, ...]
    licence: str
    training: str
    known_failures: tuple[str, ...]
    start: str | None = None
    minutes: float = 15.0
    learning_rate: float = 2e-3
    channels: tuple[str, ...] = ("grey",)
    voxel_size: VoxelSize | None = None
    minimum_object: int = 0
    class_weights: tuple[float, ...] = field(default=())
    loss: Loss | None = None
