"""Random patches from labelled images, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch.nn import functional as F

from napari_unetseg.core.annotations.sparse_labels import IGNORE
from napari_unetseg.engine.networks.padding import mirror_pad
from napari_unetseg.engine.training.augment import Augmentation, augment

FOCUS_VOXELS = 4000  # remembered for each class of a case


@dataclass(frozen=True)
class Case:
    """One labelled image, normalised as the model's card says.

    Parameters
    ----------
    image : tensor, shape (C, [Z,] Y, X), float32, or float16 to take less memory
    labels : tensor, shape ([Z,] Y, X), integer
        Network outputs 0, 1, …; `IGNORE` where not known.
    weight : float
        How often it is drawn, relative to the others.
    """

    image: torch.Tensor
    labels: torch.Tensor
    weight: float = 1.0


@dataclass(frozen=True)
class BatchSettings:
    """How batches are drawn.

    Parameters
    ----------
    patch : tuple of int
        Patch size, one number per spatial axis.
    batch : int
        Patches in a batch.
    focus : float
        Share of the patches that are centred near a voxel of a randomly chosen known class, so that rare classes and
        sparse paint are seen; the rest lies anywhere.
    augmentation : Augmentation
    seed : int
    """

    patch: tuple[int, ...]
    batch: int = 4
    focus: float = 0.5
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0


Batch = tuple[torch.Tensor, torch.Tensor]
"""Image (N, C, [Z,] Y, X) float32, and labels (N, [Z,] Y, X) int64 or what a loss takes in their place."""


class BatchSource(Protocol):
    """Anything that gives batch number `step`: `Batches`, what is put around them, or a list of batches."""

    def __getitem__(self, step: int, /) -> Batch:
        """The same for the same number, so that training that is resumed sees what it would have seen."""


class Placement(Protocol):
    """Where patches are cut out."""

    def __call__(self, generator: torch.Generator, /) -> Iterator[tuple[int, Sequence[int]]]:
        """For each patch of a batch, drawn when it is asked for: number of the case, and where the crop starts."""


class Variation(Protocol):
    """How the crops of a batch are varied."""

    def __call__(self, crops: Iterator[Batch], generator: torch.Generator, /) -> Batch:
        """The batch, of crops (C, [Z,] Y, X) and ([Z,] Y, X) that are cut when they are asked for."""


class Batches:
    """Batch number `step` of an endless, reproducible series: ``batches[step]``.

    Every step has a random generator of its own, so training that is resumed sees the same batches as training that
    never stopped. Batches lie on the device of the cases.

    Parameters
    ----------
    cases : sequence of Case
    settings : BatchSettings
    placement : Placement, optional
        By default `Focused`.
    variation : Variation, optional
        By default that of the settings' augmentation.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        settings: BatchSettings,
        placement: Placement | None = None,
        variation: Variation | None = None,
    ) -> None:
        self.cases, self.settings = tuple(cases), settings
        reach = settings.augmentation.reach
        self._crop = tuple(length + 2 * round(length * (reach - 1) / 2) for length in settings.patch)
        self._placement = placement or Focused(self.cases, settings, self._crop)
        self._variation = variation or self._augmented

    def __getitem__(self, step: int) -> Batch:
        """Image (N, C, *patch) float32 and labels (N, *patch) int64."""
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + step)
        places = self._placement(generator)
        crops = (crop_at(self.cases[index], start, self._crop) for index, start in places)
        return self._variation(crops, generator)

    def _augmented(self, crops: Iterator[Batch], generator: torch.Generator) -> Batch:
        image, labels = (torch.stack(parts) for parts in zip(*crops, strict=True))
        return augment(image, labels, self.settings.patch, self.settings.augmentation, generator)


class Focused:
    """Patches near a voxel of a randomly chosen known class, by the settings' `focus`, and anywhere else.

    Parameters
    ----------
    cases : sequence of Case
    settings : BatchSettings
    crop : tuple of int
        What is cut out, around the patch.
    """

    def __init__(self, cases: Sequence[Case], settings: BatchSettings, crop: Sequence[int]) -> None:
        self.settings, self._crop = settings, tuple(crop)
        self.weights = torch.tensor([case.weight for case in cases], dtype=torch.float64)
        self._sizes = [case.labels.shape for case in cases]
        generator = torch.Generator().manual_seed(settings.seed)
        self._places = [_places_by_class(case.labels, generator) for case in cases]

    def __call__(self, generator: torch.Generator) -> Iterator[tuple[int, Sequence[int]]]:
        """Cases by their weights, and in each a place."""
        for index in torch.multinomial(self.weights, self.settings.batch, replacement=True, generator=generator):
            yield int(index), self._start(int(index), generator)

    def _start(self, index: int, generator: torch.Generator) -> list[int]:
        size, places = self._sizes[index], self._places[index]
        if places and float(torch.rand((), generator=generator)) < self.settings.focus:
            of_class = places[pick(len(places), generator)]
            centre = [int(c) for c in of_class[pick(len(of_class), generator)]]
            centre = [
                c + pick(half, generator) - half // 2
                for c, half in zip(centre, (max(1, p // 2) for p in self.settings.patch), strict=True)
            ]
        else:
            centre = [pick(length, generator) for length in size]
        return [
            min(max(c - p // 2, 0), max(length - p, 0)) - (crop - p) // 2
            for c, p, crop, length in zip(centre, self.settings.patch, self._crop, size, strict=True)
        ]


def crop_at(case: Case, start: Sequence[int], size: Sequence[int]) -> Batch:
    """A crop that may reach out of the image: mirrored there (repeated where too thin), with unknown labels."""
    spans = [(max(0, s), min(length, s + n)) for s, n, length in zip(start, size, case.labels.shape, strict=True)]
    inside = tuple(slice(low, high) for low, high in spans)
    pads = [(low - s, s + n - high) for s, n, (low, high) in zip(start, size, spans, strict=True)]
    labels = F.pad(case.labels[inside].long(), [side for pad in reversed(pads) for side in pad], value=IGNORE)
    return mirror_pad(case.image[(slice(None), *inside)][None].float(), pads)[0], labels


def _places_by_class(labels: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor]:
    """For each class that is known somewhere, the indices of some of its voxels, (n, axes)."""
    flat = labels.flatten().cpu()
    places = []
    for value in range(int(flat.max()) + 1):
        of_class = torch.nonzero(flat == value)[:, 0]
        if len(of_class):
            chosen = of_class[torch.randint(len(of_class), (FOCUS_VOXELS,), generator=generator)]
            places.append(torch.stack(torch.unravel_index(chosen, labels.shape), dim=1))
    return places


def pick(count: int, generator: torch.Generator) -> int:
    """A whole number from 0 to below `count`."""
    return int(torch.randint(count, (), generator=generator))
