"""Learning from corrections: what holds a model to what it said where nobody corrected it.

A U-Net is held by its frozen copy (see `engine.training.distillation`), near the corrections and elsewhere in the
image. A pixel classifier is fitted anew, to the corrections and to voxels of which it was sure before.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import binary_dilation

from napari_unetseg.core.annotations.sparse_labels import BACKGROUND, UNPAINTED
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.volume import Structure
from napari_unetseg.engine.fewshot.run import AnnotationDataset, FineTuningRun
from napari_unetseg.engine.fewshot.slice_predictor import Slices
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.training.loop import Loss
from napari_unetseg.errors import ModelError

SPACED = 8
"""Slices of an image, evenly spaced, that have anchors beside those that were corrected."""
MOST_SLICES = 24
"""Of an image, with anchors: each has to be predicted."""
LEAST, FOR_EACH = 4000, 4
"""Anchors of an image; so many for each corrected voxel where that is more."""
NEAR = 3
"""Pixels around a correction without anchors: where there was one mistake, there are more."""
SURE = 128
"""Uncertainty, of 255, above which the model does not know by itself."""

Array = npt.NDArray[Any]
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


def iter_anchored(run: FineTuningRun) -> Job[FineTuningRun]:
    """The run of a pixel classifier with its own sure answers as paint, where it was not corrected.

    On the slices that a person looked at, all of these are taken. On others only those of classes that it did not err
    in: there it may have made the same mistake, and would be held to it.

    Raises
    ------
    ModelError
        If there is no model that was corrected.
    """
    model = corrected_model(run)
    slices = Slices(run.dataset.volumes, run.sources, run.settings.device)
    network, rng = slices.network(model), np.random.default_rng(run.settings.seed)
    painted = []
    for image, paint in enumerate(run.dataset.painted):
        seen = _fullest(paint)
        places = [*seen, *(z for z in _spaced(len(paint)) if z not in seen)]
        anchors, erred = np.zeros_like(paint), set[int]()
        for done, z in enumerate(places):
            yield Progress(done, len(places), "Looking at what the model knows")
            found = slices.prediction(network, image, z)
            said, told = found.labels.astype(paint.dtype) + BACKGROUND, paint[z] != UNPAINTED
            erred |= set(_values(said[told & (said != paint[z])]))
            is_sure = (found.uncertainty < SURE) & ~_near(paint, z)
            if z not in seen:
                is_sure &= ~np.isin(said, list(erred & set(_values(anchors[seen]))))
            anchors[z][is_sure] = said[is_sure]
        painted.append(np.where(paint != UNPAINTED, paint, _thinned(anchors, int(np.count_nonzero(paint)), rng)))
    names = {s.label: s.name for s in model.card.structures} | dict(run.dataset.names)
    return replace(run, dataset=AnnotationDataset(run.dataset.volumes, painted, names))


def corrected_model(run: FineTuningRun) -> Model:
    """The model whose result was corrected; raises `ModelError` where the run has none."""
    if run.pretrained is None:
        raise ModelError("Expected the model whose result was corrected; got none. Name it with --model.")
    return run.pretrained


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


def _fullest(paint: Array) -> list[int]:
    """The slices with most corrections."""
    counts = np.count_nonzero(paint, axis=(1, 2))
    return [int(z) for z in np.argsort(-counts, kind="stable")[: MOST_SLICES - SPACED] if counts[z]]


def _spaced(length: int) -> list[int]:
    """Some slices, evenly spaced."""
    return sorted({int(z) for z in np.linspace(0, length - 1, min(SPACED, length)).round()})


def _values(painted: Array) -> list[int]:
    return [int(value) for value in np.unique(painted) if value != UNPAINTED]


def _near(paint: Array, z: int) -> npt.NDArray[np.bool_]:
    """Pixels (Y, X) of a slice at or near a correction, in it or in the slices beside it."""
    around = (paint[max(0, z - 1) : z + 2] != UNPAINTED).any(axis=0)
    return np.asarray(binary_dilation(around, iterations=NEAR)) if around.any() else around


def _thinned(anchors: Array, corrected: int, rng: np.random.Generator) -> Array:
    """Some of the anchors, as many of each class as there are, up to its share."""
    wanted = max(LEAST, FOR_EACH * corrected)
    flat = anchors.ravel()
    values = _values(flat)
    thin = np.zeros_like(flat)
    for value in values:
        where = np.flatnonzero(flat == value)
        chosen = rng.choice(where, min(len(where), wanted // len(values)), replace=False)
        thin[chosen] = value
    return thin.reshape(anchors.shape)
