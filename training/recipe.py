"""What a recipe says: everything that makes one bundled model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.card import DataSource, VoxelSize
from napari_unetseg.core.structure import Structure
from napari_unetseg.engine.batches import BatchSettings, Case
from napari_unetseg.engine.train import Loss
from napari_unetseg.engine.unet import UNetSettings

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Example:
    """A held-out image and its truth.

    Parameters
    ----------
    group : str
        What the scores of the card name: ``"fluorescence"``.
    image : ndarray, shape (Z, Y, X)
        Raw intensities.
    truth : ndarray, shape (Z, Y, X)
        Output labels, or numbered objects where the recipe's `measure` is ``objects``.
    spacing : (z, y, x)
        In `unit`; as in `core.volume.Grid`.
    """

    name: str
    group: str
    image: Array
    truth: Array
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    unit: str = "pixel"


@dataclass(frozen=True)
class Split:
    """Cases to train on, and examples that training never sees."""

    train: list[Case]
    held_out: list[Example]


@dataclass(frozen=True)
class Recipe:
    """One bundled model. `minutes` are wall-clock on a CPU core; the other fields go to the network or the card.

    A start for learning, which finds no structures of its own, measures ``nothing``: the benchmark of few-shot learning
    tells what it is worth.
    """

    name: str
    title: str
    description: str
    data: Callable[[Path], Split]
    measure: Literal["classes", "objects", "boundary", "nothing"]
    network: UNetSettings
    batches: BatchSettings
    structures: tuple[Structure, ...]
    sources: tuple[DataSource, ...]
    licence: str
    training: str
    known_failures: tuple[str, ...]
    minutes: float = 15.0
    learning_rate: float = 2e-3
    channels: tuple[str, ...] = ("grey",)
    voxel_size: VoxelSize | None = None
    minimum_object: int = 0
    class_weights: tuple[float, ...] = field(default=())
    loss: Loss | None = None
