"""The refiner: a small U-Net on top of a head that stays as it is, fitted to patches of what the head sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.annotations.sparse_labels import IGNORE, chance, to_classes
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.engine.fewshot.fit_head import FittedHead, painted_slices
from napari_unetseg.engine.fewshot.run import FineTuningRun, detached
from napari_unetseg.engine.fewshot.validation import Schedule, Stage, class_dice, known_classes
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier, Refiner, refined_answer
from napari_unetseg.engine.networks.pixel.features import FeatureSource
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
from napari_unetseg.engine.training.augment import Augmentation, move, recolour
from napari_unetseg.engine.training.loop import Trained
from napari_unetseg.engine.training.patches import Batch, Batches, BatchSettings, Case, pick

REFINER = UNetSettings(2, 1, 2, widths=(16, 32, 64), norm="batch")
"""The U-Net on top: small, since what it sees is rich, and many steps count for more than pre-trained weights."""
PATCH = 96  # pixels along y and x
BATCH = 4
BENT = Augmentation(turn_planes=((0, 1),), quarter_turns=False, rotation=10.0, elastic=3.0, warp_share=1.0)
BENT_SHARE = 0.3  # of the batches
RECOLOURED = Augmentation(contrast=0.3, brightness=0.15, gamma=0.3, noise=0.08, blur=0.8)
MOST_BYTES = 3 * 1024**3  # of slices held for training, in half precision

Array = npt.NDArray[Any]


class RefinerTuner:
    """Fine-tuning of a U-Net on top of a fitted head.

    Parameters
    ----------
    run : FineTuningRun
    fitted : FittedHead
    schedule : Schedule
    """

    def __init__(self, run: FineTuningRun, fitted: FittedHead, schedule: Schedule) -> None:
        self.run, self.schedule = run, schedule
        self._heads = {"validation": fitted.validation, "refit": fitted.head}

    @cached_property
    def tolerance(self) -> float:
        """What chance explains."""
        return chance(self.run.dataset.split.held_out)

    def classifier(self, stage: Stage, refiner: UNet | None = None) -> PixelClassifier:
        """A fit's head, and the U-Net on top of it."""
        return self.run.classifier(self._heads[stage], refiner)

    def fit(self, stage: Stage, network: UNet | None = None) -> Job[Trained[UNet] | None]:
        """Train a fresh U-Net, or `network`, on the labels of a fit, seen through its head."""
        yield Progress(0, 1, "Preparing to train")
        features, settings = self.run.features, self.run.settings
        labels = features.learning if stage == "validation" else features.painted
        slices = seen_slices(self.classifier(stage), features.sources, labels)
        batches = refiner_batches(slices, self.run.dataset.channels, settings.seed)
        network = network or self._fresh().to(features.sources[0].device)
        return (yield from self.schedule.train(stage, network, batches))

    def _fresh(self) -> Refiner:
        torch.manual_seed(self.run.settings.seed)
        inputs = self.run.dataset.channels + self.classifier("validation").settings.hidden
        return Refiner.fresh(replace(REFINER, inputs=inputs, outputs=self.run.dataset.outputs))

    def score(self, network: UNet | None) -> dict[int, float]:
        """Held-out Dice of the validation fit's head, alone or refined; empty where nothing is held out."""
        features = self.run.features
        slices = seen_slices(self.classifier("validation"), features.sources, features.held_out)
        return class_dice(*known_classes(refined_slices(network, slices, self.run.dataset.outputs)))

    def model(self, stage: Stage, network: UNet | None, dice: dict[int, float]) -> Model:
        """The model of a fit, on the CPU."""
        classifier = self.classifier(stage, network)
        return detached(classifier, self.run.classifier_card(classifier, dice))


@torch.inference_mode()
def seen_slices(network: PixelClassifier, sources: Sequence[FeatureSource], painted: Sequence[Array]) -> list[Case]:
    """The slices with most paint, as many as memory is set aside for, and at least one if there is paint.

    Returns
    -------
    list of Case
        Image: what the refiner sees, and the head's scores, (inputs + outputs, Y, X) float16. Labels: int16.
    """
    found: list[Case] = []
    for points in painted_slices(painted):
        seen = network.seen(sources[points.image][points.z]).half()
        classes = torch.from_numpy(to_classes(painted[points.image][points.z]))
        found.append(Case(seen, classes.to(seen.device)))
        if (len(found) + 1) * seen.nelement() * 2 > MOST_BYTES:
            break
    return found


