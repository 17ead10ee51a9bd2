"""Fine-tuning of a whole U-Net to sparse labels, 2D or 3D: an ordinary model comes out."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.annotations.sparse_labels import IGNORE, chance
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.models.fine_tuned_card import (
    FineTuneSettings,
    LearnedNetwork,
    why_not_begun_with,
    why_nothing_is_kept,
)
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.devices import choose_device
from napari_unetseg.engine.fewshot.correcting.anchors import SPACED
from napari_unetseg.engine.fewshot.correcting.kept import CORRECTING, MergedLoss, Outputs, between, merged, outputs_of
from napari_unetseg.engine.fewshot.run import FineTuningRun, NetworkInput, detached, network_input
from napari_unetseg.engine.fewshot.unet_patches import NetworkFrame, annotated_cases, scored_windows
from napari_unetseg.engine.fewshot.validation import Schedule, Stage, class_dice, known_classes, loss_of, mean_dice
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings, settings_for_spacing
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.distillation import DistillationBatches, DistillationLoss
from napari_unetseg.engine.training.loop import Trained
from napari_unetseg.engine.training.patches import Batches, BatchSettings, BatchSource, Case
from napari_unetseg.errors import ModelError

WIDTHS = (16, 32, 64)
"""Of a network that begins with nothing."""
PATCHES = {2: (128, 128), 3: (32, 64, 64)}
BATCH = {2: 4, 3: 2}
MARGIN = 24
"""Voxels around a window that its result is taken to depend on."""
STRENGTH = 1.0
"""Of what a teacher says, beside the labels."""
DOUBTED = 0.1
"""Of all mistakes, as many that a teacher made with a class, and that class is doubted."""
FOCUS = 0.9
"""Share of the patches around labels; anywhere else there is nothing to learn but what a teacher says."""

Array = npt.NDArray[Any]


class UNetFineTuner:
    """Fine-tuning of the U-Net to begin with; of a pixel classifier, of the U-Net that it looks through.

    Parameters
    ----------
    run : FineTuningRun
        Without a pretrained model it begins with random weights.
    schedule : Schedule
    strength : float
        Of distillation, where structures are kept.

    Raises
    ------
    ModelError
        If the images do not fit the pretrained model, or its structures cannot be kept.
    """

    tolerance = 0.0

    def __init__(self, run: FineTuningRun, schedule: Schedule, strength: float = STRENGTH) -> None:
        self.run, self.schedule, self.strength = run, schedule, strength
        self.device = choose_device(run.settings.device)
        keeps = run.settings.keep_structures or run.settings.corrects
        self.teacher = _teacher(run.pretrained, objects=run.settings.corrects) if keeps else None
        start, first = run.pretrained.card if run.pretrained is not None else None, run.dataset.volumes[0]
        reason = why_not_begun_with(start, len(first.channels), is_2d=first.is_2d)
        if reason is not None:
            raise ModelError(reason)
        self._known = self.teacher.settings.outputs if self.teacher is not None else 0
        self._structures = run.pretrained.card.structures if run.pretrained is not None and keeps else ()
        self.network = self._fresh().to(self.device)
        if not self.network.settings.padded:
            raise ModelError("Expected a padded U-Net to begin with. Choose another --model.")
        self.patch = _patch(self.network.settings, run.dataset.volumes)
        self._far: UNet | None = None
        self._share = CORRECTING.shares[0]

    def fit(self, stage: Stage, network: UNet | None = None) -> Job[Trained[UNet] | None]:
        """Train what it begins with, or `network`, on the labels of a fit."""
        yield Progress(0, 1, "Preparing to train")
        dataset, settings = self.run.dataset, self.run.settings
        source: BatchSource = self._batches(dataset.split.learning if stage == "validation" else dataset.painted)
        training = self.schedule.training(stage)
        if self.run.pretrained is not None:  # its statistics of normalisation are measured anew, and then fixed
            training = replace(training, fix_norm=0.0)
        if self.teacher is not None:
            source = DistillationBatches(source, copy.deepcopy(self.teacher).to(self.device))
            loss = DistillationLoss(MergedLoss(loss_of(settings), self._outputs), self.strength)
            training = replace(training, loss=loss)
        if not settings.corrects:
            return (yield from self.schedule.train(stage, network or self.network, source, training))
        loss = DistillationLoss(loss.painted, CORRECTING.strength, CORRECTING.sureness, self._doubted, CORRECTING.doubt)
        training = replace(training, loss=loss, keep_norm=True, learning_rate=CORRECTING.rate * training.learning_rate)
        trained = yield from self.schedule.train(stage, self._far or self.network, source, training)
        return trained and self._nearer(stage, trained)

    def _nearer(self, stage: Stage, trained: Trained[UNet]) -> Trained[UNet]:
        """Weights between those to begin with and the trained ones, as far away as held-out corrections say."""
        if stage == "validation":
            self._far = trained.network
            parts = [between(self.network, trained.network, share) for share in CORRECTING.shares]
            found = np.array([self._agreement(part) for part in parts])
            by_chance = chance(self.run.dataset.split.held_out) / 4
            self._share = CORRECTING.shares[int(np.argmax(found >= found.max() - by_chance))]
        return replace(trained, network=between(self.network, trained.network, self._share))

    def _agreement(self, network: UNet) -> float:
        """Mean Dice of all held-out classes, background too: it may be all that was corrected."""
        predicted, classes = known_classes(self._windows(network, self.run.dataset.split.held_out))
        return mean_dice(class_dice(predicted + 1, classes + 1))

    def _batches(self, painted: Sequence[Array]) -> Batches:
        dimensions = self.network.settings.dimensions
        how = augmentation_for(self.run.dataset.volumes[0].grid, dimensions, self.run.settings)
        focus = FOCUS if self.teacher is None else 0.5
        focus = CORRECTING.focus if self.run.settings.corrects else focus
        settings = BatchSettings(self.patch, BATCH[dimensions], focus, how, self.run.settings.seed)
        cases = self.cases(painted)
        if self.run.settings.corrects:
            cases += self._anchors(sum(case.weight for case in cases))
        return Batches(cases, settings)

    def _anchors(self, weight: float) -> list[Case]:
        """Parts of the images of which the teacher alone says what is there; `weight` is that of the corrections."""
        seen = [np.zeros(paint.shape, np.uint8) for paint in self.run.dataset.painted]
        for marks in seen:
            step = max(1, len(marks) // SPACED)
            marks[step // 2 :: step] = 1
        found = [replace(c, labels=torch.full_like(c.labels, IGNORE)) for c in self.cases(seen)]
        return [replace(case, weight=CORRECTING.anchors * weight / len(found)) for case in found]

    def score(self, network: UNet) -> dict[int, float]:
        """Held-out Dice by structure; empty where nothing is held out."""
        return class_dice(*known_classes(self._windows(network, self.run.dataset.split.held_out)))

    @cached_property
    def _doubted(self) -> tuple[int, ...]:
        """Outputs of the classes that the teacher took for others where it was corrected."""
        predicted, classes = known_classes(self._windows(self.network.eval(), self.run.dataset.painted))
        wrong = torch.bincount(predicted[predicted != classes], minlength=len(self._outputs))
        doubted = (wrong >= DOUBTED * wrong.sum()) & (wrong > 0)
        return tuple(output for group, is_so in zip(self._outputs, doubted, strict=True) if is_so for output in group)

    def _windows(self, network: UNet, painted: Sequence[Array]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Class scores and labels around some paint."""
        cases = self.cases(painted)
        near = [kernel > 1 for kernel in network.settings.kernels[-1]]
        margin = tuple(MARGIN if is_near else 0 for is_near in near)
        for scores, labels in scored_windows(network.to(self.device), cases, self.patch, margin):
            yield merged(scores[None], self._outputs)[0] if self._structures else scores, labels

    def score_of_pretrained(self) -> dict[int, float]:
        """The same of the model to begin with, as far as it knows the structures that are kept."""
        found = self.score(self.network.eval())
        return {label: dice for label, dice in found.items() if label <= len(self._structures)}

    def model(self, stage: Stage, network: UNet, dice: dict[int, float]) -> Model:
        """An ordinary model, on the CPU; it takes images as the one that it began with, where that was a U-Net."""
        pretrained, dataset = self.run.pretrained, self.run.dataset
        like = pretrained.card if pretrained is not None and _is_whole(pretrained) else None
        z, y, x = (1,) * (3 - len(self.patch)) + self.patch
        margin = (0 if z == 1 else MARGIN, 0 if y == 1 else MARGIN, 0 if x == 1 else MARGIN)
        learned = LearnedNetwork(
            architecture=network.settings.to_json(),
            outputs=network.settings.outputs,
            dimensions=network.settings.dimensions,
            channels=like.channels if like is not None else dataset.volumes[0].channels,
            voxel_size=like.voxel_size if like is not None else None,
            patch=(z, y, x),
            halo=like.halo if like is not None else margin,
            keeps=self.teacher is not None,
        )
        return detached(network, self.run.card(learned, dice))

    def _fresh(self) -> UNet:
        """What it begins with, with an output a class; those of the pretrained model are kept where that is asked."""
        torch.manual_seed(self.run.settings.seed)
        added = self.run.dataset.outputs - 1 - len(self._structures)
        outputs = self._known + max(0, added) if self.teacher is not None else self.run.dataset.outputs
        pretrained = _unet_of(self.run.pretrained)
        if pretrained is None:
            return UNet(from_nothing(self.run.dataset.volumes[0], outputs))
        network = UNet(replace(pretrained.settings, outputs=outputs))
        state = {name: tensor for name, tensor in pretrained.state_dict().items() if not name.startswith("head.")}
        network.load_state_dict(state, strict=False)
        if self.teacher is not None:
            with torch.no_grad():
                for new, old in zip(network.head.parameters(), pretrained.head.parameters(), strict=True):
                    new.zero_()
                    new[: len(old)] = old
        return network

    @property
    def _outputs(self) -> Outputs:
        """Of background and of each structure, where these are kept."""
        return outputs_of(self._structures, self.network.settings.outputs)

    @cached_property
    def _mappings(self) -> list[NetworkInput]:
        return [network_input(volume, self.run.pretrained) for volume in self.run.dataset.volumes]

    def cases(self, painted: Sequence[Array]) -> list[Case]:
        """The labelled parts of the images as the network sees them, on its device."""
        found: list[Case] = []
        patch = (1,) * (3 - len(self.patch)) + self.patch
        for volume, paint, mapping in zip(self.run.dataset.volumes, painted, self._mappings, strict=True):
            z, y, x = (math.ceil(n / r) for n, r in zip(patch, mapping.ratio, strict=True))
            frame = NetworkFrame(self.network.settings.dimensions, (z, y, x), mapping.ratio)
            found += annotated_cases([volume], [paint], [mapping.read], frame)
        return [replace(c, image=c.image.to(self.device), labels=c.labels.to(self.device)) for c in found]


