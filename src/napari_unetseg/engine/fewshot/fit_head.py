"""Fit of a light model in seconds: painted voxels of several images, again and again as paint lands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.annotations.sparse_labels import UNPAINTED, class_count, painted_counts, to_classes
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.engine.fewshot.head_training import HeadSettings, fit_head, fresh_head
from napari_unetseg.engine.fewshot.validation import class_dice, mean_dice
from napari_unetseg.engine.networks.pixel.features import FeatureSource
from napari_unetseg.engine.networks.pixel.forest import Forest, ForestSettings, grow_forest
from napari_unetseg.engine.networks.pixel.head import Head, with_forest
from napari_unetseg.engine.training.losses import boundary_weights, class_weights

MOST_VOXELS = 40_000  # painted voxels that a head is fitted to
LEAST_OF_CLASS = 3_000  # of these, so many of each class, if it has them
SHARES = (0.5, 1.0)  # that a forest may have beside a head: half of the say, or all of it where
SCRIBBLES = 0.2  # or less of the painted slices is painted
MARGIN = 0.05  # of held-out Dice, by which another head must be better than the one that mostly is
MOST_SLICES = 32  # slices whose features a fit may ask for: paint along y or x touches all of them

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class PaintedSlice:
    """Painted voxels of one slice.

    Parameters
    ----------
    image, z : int
        Which image, and which of its slices.
    y, x, classes : tensor, int64, (P,)
    stands_for : tensor, float32, (P,)
        Painted voxels of its class that each stands for: 1, or more where others were left out.
    """

    image: int
    z: int
    y: torch.Tensor
    x: torch.Tensor
    classes: torch.Tensor
    stands_for: torch.Tensor


def painted_slices(painted: Sequence[Array], most: int = MOST_SLICES) -> list[PaintedSlice]:
    """The painted voxels, slice by slice, of at most `most` slices: those with most paint of each class.

    Parameters
    ----------
    painted : sequence of ndarray (Z, Y, X)
        Painted labels, one for each image.
    """
    counts = np.concatenate([painted_counts(p, class_count(painted)) for p in painted])
    places = [(image, z) for image, p in enumerate(painted) for z in range(p.shape[0])]
    worth = (counts / counts.sum(0).clip(1)).sum(1)
    chosen = [i for i in np.argsort(-worth, kind="stable")[:most] if worth[i] > 0]
    return [_painted_slice(painted[places[i][0]], *places[i]) for i in sorted(chosen)]


def _painted_slice(painted: Array, image: int, z: int) -> PaintedSlice:
    y, x = np.nonzero(painted[z] != UNPAINTED)
    classes = to_classes(painted[z])[y, x]
    rows, columns, numbers = (torch.from_numpy(a.astype(np.int64)) for a in (y, x, classes))
    return PaintedSlice(image, z, rows, columns, numbers, torch.ones(len(y)))


def thinned(slices: Sequence[PaintedSlice], seed: int, most: int = MOST_VOXELS) -> list[PaintedSlice]:
    """At most about `most` of the voxels, at random, but at least `LEAST_OF_CLASS` of each class that has them."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.cat([s.classes for s in slices])
    counts = torch.bincount(classes).double().clamp_min(1)
    share = torch.maximum(torch.tensor(most / len(classes)).double(), LEAST_OF_CLASS / counts).clamp_max(1)
    keep = torch.rand(len(classes), generator=generator, dtype=torch.float64) < share[classes]
    stands_for = (1 / share).float()
    parts = torch.split(keep, [len(s.classes) for s in slices])
    return [
        PaintedSlice(s.image, s.z, s.y[part], s.x[part], s.classes[part], stands_for[s.classes[part]])
        for s, part in zip(slices, parts, strict=True)
    ]


def gathered(sources: Sequence[FeatureSource], points: PaintedSlice) -> torch.Tensor:
    """Features (P, ΣW) of the painted voxels of one slice."""
    return sources[points.image].at(points.z, points.y, points.x)


@dataclass(frozen=True)
class FittedHead:
    """A light head, and how it was chosen.

    Parameters
    ----------
    head : Head
        `validation`, fitted on to all paint: its hidden units keep their meaning.
    validation : Head
        Fitted without the held-out paint.
    dice : dict of float
        Held-out Dice of `validation` for each class above 0 that is painted in the held-out part.
    """

    head: Head
    validation: Head
    dice: dict[int, float]

    @property
    def mean_dice(self) -> float:
        """Mean over structures; 0 where none is held out."""
        return mean_dice(self.dice)


