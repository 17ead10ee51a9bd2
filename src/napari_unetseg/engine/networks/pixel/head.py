"""The light head: one hidden layer on joined features, fitted to painted voxels in seconds."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from napari_unetseg.core.settings import setting
from napari_unetseg.engine.networks.pixel.features import SliceFeatures
from napari_unetseg.engine.networks.pixel.forest import Forest
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


class Head(nn.Module):
    """Features → hidden layer → class scores; a random forest may have its say in these.

    The first layer is a sum of one linear map for each kind of feature, so that the coarse levels of a U-Net are
    mapped at their own resolution and only the result is interpolated: a linear map and linear interpolation commute.

    Parameters
    ----------
    widths : tuple of int
        Hand-made features, then those of the U-Net levels that it looks at, the finest first.
    hidden, outputs : int
    trees : int
        Of the forest on the hand-made features; 0: there is none.
    """

    def __init__(self, widths: tuple[int, ...], hidden: int, outputs: int, trees: int = 0) -> None:
        super().__init__()
        self.hidden = hidden
        self.hand = nn.Linear(widths[0], hidden)
        self.levels = nn.ModuleList(nn.Linear(width, hidden, bias=False) for width in widths[1:])
        self.out = nn.Linear(hidden, outputs)
        self.forest = Forest(trees, outputs) if trees else None

    @property
    def first(self) -> list[nn.Linear]:
        """The maps of the first layer, one for each kind of feature."""
        return [self.hand, *cast("list[nn.Linear]", list(self.levels))]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Class scores (P, outputs) of single pixels (P, ΣW)."""
        parts = torch.split(features, [kind.in_features for kind in self.first], dim=1)
        hidden = torch.stack([kind(part) for kind, part in zip(self.first, parts, strict=True)]).sum(0)
        scores: torch.Tensor = self.out(torch.relu(hidden))
        return self.forest.mixed(scores, parts[0]) if self.forest is not None else scores

    def maps(self, features: SliceFeatures) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden layer (hidden, Y, X), after its ReLU, and class scores (outputs, Y, X) of a slice."""
        hidden = self._hidden(features)
        scores = _mapped(self.out, hidden)
        if self.forest is None:
            return hidden, scores
        mixed = self.forest.mixed(scores.flatten(1).T, features.hand.flatten(1).T)
        return hidden, mixed.T.reshape(scores.shape)

    def _hidden(self, features: SliceFeatures) -> torch.Tensor:
        hidden = _mapped(self.hand, features.hand)
        if not self.levels:  # hand-made features only, whatever else was computed
            return torch.relu(hidden)
        maps = [_mapped(linear, level) for linear, level in zip(self.first[1:], features.levels, strict=False)]
        for raised in features.raised(maps):
            hidden = hidden + raised
        return torch.relu(hidden)


def _mapped(linear: nn.Linear, maps: torch.Tensor) -> torch.Tensor:
    """A linear layer applied to every pixel of (K, Y, X)."""
    flat = linear.weight @ maps.flatten(1)
    if linear.bias is not None:
        flat = flat + linear.bias[:, None]
    return flat.reshape(-1, *maps.shape[1:])


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
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    _rescale(head, mean, deviation)
    return head.eval()


def with_forest(head: Head, forest: Forest, share: float) -> Head:
    """A copy of the head in which a copy of the forest has that share of the answer, 0 to 1."""
    mixed = copy.deepcopy(head)
    mixed.forest = copy.deepcopy(forest)
    mixed.forest.share.fill_(share)
    return mixed


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
