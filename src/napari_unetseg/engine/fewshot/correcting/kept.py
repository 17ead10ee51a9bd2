"""How corrections are learned by a U-Net: its frozen copy has its say, and its weights do not go far.

See `engine.training.distillation` for what the copy says, near the corrections and elsewhere in the image.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from napari_unetseg.core.volume import Structure
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.training.loop import Loss

N = TypeVar("N", bound=Network)
Outputs = tuple[tuple[int, ...], ...]
"""Of a network, those that add up to background and to each structure: of objects, body and core."""


@dataclass(frozen=True)
class Correcting:
    """How corrections are learned: the frozen teacher's weight, the rate beside that of fine-tuning, and the anchors.

    Parameters
    ----------
    strength, sureness, doubt : float
        As `DistillationLoss` takes them.
    rate : float
        Of learning, beside that of other fine-tuning.
    anchors : float
        Patches away from the corrections, for each of those that are near them.
    focus : float
        Share of the patches near the corrections that are centred on them.
    shares : tuple of float
        Of the way from the model's weights to those that were trained, the nearest first: held-out corrections choose
        (arXiv 2109.01903).
    """

    strength: float = 1.0
    sureness: float = 2.0
    rate: float = 0.3
    doubt: float = 0.2
    anchors: float = 0.5
    focus: float = 0.7
    shares: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)


CORRECTING = Correcting()


def outputs_of(structures: Sequence[Structure], outputs: int) -> Outputs:
    """The outputs of background, of a model's structures, and of those that were added, each of which has one."""
    kept = tuple(structure.channels for structure in structures)
    first = 1 + max((channel for channels in kept for channel in channels), default=0)
    return ((0,), *kept, *((channel,) for channel in range(first, outputs)))


def merged(scores: torch.Tensor, outputs: Outputs) -> torch.Tensor:
    """Scores (N, classes, …) before the softmax, of scores (N, outputs, …); the probabilities are sums."""
    return torch.stack([scores[:, list(group)].float().logsumexp(dim=1) for group in outputs], dim=1)


@torch.no_grad()
def between(near: N, far: N, share: float) -> N:
    """A network whose weights are a share of the way from one's to the other's; of both the same buffers."""
    found = copy.deepcopy(far)
    for weight, origin in zip(found.parameters(), near.parameters(), strict=True):
        weight.copy_(torch.lerp(origin, weight, share))
    return found.eval()


@dataclass(frozen=True)
class MergedLoss:
    """A loss over classes, of a network of which several outputs may be one class."""

    loss: Loss
    outputs: Outputs

    def __call__(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Of class scores (N, outputs, …) and classes (N, …)."""
        return self.loss(merged(scores, self.outputs), labels)