def iter_fit_head(
    sources: Sequence[FeatureSource], painted: Sequence[Array], held_out: Sequence[Array], settings: HeadSettings
) -> Job[FittedHead]:
    """Fit heads on more and fewer features, with and without a forest, and choose among them by held-out paint.

    From a few slices a head learns the coarse levels of a U-Net by heart: one that looks at the finest level alone is
    mostly better away from the paint, and better still where a forest has half of the say; from scribbles, a forest
    alone is. It is taken unless another is clearly better: a held-out slice or two tell small differences by chance.

    Parameters
    ----------
    sources : sequence of FeatureSource
        One an image, of the same extractor.
    painted, held_out : sequences of ndarray (Z, Y, X)
        All paint, and the part of it to score on (see `core.annotations.sparse_labels.hold_out`).
    """
    widths = sources[0].extractor.widths
    slices = painted_slices(painted)
    shares = SHARES if _covered(slices, painted) > SCRIBBLES else SHARES[::-1]
    points = thinned(slices, settings.seed)
    features, classes, held, weights, stands_for = [], [], [], [], []
    for done, part in enumerate(points):
        yield Progress(done, len(points), "Computing features")
        features.append(gathered(sources, part))
        classes.append(part.classes)
        held.append(torch.from_numpy(held_out[part.image][part.z] != UNPAINTED)[part.y, part.x])
        weights.append(_weights(painted[part.image][part.z], settings)[part.y, part.x])
        stands_for.append(part.stands_for)
    device = sources[0].device
    known = _Known(*(torch.cat(parts).to(device) for parts in (features, classes, held, weights, stands_for)))
    kinds = [widths[:2], widths] if len(widths) > 2 and settings.coarse else [widths[:2]]
    trials: list[_Trial] = []
    for done, kind in enumerate(kinds):
        yield Progress(done, len(kinds) + 2, "Fitting the light head")
        trials.append(known.trial(kind, settings))
    if settings.trees:
        yield Progress(len(kinds), len(kinds) + 2, "Growing trees")
        trials = [*known.mixed(trials, shares, settings), *trials]
    best = _chosen(trials)
    yield Progress(len(kinds) + 1, len(kinds) + 2, "Fitting the light head")
    return FittedHead(known.refit(best, settings), best.head, best.dice)


def _chosen(trials: Sequence[_Trial]) -> _Trial:
    """The first trial, or the one with the best held-out Dice, where that is better by more than `MARGIN`."""
    first, best = trials[0], max(trials, key=lambda trial: mean_dice(trial.dice))
    return best if mean_dice(best.dice) > mean_dice(first.dice) + MARGIN else first


def _covered(slices: Sequence[PaintedSlice], painted: Sequence[Array]) -> float:
    """Which part of the painted slices is painted."""
    pixels: int = sum(painted[s.image][s.z].size for s in slices)
    return sum(len(s.classes) for s in slices) / pixels


def _weights(painted: Array, settings: HeadSettings) -> torch.Tensor:
    """Weights (Y, X) of a slice's painted voxels in the loss."""
    target = torch.from_numpy(to_classes(painted).astype(np.int64))
    return boundary_weights(target[None], settings.boundary_weight)[0]


@dataclass(frozen=True)
class _Trial:
    """A head that has not seen the held-out paint, the widths of the features it looks at, and its Dice."""

    head: Head
    widths: tuple[int, ...]
    dice: dict[int, float]


@dataclass(frozen=True)
class _Known:
    """Painted voxels: features (P, F), classes (P,), which are held out, their weights, and what each stands for."""

    features: torch.Tensor
    classes: torch.Tensor
    held: torch.Tensor
    weights: torch.Tensor
    stands_for: torch.Tensor

    @property
    def outputs(self) -> int:
        """Classes, with background."""
        return int(self.classes.max()) + 1

    def trial(self, widths: tuple[int, ...], settings: HeadSettings) -> _Trial:
        """A head of these features alone."""
        features, learned = self.features[:, : sum(widths)], ~self.held
        fresh = fresh_head(widths, features, settings, self.outputs)
        head = fit_head(features[learned], self.classes[learned], settings, fresh, self.weights[learned])
        return self._scored(head, widths)

    def mixed(self, trials: Sequence[_Trial], shares: Sequence[float], settings: HeadSettings) -> list[_Trial]:
        """The trials with a forest beside them, in every share that it may have."""
        forest = self._forest(~self.held, trials[0].widths[0], settings)
        return [self._scored(with_forest(t.head, forest, share), t.widths) for share in shares for t in trials]

    def refit(self, best: _Trial, settings: HeadSettings) -> Head:
        """The best head, fitted on to all paint, and its forest grown again."""
        again = replace(settings, steps=max(1, settings.steps // 2), learning_rate=settings.learning_rate / 4)
        head = fit_head(self.features[:, : sum(best.widths)], self.classes, again, best.head, self.weights)
        if best.head.forest is None:
            return head
        forest = self._forest(torch.ones_like(self.held), best.widths[0], settings)
        return with_forest(head, forest, float(best.head.forest.share))

    def _forest(self, which: torch.Tensor, width: int, settings: HeadSettings) -> Forest:
        """A forest on the hand-made features of some of the voxels."""
        by_class = class_weights(self.outputs, settings.structure_weight, self.classes.device)
        weights = (self.weights * by_class[self.classes])[which]
        forest = ForestSettings(settings.trees, self.outputs, settings.seed)
        return grow_forest(self.features[which, :width], self.classes[which], weights, forest)

    def _scored(self, head: Head, widths: tuple[int, ...]) -> _Trial:
        with torch.inference_mode():
            predicted = head(self.features[self.held, : sum(widths)]).argmax(1).cpu()
        classes, stands_for = self.classes[self.held].cpu(), self.stands_for[self.held].cpu()
        return _Trial(head, widths, class_dice(predicted, classes, stands_for))
