"""Training of the refiner: patches around the paint, seen through a head that stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.annotations.sparse_labels import to_classes
from napari_unetseg.engine.fewshot.fit_head import painted_slices
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier, refined_answer
from napari_unetseg.engine.networks.pixel.features import FeatureSource
from napari_unetseg.engine.networks.unets.unet import UNet
from napari_unetseg.engine.training.augment import Augmentation, move, recolour

PATCH = 96  # pixels along y and x
BATCH = 4
BENT = Augmentation(turn_planes=((0, 1),), quarter_turns=False, rotation=10.0, elastic=3.0, warp_share=1.0)
BENT_SHARE = 0.3  # of the batches
RECOLOURED = Augmentation(contrast=0.3, brightness=0.15, gamma=0.3, noise=0.08, blur=0.8)
MOST_BYTES = 3 * 1024**3  # of slices held for training, in half precision

Array = npt.NDArray[Any]
Classes = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class SeenSlice:
    """A painted slice as the refiner sees it.

    Parameters
    ----------
    seen : tensor, float16, (inputs + outputs, Y, X)
    classes : tensor, int16, (Y, X)
        Network outputs 0, 1, …; -1 where unknown.
    """

    seen: torch.Tensor
    classes: torch.Tensor


@torch.inference_mode()
def seen_slices(
    network: PixelClassifier, sources: Sequence[FeatureSource], painted: Sequence[Array]
) -> list[SeenSlice]:
    """The slices with most paint, as many as memory is set aside for, and at least one."""
    found: list[SeenSlice] = []
    for points in painted_slices(painted):
        seen = network.seen(sources[points.image][points.z]).half()
        classes = torch.from_numpy(to_classes(painted[points.image][points.z]))
        found.append(SeenSlice(seen, classes.to(seen.device)))
        if (len(found) + 1) * seen.nelement() * 2 > MOST_BYTES:
            break
    return found


class RefinerBatches:
    """Batch number `step` of an endless, reproducible series of painted patches: ``batches[step]``.

    Half the patches are centred near a voxel of a random class, half near any painted voxel. They are mirrored and
    turned by 90°, which the features allow, and now and then bent by so little that the features bear it. Intensities
    change in the image alone: features of another image would have to be computed anew, for far longer than a step.

    Parameters
    ----------
    slices : sequence of SeenSlice
    channels : int
        Leading channels that are the image itself.
    seed : int
    """

    def __init__(self, slices: Sequence[SeenSlice], channels: int, seed: int) -> None:
        self.slices, self.channels, self.seed = tuple(slices), channels, seed
        self.shape = tuple(min(PATCH, *(s.classes.shape[axis] for s in slices)) for axis in (0, 1))
        self._any = [torch.nonzero(s.classes >= 0).cpu() for s in slices]
        labels = np.unique(np.concatenate([np.unique(s.classes.cpu()) for s in slices])).tolist()
        self._of_class = [
            [(i, torch.nonzero(s.classes == label).cpu()) for i, s in enumerate(slices) if label in s.classes]
            for label in labels
            if label >= 0
        ]

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What the refiner sees (BATCH, inputs + outputs, Y, X) float32, and classes (BATCH, Y, X) int64."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        turns = _pick(4, generator) if self.shape[0] == self.shape[1] else 2 * _pick(2, generator)
        patches = [self._patch(number, turns, generator) for number in range(BATCH)]
        seen, classes = (torch.stack(parts) for parts in zip(*patches, strict=True))
        if float(torch.rand((), generator=generator)) < BENT_SHARE:
            seen, classes = move(seen, classes, self.shape, BENT, generator)
        image = recolour(seen[:, : self.channels], RECOLOURED, generator)
        return torch.cat([image, seen[:, self.channels :]], dim=1), classes

    def _patch(self, number: int, turns: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        index, centre = self._centre(number, generator)
        part = self.slices[index]
        window = tuple(
            _span(int(c), length, whole, generator)
            for c, length, whole in zip(centre, self.shape, part.classes.shape, strict=True)
        )
        seen, classes = part.seen[:, *window].float(), part.classes[window].long()
        seen, classes = torch.rot90(seen, turns, (1, 2)), torch.rot90(classes, turns, (0, 1))
        if _pick(2, generator):
            seen, classes = seen.flip(2), classes.flip(1)
        return seen, classes

    def _centre(self, number: int, generator: torch.Generator) -> tuple[int, torch.Tensor]:
        if number % 2:
            of_class = self._of_class[_pick(len(self._of_class), generator)]
            index, places = of_class[_pick(len(of_class), generator)]
        else:
            index = _pick(len(self.slices), generator)
            places = self._any[index]
        return index, places[_pick(len(places), generator)]


def _pick(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def _span(centre: int, length: int, whole: int, generator: torch.Generator) -> slice:
    """A span of `length` inside `whole` that holds `centre`, somewhere."""
    start = centre - _pick(length, generator)
    start = min(max(start, 0), whole - length)
    return slice(start, start + length)


@torch.inference_mode()
def predicted_classes(refiner: UNet | None, slices: Sequence[SeenSlice], outputs: int) -> Classes:
    """Predicted and true classes (P,) of the known pixels of some slices; without a refiner, those of the head."""
    predicted, true = [], []
    for part in slices:
        seen = part.seen[None].float()
        scores = seen[:, -outputs:] if refiner is None else refined_answer(refiner, seen)
        known = part.classes >= 0
        predicted.append(scores[0].argmax(0)[known].cpu())
        true.append(part.classes[known].cpu().long())
    return torch.cat(predicted), torch.cat(true)
