"""Aggregation of tiles, with probabilities reduced to labels as soon as they are final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from napari_unetseg.core.grid import Box
from napari_unetseg.core.volume import Structure
from napari_unetseg.core.voxels import Sink

Weights = Sequence[torch.Tensor]


@dataclass(frozen=True)
class Sinks:
    """Where the results of a prediction go; what has no sink is not computed.

    Parameters
    ----------
    classes : Sink of (z, y, x), uint8
        0 is background, else the label of a structure.
    seeds : Sink of (z, y, x), bool, or None
        Cores of objects.
    probabilities : Sink of (structures + 1, z, y, x), float16, or None
        Background first.
    """

    classes: Sink
    seeds: Sink | None = None
    probabilities: Sink | None = None


@dataclass(frozen=True)
class LabelAggregator:
    """Reduces probabilities to labels, box by box and in any order, and keeps nothing."""

    structures: tuple[Structure, ...]
    sinks: Sinks

    def write(self, box: Box, outputs: torch.Tensor) -> None:
        """Hand a box's results on, given the final probabilities (K, z, y, x) of the network's outputs."""
        structures = self._of_structures(outputs)
        classes = _largest(structures)
        self.sinks.classes.write(box, classes.cpu().numpy())
        if self.sinks.seeds is not None:
            self.sinks.seeds.write(box, self._seeds(outputs, classes).cpu().numpy())
        if self.sinks.probabilities is not None:
            self.sinks.probabilities.write(box, structures.half().cpu().numpy())

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

    Tiles may come in any order. They are added in that of their places, so that sums are the same to the last bit:
    one that comes early waits. In order, float values are held for one tile's thickness only.

    Parameters
    ----------
    aggregator : LabelAggregator
    boxes : sequence of Box
        What the tiles fill, each once.
    """

    def __init__(self, aggregator: LabelAggregator, boxes: Sequence[Box]) -> None:
        self.aggregator = aggregator
        self.left = sorted(boxes, reverse=True)
        self.waiting: dict[Box, tuple[torch.Tensor, Weights]] = {}
        self.start = 0
        self.plane = [max((box[axis][1] for box in boxes), default=0) for axis in (1, 2)]
        self.sums = torch.zeros(0, 0, *self.plane)  # outputs, z, y, x; the last output is the sum of weights

    def add(self, box: Box, outputs: torch.Tensor, weights: Weights) -> None:
        """Add a tile's probabilities (K, z, y, x), weighted by the product of three vectors along z, y and x.

        With the last tile, all has been handed on.
        """
        self.waiting[box] = outputs, weights
        while self.left and self.left[-1] in self.waiting:
            self._flush(self.left[-1][0][0])
            following = self.left.pop()
            self._sum(following, *self.waiting.pop(following))
        if not self.left:
            self._flush(self.start + self.sums.shape[1])

    def _sum(self, box: Box, outputs: torch.Tensor, weights: Weights) -> None:
        z, y, x = weights
        weighted = torch.cat([outputs, torch.ones_like(outputs[:1])]).mul_(z[:, None, None] * y[:, None] * x)
        self._grow(len(weighted), box[0][1] - self.start, outputs.device)
        rows = slice(box[0][0] - self.start, box[0][1] - self.start)
        self.sums[:, rows, slice(*box[1]), slice(*box[2])] += weighted

    def _flush(self, stop: int) -> None:
        """Hand on everything below z = `stop`."""
        count = min(stop - self.start, self.sums.shape[1])
        if count > 0:
            box = ((self.start, self.start + count), (0, self.plane[0]), (0, self.plane[1]))
            final, self.sums = self.sums[:, :count], self.sums[:, count:]
            self.start += count
            self.aggregator.write(box, final[:-1] / final[-1:])

    def _grow(self, outputs: int, thickness: int, device: torch.device) -> None:
        """Make the slab at least that thick."""
        more = torch.zeros(outputs, max(0, thickness - self.sums.shape[1]), *self.plane, device=device)
        held = self.sums.to(device) if self.sums.shape[1] else more[:, :0]
        self.sums = torch.cat([held, more], dim=1)