def trains_whole(pretrained: Model | None, settings: FineTuneSettings) -> bool:
    """Whether the U-Net itself is trained: where that is asked for, and always if it is 3D."""
    is_3d = pretrained is not None and _is_whole(pretrained) and pretrained.network.settings.dimensions == 3
    return settings.whole or settings.keep_structures or is_3d


def from_nothing(volume: Volume, outputs: int) -> UNetSettings:
    """A small U-Net for images of this kind; kernels and poolings follow the voxel size."""
    spacing = volume.grid.spacing[1:] if volume.is_2d else volume.grid.spacing
    return settings_for_spacing(spacing, len(volume.channels), outputs, WIDTHS, norm="batch")


def augmentation_for(grid: Grid, dimensions: int, settings: FineTuneSettings) -> Augmentation:
    """Moves and intensities that painted images are varied by; along z only what the voxel size allows.

    What lies in a scanner's frame always lies one way round, and so does what a teacher knows: that is not mirrored.
    """
    spacing = grid.spacing[-dimensions:]
    alike = [
        (a, b) for a in range(dimensions) for b in range(a + 1, dimensions) if 0.85 < spacing[a] / spacing[b] < 1.18
    ]
    fixed = grid.scanner is not None or settings.keep_structures or settings.corrects
    return Augmentation(
        flip_axes=() if fixed else tuple(range(dimensions)),
        turn_planes=tuple(alike),
        quarter_turns=not fixed,
        rotation=15.0,
        scale=(0.6, 1.6) if settings.several_scales else (0.85, 1.18),
        elastic=3.0,
        warp_share=0.6 if settings.several_scales else 0.3,
        contrast=0.3,
        brightness=0.15,
        gamma=0.3,
        noise=0.08,
        blur=0.8,
    )