@torch.inference_mode()
def refined_slices(
    refiner: UNet | None, slices: Sequence[Case], outputs: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Class scores (outputs, Y, X) and labels (Y, X) of some slices; without a refiner, the head's own scores."""
    for part in slices:
        seen = part.image[None].float()
        yield (seen[:, -outputs:] if refiner is None else refined_answer(refiner, seen))[0], part.labels


def refiner_batches(slices: Sequence[Case], channels: int, seed: int) -> Batches:
    """Patches of what a refiner sees, around the paint; `channels` leading ones are the image itself."""
    height, width = (min(PATCH, *(part.labels.shape[axis] for part in slices)) for axis in (0, 1))
    settings = BatchSettings((height, width), BATCH, seed=seed)
    return Batches(slices, settings, AroundPaint(slices, (height, width)), SeenVariation(channels, (height, width)))


class AroundPaint:
    """Patches inside the slices, half of them on a voxel of a random class, half on any painted voxel.

    Parameters
    ----------
    slices : sequence of Case
    patch : (y, x)
        At most as large as the smallest slice.
    """

    def __init__(self, slices: Sequence[Case], patch: tuple[int, int]) -> None:
        self._patch, self._sizes = patch, [part.labels.shape for part in slices]
        self._any = [torch.nonzero(part.labels != IGNORE).cpu() for part in slices]
        classes = np.unique(np.concatenate([np.unique(part.labels.cpu()) for part in slices])).tolist()
        self._of_class = [
            [(i, torch.nonzero(part.labels == value).cpu()) for i, part in enumerate(slices) if value in part.labels]
            for value in classes
            if value != IGNORE
        ]

    def __call__(self, generator: torch.Generator) -> Iterator[tuple[int, Sequence[int]]]:
        """A slice and the patch's start in it, `BATCH` times."""
        for number in range(BATCH):
            if number % 2:
                of_class = self._of_class[pick(len(self._of_class), generator)]
                index, places = of_class[pick(len(of_class), generator)]
            else:
                index = pick(len(self._any), generator)
                places = self._any[index]
            centre = places[pick(len(places), generator)].tolist()
            spans = zip(centre, self._patch, self._sizes[index], strict=True)
            yield index, [min(max(c - pick(n, generator), 0), whole - n) for c, n, whole in spans]


class SeenVariation:
    """Patches are mirrored and turned by 90°, which features allow, and now and then bent so little that they bear it.

    Intensities change in the image alone: features of another image would have to be computed anew, for far longer
    than a step takes.

    Parameters
    ----------
    channels : int
        Leading channels that are the image itself.
    patch : (y, x)
    """

    def __init__(self, channels: int, patch: tuple[int, int]) -> None:
        self._channels, self._patch = channels, patch

    def __call__(self, crops: Iterator[Batch], generator: torch.Generator) -> Batch:
        """All patches of a batch are turned alike, for they are of one size."""
        height, width = self._patch
        turns = pick(4, generator) if height == width else 2 * pick(2, generator)
        turned = [_turned(seen, classes, turns, bool(pick(2, generator))) for seen, classes in crops]
        seen, classes = (torch.stack(parts) for parts in zip(*turned, strict=True))
        if float(torch.rand((), generator=generator)) < BENT_SHARE:
            seen, classes = move(seen, classes, self._patch, BENT, generator)
        image = recolour(seen[:, : self._channels], RECOLOURED, generator)
        return torch.cat([image, seen[:, self._channels :]], dim=1), classes


def _turned(seen: torch.Tensor, classes: torch.Tensor, turns: int, is_mirrored: bool) -> Batch:
    seen, classes = torch.rot90(seen, turns, (1, 2)), torch.rot90(classes, turns, (0, 1))
    return (seen.flip(2), classes.flip(1)) if is_mirrored else (seen, classes)
