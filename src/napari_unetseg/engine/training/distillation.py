"""Distillation: what a frozen network knew before stays true where nobody painted."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from napari_unetseg.core.annotations.sparse_labels import IGNORE
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.training.loop import Loss
from napari_unetseg.engine.training.patches import Batch, BatchSource


class DistillationBatches:
    """Batches whose labels carry the teacher's opinion of the same, moved and recoloured patches.

    Parameters
    ----------
    batches : BatchSource
    teacher : Network
        It is not changed.
    """

    def __init__(self, batches: BatchSource, teacher: Network) -> None:
        self.batches, self.teacher = batches, teacher.eval()

    @torch.no_grad()
    def __getitem__(self, step: int) -> Batch:
        """Image (N, C, [Z,] Y, X), and (N, 1 + K, [Z,] Y, X) float32: classes, then the teacher's probabilities."""
        image, labels = self.batches[step]
        opinion = self.teacher(image).float().softmax(dim=1)
        return image, torch.cat([labels[:, None].to(opinion.dtype), opinion], dim=1)


@dataclass(frozen=True)
class DistillationLoss:
    """A loss over the paint, and cross-entropy with the teacher's probabilities over all else.

    Only the teacher's own outputs are compared, among themselves: about a structure that it does not know, it says
    nothing (learning without forgetting, arXiv 1606.09282).

    Parameters
    ----------
    painted : Loss
    strength : float
        Of the teacher's part.
    sureness : float
        Each of the teacher's opinions counts by (p₁ - p₂) to this power, of its two likeliest classes: 0 is all alike.
        Where a person corrects it, it errs elsewhere too, and mostly where it is not sure.
    doubted, doubt : tuple of int, float
        Outputs that it took for others where it was corrected; where it says one of these, it counts so much.
    """

    painted: Loss
    strength: float = 1.0
    sureness: float = 0.0
    doubted: tuple[int, ...] = ()
    doubt: float = 1.0

    def __call__(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Of class scores (N, outputs, …) and what `DistillationBatches` gives."""
        classes, opinion = labels[:, 0].round().long(), labels[:, 1:]
        known = scores[:, : opinion.shape[1]].float()
        entropy = -(opinion * known.log_softmax(dim=1)).sum(1)
        unknown = classes == IGNORE
        if self.sureness:
            best = opinion.topk(2, dim=1).values
            entropy = entropy * (best[:, 0] - best[:, 1]) ** self.sureness
        if self.doubted:
            is_doubted = torch.isin(opinion.argmax(dim=1), torch.tensor(self.doubted, device=opinion.device))
            entropy = torch.where(is_doubted, self.doubt * entropy, entropy)
        taught = entropy[unknown].sum() / unknown.sum().clamp_min(1)
        return self.painted(scores, classes) + self.strength * taught
