"""Aggregation of tiles, with probabilities reduced to labels as soon as they are final."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.geometry.tiles import Box, Step
from napari_unetseg.core.volume import Structure


@dataclass
class PredictionAggregator:
    """The result as it grows. Only a part of it is ever held as floats, unless probabilities are asked for.

    Parameters
    ----------
    shape : (z, y, x)
    structures : tuple of Structure
    keep_probabilities : bool
        Whether to keep them all, as float16.

    Attributes
    ----------
    classes : ndarray, uint8, (Z, Y, X)
        0 is background, else the label of a structure.
    seeds : ndarray, bool, (Z, Y, X), or None
        Cores of objects; None where no structure has a seed channel.
    probabilities : ndarray, float16, (structures + 1, Z, Y, X), or None
    """

    shape: Step
    structures: tuple[Structure, ...]
    keep_probabilities: bool = False
    classes: npt.NDArray[np.uint8] = field(init=False)
    seeds: npt.NDArray[np.bool_] | None = field(init=False, default=None)
    probabilities: npt.NDArray[np.float16] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.classes = np.zeros(self.shape, dtype=np.uint8)
        if any(structure.seed_channel is not None for structure in self.structures):
            self.seeds = np.zeros(self.shape, dtype=np.bool_)
        if self.keep_probabilities:
            self.probabilities = np.zeros((len(self.structures) + 1, *self.shape), dtype=np.float16)

    def write(self, box: Box, outputs: torch.Tensor) -> None:
        """Set a box from the probabilities (K, z, y, x) of the network's outputs."""
        place = tuple(slice(*span) for span in box)
        structures = self._of_structures(outputs)
        classes = _largest(structures)
        self.classes[place] = classes.cpu().numpy()
        if self.seeds is not None:
            self.seeds[place] = self._seeds(outputs, classes).cpu().numpy()
        if self.probabilities is not None:
            self.probabilities[:, *place] = structures.half().cpu().numpy()

    def _of_structures(self, outputs: torch.Tensor) -> torch.Tensor:
        """Background and structures (S + 1, z, y, x): a structure is the sum of its outputs."""
        if [structure.channels for structure in self.structures] == [(i,) for i in range(1, len(outputs))]:
            return outputs
        return torch.stack([outputs[0], *(outputs[list(s.channels)].sum(dim=0) for s in self.structures)])

    def _seeds(self, outputs: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        seeds = torch.zeros_like(classes, dtype=torch.bool)
        for structure in self.structures:
            if structure.seed_channel is not None:
                largest = outputs[list(structure.channels)].amax(dim=0)
                seeds |= (classes == structure.label) & (outputs[structure.seed_channel] >= largest)
        return seeds


def _largest(structures: torch.Tensor) -> torch.Tensor:
    """Which of (S, z, y, x) is largest, the first where they are equal.

    `Tensor.argmax` over the outermost axis was 15 times as slow on a CPU, and its result has 8 bytes a voxel.
    """
    classes = torch.zeros_like(structures[0], dtype=torch.uint8)
    largest = structures[0]
    for label, structure in enumerate(structures[1:], start=1):
        classes.masked_fill_(structure > largest, label)
        largest = torch.maximum(largest, structure)
    return classes


class Blender:
    """Averages overlapping tiles in a slab that rolls along z, and hands on what no later tile touches.

    Tiles must come with their z starts in order. Float values are held for one tile's thickness only.
    """

    def __init__(self, aggregator: PredictionAggregator) -> None:
        self.aggregator = aggregator
        self.start = 0
        self.sums = torch.zeros(0, 0, *aggregator.shape[1:])  # outputs, z, y, x; the last output is the sum of weights

    def add(self, box: Box, outputs: torch.Tensor, weights: list[torch.Tensor]) -> None:
        """Add a tile's probabilities (K, z, y, x), weighted by the product of three vectors along z, y and x."""
        self.flush(box[0][0])
        z, y, x = weights
        weighted = torch.cat([outputs, torch.ones_like(outputs[:1])]).mul_(z[:, None, None] * y[:, None] * x)
        self._grow(len(weighted), box[0][1] - self.start, outputs.device)
        rows = slice(box[0][0] - self.start, box[0][1] - self.start)
        self.sums[:, rows, slice(*box[1]), slice(*box[2])] += weighted

    def flush(self, stop: int | None = None) -> None:
        """Hand on everything below z = `stop`; all of it if none is given."""
        held = self.sums.shape[1]
        count = held if stop is None else min(stop - self.start, held)
        if count > 0:
            box = ((self.start, self.start + count), (0, self.aggregator.shape[1]), (0, self.aggregator.shape[2]))
            final, self.sums = self.sums[:, :count], self.sums[:, count:]
            self.start += count
            self.aggregator.write(box, final[:-1] / final[-1:])

    def _grow(self, outputs: int, thickness: int, device: torch.device) -> None:
        """Make the slab at least that thick."""
        more = torch.zeros(outputs, max(0, thickness - self.sums.shape[1]), *self.aggregator.shape[1:], device=device)
        held = self.sums.to(device) if self.sums.shape[1] else more[:, :0]
        self.sums = torch.cat([held, more], dim=1)
