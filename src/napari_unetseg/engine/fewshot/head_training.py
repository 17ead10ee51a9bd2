"""Training of a light head: from random weights, or from an earlier head, to one that is fitted to painted voxels."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from napari_unetseg.core.settings import setting
from napari_unetseg.engine.networks.pixel.head import Head
from napari_unetseg.engine.training.loop import descend
from napari_unetseg.engine.training.losses import class_weights, painted_loss


@dataclass(frozen=True)
class HeadSettings:
    """How a light head is fitted."""

    hidden: int = setting(64, "Units of the hidden layer.")
    steps: int = setting(300, "Steps of the fit; each looks at `batch` painted voxels.")
    batch: int = setting(2048, "Painted voxels a step.")
    learning_rate: float = setting(5e-3, "Peak of the one-cycle schedule.")
    weight_decay: float = setting(1e-2, "Of AdamW.")
    dice_share: float = setting(0.5, "Share of soft Dice in the loss, 0 to 1; cross-entropy has the rest.")
    coarse: bool = setting(True, "Whether a head that looks at the U-Net's coarse levels is tried as well.")
    trees: int = setting(0, "Trees of the forest that is grown beside it. 0: none.")
    seed: int = setting(0, "Seed of the first weights and of the batches.")
    structure_weight: float = setting(1.0, "Weight of structures' voxels in the loss; background has 1.")
    boundary_weight: float = setting(0.0, "Share of the loss that voxels near painted boundaries have, 0 to 1.")


def fresh_head(widths: tuple[int, ...], features: torch.Tensor, settings: HeadSettings, outputs: int) -> Head:
    """A head with random weights (arXiv 1502.01852), of one size for all features whatever their scale.

    Parameters
    ----------
    features : tensor, float32, (P, ΣW)
        Some of those that it will see.
    """
    head, generator = Head(widths, settings.hidden, outputs), torch.Generator().manual_seed(settings.seed)
    with torch.no_grad():
        for linear in (*head.first, head.out):
            fan_in = settings.hidden if linear is head.out else sum(widths)
            linear.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
        head.hand.bias.zero_()
        head.out.bias.zero_()
    head = head.to(features.device)
    _rescale(head, *_moments(features))
    return head


def fit_head(
    features: torch.Tensor,
    classes: torch.Tensor,
    settings: HeadSettings,
    start: Head,
    weights: torch.Tensor | None = None,
) -> Head:
    """Fit a copy of `start`, without its forest, to single voxels. The same input gives the same head on a CPU.

    Parameters
    ----------
    features : tensor, float32, (P, ΣW)
        As they come; they are standardised here, and the head takes them as they come.
    classes : tensor, int64, (P,)
        Network outputs 0, 1, ….
    start : Head
        A fresh head, or one that was fitted before.
    weights : tensor, float32, (P,), optional
        Weight of each voxel in the loss; 1 where not given.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    mean, deviation = _moments(features)
    head = copy.deepcopy(start).train()
    head.forest = None
    _rescale(head, -mean / deviation, 1 / deviation)
    features = (features - mean) / deviation
    weights = torch.ones_like(features[:, 0]) if weights is None else weights
    by_class = class_weights(head.out.out_features, settings.structure_weight, features.device)
    optimiser = torch.optim.AdamW(head.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps)
    for step in range(settings.steps):
        place = step * settings.batch % len(features)
        if step == 0 or place < settings.batch:  # a new round: shuffling once is much faster than picking each batch
            order = torch.randperm(len(features), generator=generator).to(features.device)
            features, classes, weights = features[order], classes[order], weights[order]
        batch = slice(place, place + settings.batch)
        loss = painted_loss(head(features[batch]), classes[batch], weights[batch], by_class, settings.dice_share)
        descend(optimiser, loss)
        schedule.step()
    _rescale(head, mean, deviation)
    return head.eval()


def _moments(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each feature; a constant one keeps its scale."""
    deviation = features.std(0, correction=0)
    return features.mean(0), torch.where(deviation > 1e-6, deviation, 1.0)


@torch.no_grad()
def _rescale(head: Head, offset: torch.Tensor, scale: torch.Tensor) -> None:
    """Make a head that takes x into one that does the same to y = offset + scale · x."""
    start = 0
    for linear in head.first:
        stop = start + linear.in_features
        linear.weight /= scale[start:stop]
        head.hand.bias.sub_(linear.weight @ offset[start:stop])
        start = stop
