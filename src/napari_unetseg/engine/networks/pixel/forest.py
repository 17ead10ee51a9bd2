"""A random forest on hand-made features: grown by scikit-learn, kept as plain arrays, evaluated in torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Array = npt.NDArray[Any]
DEPTH = 10
"""Levels of a tree; shallow ones do not learn single voxels by heart."""
BAG = 0.2  # share of the voxels that a tree sees, drawn with replacement, but
LEAST_BAG = 2000  # so many where there are
LEAST_PROBABILITY = 1e-4  # so that scores stay finite
CHUNK = 8192  # voxels at once: what is looked up then stays in the processor's cache


@dataclass(frozen=True)
class ForestSettings:
    """How a forest is grown: how many trees, for how many classes, and the seed of what is random."""

    trees: int
    outputs: int
    seed: int = 0


class Forest(nn.Module):
    """Complete binary trees of `DEPTH` levels: node i has the children 2i + 1 (feature ≤ threshold) and 2i + 2.

    Parameters
    ----------
    trees, outputs : int

    Attributes
    ----------
    share : tensor, scalar
        How much it has to say beside a head, 0 to 1.
    """

    feature: torch.Tensor
    threshold: torch.Tensor
    leaves: torch.Tensor
    share: torch.Tensor

    def __init__(self, trees: int, outputs: int) -> None:
        super().__init__()
        nodes = 2**DEPTH - 1
        self.register_buffer("feature", torch.zeros(trees, nodes, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(trees, nodes))
        self.register_buffer("leaves", torch.zeros(trees, nodes + 1, outputs))
        self.register_buffer("share", torch.tensor(1.0))

    @property
    def trees(self) -> int:
        """How many."""
        return len(self.feature)

    @torch.no_grad()
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Probabilities (P, outputs) of single voxels (P, F), float32: the mean over the trees."""
        return torch.cat([self._mean_leaf(part) for part in torch.split(features, CHUNK)])

    def _mean_leaf(self, features: torch.Tensor) -> torch.Tensor:
        """As `forward`; 32-bit indices are much faster to look up with."""
        count, width = features.shape
        values = features.flatten()
        row = torch.arange(count, dtype=torch.int32, device=features.device) * width
        total = torch.zeros(count, self.leaves.shape[2], device=features.device)
        for feature, threshold, leaves in zip(self.feature, self.threshold, self.leaves, strict=True):
            node = torch.zeros_like(row)
            for _ in range(DEPTH):
                value = values.index_select(0, feature.index_select(0, node).add_(row))
                goes_right = value > threshold.index_select(0, node)
                node.mul_(2).add_(1).add_(goes_right)
            total += leaves.index_select(0, node - threshold.shape[0])
        return total / self.trees

    def mixed(self, scores: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Class scores (P, outputs) whose softmax is the mean of those given and of the forest, by its share."""
        probabilities: torch.Tensor = (1 - self.share) * scores.softmax(dim=1) + self.share * self(features)
        return probabilities.clamp_min(LEAST_PROBABILITY).log()


def grow_forest(
    features: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor, settings: ForestSettings
) -> Forest:
    """Grow a forest; the same input gives the same forest.

    Parameters
    ----------
    features : tensor, float32, (P, F)
    classes : tensor, int64, (P,)
        Network outputs 0, 1, ….
    weights : tensor, float32, (P,)
        Of each voxel.

    References
    ----------
    Random forests: DOI 10.1023/A:1010933404324.
    """
    from sklearn.ensemble import RandomForestClassifier  # half a second that those who only predict need not wait

    share = min(1.0, max(BAG, LEAST_BAG / len(classes)))
    model = RandomForestClassifier(settings.trees, max_depth=DEPTH, max_samples=share, random_state=settings.seed)
    model.fit(features.cpu().numpy(), classes.cpu().numpy(), sample_weight=weights.cpu().numpy())
    forest = Forest(settings.trees, settings.outputs)
    outputs = torch.from_numpy(model.classes_)
    for index, tree in enumerate(model.estimators_):
        feature, threshold, leaves = _complete(tree.tree_)
        forest.feature[index] = torch.from_numpy(feature)
        forest.threshold[index] = torch.from_numpy(threshold)
        forest.leaves[index][:, outputs] = torch.from_numpy(leaves)
    return forest.to(features.device)


def _complete(tree: object) -> tuple[Array, Array, Array]:
    """Features and thresholds of a complete tree, level by level, and its leaves' probabilities.

    A leaf that scikit-learn's tree ends with early goes on, as both of its own children.
    """
    left, right, features, thresholds, value = (
        np.asarray(getattr(tree, name)) for name in ("children_left", "children_right", "feature", "threshold", "value")
    )
    nodes, feature, threshold = np.zeros(1, int), [], []
    for _ in range(DEPTH):
        is_leaf = left[nodes] < 0
        feature.append(np.where(is_leaf, 0, features[nodes]))
        threshold.append(np.where(is_leaf, np.inf, thresholds[nodes]))
        children = (np.where(is_leaf, nodes, side[nodes]) for side in (left, right))
        nodes = np.stack(list(children), axis=1).ravel()
    leaves = value[nodes, 0]
    shares = leaves / leaves.sum(1, keepdims=True)
    return np.concatenate(feature).astype(np.int32), _float32(np.concatenate(threshold)), shares.astype(np.float32)


def _float32(threshold: Array) -> Array:
    """Rounded down: a float32 is at most the threshold exactly where it is at most the largest float32 below it."""
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
