"""The head of a pixel classifier: one hidden layer on joined features, and a forest beside it."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import nn

from napari_unetseg.engine.networks.pixel.features import SliceFeatures
from napari_unetseg.engine.networks.pixel.forest import Forest


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
        features.add_mapped([linear.weight for linear in self.first[1:]], hidden)
        return torch.relu_(hidden)


def _mapped(linear: nn.Linear, maps: torch.Tensor) -> torch.Tensor:
    """A linear layer applied to every pixel of (K, Y, X)."""
    flat = linear.weight @ maps.flatten(1)
    if linear.bias is not None:
        flat += linear.bias[:, None]
    return flat.reshape(-1, *maps.shape[1:])


def with_forest(head: Head, forest: Forest, share: float) -> Head:
    """A copy of the head in which a copy of the forest has that share of the answer, 0 to 1."""
    mixed = copy.deepcopy(head)
    mixed.forest = copy.deepcopy(forest)
    mixed.forest.share.fill_(share)
    return mixed
