"""The loss of sparse and of dense learning: only known voxels count."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from napari_unetseg.core.annotations.sparse_labels import IGNORE

BOUNDARY = 2  # pixels from a boundary


def painted_loss(
    scores: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor | None = None,
    class_weights: torch.Tensor | None = None,
    dice_share: float = 0.5,
) -> torch.Tensor:
    """Weighted softmax cross-entropy and soft Dice over the known voxels, normalised by their weight.

    Unknown voxels are left out before anything is computed, so whatever the network says there, NaN included, changes
    neither loss nor gradient; and since both terms are divided by the painted weight, the size of the gradient does
    not depend on how sparse the paint is. Soft Dice is the mean over those classes that are painted.

    Parameters
    ----------
    scores : tensor, shape (N, K, [Z,] Y, X)
        Class scores before the softmax; computed in float32 whatever their dtype.
    target : tensor, shape (N, [Z,] Y, X), int64
        Class 0 … K - 1, or `IGNORE`.
    weights : tensor, shape (N, [Z,] Y, X), optional
        Weight of each voxel, 0 or more; 0 means unknown as well.
    class_weights : tensor, shape (K,), optional
        Weight of each class in both terms.
    dice_share : float
        Share of the Dice term, 0 to 1; cross-entropy has the rest.

    Returns
    -------
    tensor, scalar float32
        0, with zero gradients, where nothing is painted.

    References
    ----------
    Sparse weighted softmax: arXiv 1606.06650. Soft Dice: arXiv 1606.04797.
    """
    known = target != IGNORE
    if weights is not None:
        known &= weights > 0
    logits = scores.movedim(1, -1)[known].float()
    classes = target[known]
    weight = torch.ones_like(logits[:, 0]) if weights is None else weights[known].float()
    if class_weights is None:
        class_weights = torch.ones(scores.shape[1], device=scores.device)
    entropy = _cross_entropy(logits, classes, weight * class_weights[classes])
    return (1 - dice_share) * entropy + dice_share * _dice_loss(logits, classes, weight, class_weights)


def _cross_entropy(logits: torch.Tensor, classes: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    entropy = F.cross_entropy(logits, classes, reduction="none")
    return (weight * entropy).sum() / _above_zero(weight.sum())


def _dice_loss(
    logits: torch.Tensor, classes: torch.Tensor, weight: torch.Tensor, class_weights: torch.Tensor
) -> torch.Tensor:
    """1 - 2 Σ w p t / (Σ w p + Σ w t), averaged over the classes with paint, by their weights."""
    weighted_truth = F.one_hot(classes, logits.shape[1]) * weight[:, None]
    probabilities = logits.softmax(dim=1)
    painted = weighted_truth.sum(0)
    overlap = (weighted_truth * probabilities).sum(0)
    total = (weight[:, None] * probabilities).sum(0) + painted
    share = class_weights * (painted > 0)
    return (share * (1 - 2 * overlap / _above_zero(total))).sum() / _above_zero(share.sum())


def _above_zero(value: torch.Tensor) -> torch.Tensor:
    return value.clamp_min(torch.finfo(value.dtype).tiny)


def class_weights(outputs: int, structure: float, device: torch.device) -> torch.Tensor:
    """Weights (outputs,) of background, 1, and of every structure, `structure`."""
    return torch.tensor([1.0, *[structure] * (outputs - 1)], device=device)


def boundary_weights(target: torch.Tensor, share: float) -> torch.Tensor:
    """Weights of voxels of which those near a known boundary have a given share in addition.

    Parameters
    ----------
    target : tensor, shape (N, [Z,] Y, X), int64
        Class 0 … K - 1, or `IGNORE`.
    share : float
        0 to 1: 1 makes only those voxels count that are at most `BOUNDARY` pixels, along y and x, away from a known
        voxel of another class. Where no two classes are that near, all known voxels have weight 1.

    Returns
    -------
    tensor, float32, of the shape of `target`
        Their sum over the known voxels is the number of these; 0 where unknown.
    """
    known = (target != IGNORE).float()
    near = _near_boundary(target) * known
    count = near.sum()
    if not share or not count:
        return known
    return known * (1 - share) + near * share * (known.sum() / count)


def _near_boundary(target: torch.Tensor) -> torch.Tensor:
    """1.0 where the known voxels around are not of one class alone. Only in the slice: others may be far away."""
    known, classes = target != IGNORE, target.float()
    window = 2 * BOUNDARY + 1
    highest, lowest = (
        F.max_pool2d(torch.where(known, sign * classes, -torch.inf).flatten(0, -3)[:, None], window, 1, BOUNDARY)
        for sign in (1, -1)
    )
    return (highest > -lowest).float().reshape(target.shape)