def _unet_of(pretrained: Model | None) -> UNet | None:
    if pretrained is None:
        return None
    return architecture_of(pretrained.network).base(pretrained.network)


def _is_whole(pretrained: Model) -> bool:
    """Whether the network itself is what is trained on, not one that it looks through."""
    return architecture_of(pretrained.network).trains_whole


def _teacher(pretrained: Model | None, *, objects: bool = False) -> UNet:
    """The pretrained model, frozen; raises `ModelError` where it has no structures that can be kept."""
    reason = why_nothing_is_kept(pretrained.card if pretrained is not None else None, objects=objects)
    network = _unet_of(pretrained)
    if pretrained is None or network is None or reason or not architecture_of(pretrained.network).keeps_structures:
        raise ModelError(f"{reason} Name a U-Net that finds structures with --model.")
    # prediction may have laid its weights out in another way, and sums are then rounded in another way
    laid_out = copy.deepcopy(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    taught: UNet = laid_out.requires_grad_(False)
    return taught


def _patch(settings: UNetSettings, volumes: Sequence[Volume]) -> tuple[int, ...]:
    """A patch no larger than the smallest image needs, in whole strides."""
    sizes = [volume.shape[-settings.dimensions :] for volume in volumes]
    smallest = [min(size[axis] for size in sizes) for axis in range(settings.dimensions)]
    return tuple(
        min(most, step * math.ceil(length / step))
        for most, length, step in zip(PATCHES[settings.dimensions], smallest, settings.stride, strict=True)
    )
