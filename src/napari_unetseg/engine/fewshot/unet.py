"""Fine-tuning of a whole U-Net to paint, 2D or 3D: an ordinary model comes out."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt
import torch

from napari_unetseg.core.annotations.sparse_labels import class_count, hold_out
from napari_unetseg.core.models.card import ModelCard, Normalisation
from napari_unetseg.core.models.compatibility import map_input
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings, why_nothing_is_kept
from napari_unetseg.core.models.normalisation import Normaliser, normaliser
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Grid, Volume
from napari_unetseg.engine.devices import choose_device
from napari_unetseg.engine.fewshot.fit_head import class_dice
from napari_unetseg.engine.fewshot.schedule import Stage, Stages, loss_of
from napari_unetseg.engine.fewshot.training_set import Lesson
from napari_unetseg.engine.fewshot.unet_patches import Look, painted_cases, predicted_classes
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings, settings_for_spacing
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.distillation import TaughtBatches, TaughtLoss
from napari_unetseg.engine.training.loop import BatchSource, Trained, iter_train
from napari_unetseg.engine.training.patches import Batches, BatchSettings, Case
from napari_unetseg.errors import ModelError

WIDTHS = (16, 32, 64)
"""Of a network that begins with nothing."""
PATCHES = {2: (128, 128), 3: (32, 64, 64)}
BATCH = {2: 4, 3: 2}
MARGIN = 24
"""Voxels around a window that its result is taken to depend on."""
STRENGTH = 1.0
"""Of what a teacher says, beside the paint."""
FOCUS = 0.9
"""Share of the patches around paint; anywhere else there is nothing to learn but what a teacher says."""

Array = npt.NDArray[Any]


class Whole:
    """One fine-tuning of a U-Net.

    Parameters
    ----------
    lesson : Lesson
    start : Model or None
        A U-Net to begin with; of a light model, the U-Net that it looks through. None: random weights.
    settings : FineTuneSettings
    stages : Stages

    Raises
    ------
    ModelError
        If the images do not fit `start`, or its structures cannot be kept.
    """

    def __init__(self, lesson: Lesson, start: Model | None, settings: FineTuneSettings, stages: Stages) -> None:
        self.lesson, self.start, self.settings, self.stages = lesson, start, settings, stages
        self.strength = STRENGTH
        self.device = choose_device(self.settings.device)
        self.learning, self.held = hold_out(self.lesson.painted)
        self.teacher = _teacher(self.start) if self.settings.keep_structures else None
        self._known = self.teacher.settings.outputs if self.teacher is not None else 0
        self.outputs = max(class_count(self.lesson.painted), self._known)
        self.network = self._fresh().to(self.device)
        if not self.network.settings.padded:
            raise ModelError("Expected a padded U-Net to begin with. Choose another --model.")
        self.patch = _patch(self.network.settings, self.lesson.volumes)

    def train(self, stage: Stage, network: UNet | None = None) -> Job[Trained[UNet]]:
        """Train on the learning part of the paint, or in the last stage on all of it."""
        yield Progress(0, 1, "Preparing to train")
        batches = self._batches(self.learning if stage == "trial" else self.lesson.painted)
        training = self.stages.training(stage)
        if self.start is not None:  # its statistics of normalisation are measured anew, and then fixed
            training = replace(training, fix_norm=0.0)
        source: BatchSource = batches
        if self.teacher is not None:
            source = TaughtBatches(batches, copy.deepcopy(self.teacher).to(self.device))
            training = replace(training, loss=TaughtLoss(loss_of(self.settings), self.strength))
        return (yield from iter_train(network or self.network, source, training, checkpoint=self.stages.file(stage)))

    def _batches(self, painted: Sequence[Array]) -> Batches:
        dimensions = self.network.settings.dimensions
        how = augmentation_for(self.lesson.volumes[0].grid, dimensions, self.settings)
        focus = FOCUS if self.teacher is None else 0.5
        settings = BatchSettings(self.patch, BATCH[dimensions], focus, how, self.settings.seed)
        return Batches(self._cases(painted), settings)

    def score(self, network: UNet) -> dict[int, float]:
        """Held-out Dice by structure; empty where nothing is held out."""
        cases = self._cases(self.held)
        if not cases:
            return {}
        near = [kernel > 1 for kernel in network.settings.kernels[-1]]
        margin = tuple(MARGIN if is_near else 0 for is_near in near)
        return class_dice(*predicted_classes(network.to(self.device), cases, self.patch, margin))

    def score_of_start(self) -> dict[int, float]:
        """The same of the model to begin with, as far as it knows the structures."""
        return {label: dice for label, dice in self.score(self.network.eval()).items() if label < self._known}

    def card(self, card: ModelCard, network: UNet) -> ModelCard:
        """The card of a model that learned from paint, made that of this network."""
        like = self.start.card if self.start is not None and _is_whole(self.start) else None
        patch = (1,) * (3 - len(self.patch)) + self.patch
        changes: dict[str, Any] = {
            "architecture": network.settings.to_json(),
            "dimensions": network.settings.dimensions,
            "channels": like.channels if like is not None else card.channels,
            "voxel_size": like.voxel_size if like is not None else None,
            "patch": patch,
            "halo": like.halo if like is not None else tuple(0 if n == 1 else MARGIN for n in patch),
        }
        if self.teacher is not None and like is not None:
            changes["structures"] = (*like.structures, *card.structures[len(like.structures) :])
        return card.model_copy(update=changes)

    def _fresh(self) -> UNet:
        """The start with as many outputs as there are classes; what it has of them is kept where that is asked for."""
        torch.manual_seed(self.settings.seed)
        start = _unet_of(self.start)
        if start is None:
            return UNet(from_nothing(self.lesson.volumes[0], self.outputs))
        network = UNet(replace(start.settings, outputs=self.outputs))
        state = {name: tensor for name, tensor in start.state_dict().items() if not name.startswith("head.")}
        network.load_state_dict(state, strict=False)
        if self.teacher is not None:
            with torch.no_grad():
                for new, old in zip(network.head.parameters(), start.head.parameters(), strict=True):
                    new.zero_()
                    new[: len(old)] = old
        return network

    def _cases(self, painted: Sequence[Array]) -> list[Case]:
        found: list[Case] = []
        for volume, paint in zip(self.lesson.volumes, painted, strict=True):
            read, ratio = self._read(volume)
            z, y, x = (math.ceil(n / r) for n, r in zip((1,) * (3 - len(self.patch)) + self.patch, ratio, strict=True))
            look = Look(self.network.settings.dimensions, (z, y, x), ratio)
            found += painted_cases([volume], [paint], [read], look)
        return [Case(c.image.to(self.device), c.labels.to(self.device), c.weight) for c in found]

    def _read(self, volume: Volume) -> tuple[Normaliser, tuple[float, float, float]]:
        """How intensities are read, and network voxels for one of the image's."""
        if self.start is None:
            return normaliser(volume, Normalisation()), (1.0, 1.0, 1.0)
        if not _is_whole(self.start) or self.start.card.is_start:  # of no voxel size of its own
            return normaliser(volume, self.start.card.normalisation), (1.0, 1.0, 1.0)
        fitted = map_input(self.start.card, volume, SegmentSettings())
        z, y, x = (axis.ratio for axis in fitted.grid)
        return normaliser(volume, self.start.card.normalisation, fitted.mix), (z, y, x)


def trains_whole(start: Model | None, settings: FineTuneSettings) -> bool:
    """Whether the U-Net itself is trained: where that is asked for, and always if it is 3D."""
    is_3d = start is not None and _is_whole(start) and start.network.settings.dimensions == 3
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
    fixed = grid.scanner is not None or settings.keep_structures
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


def _unet_of(start: Model | None) -> UNet | None:
    if start is None:
        return None
    return architecture_of(start.network).base(start.network)


def _is_whole(start: Model) -> bool:
    """Whether the network itself is what is trained on, not one that it looks through."""
    return architecture_of(start.network).trains_whole


def _teacher(start: Model | None) -> UNet:
    """The start, frozen; raises `ModelError` where it has no structures that can be kept."""
    reason = why_nothing_is_kept(start.card if start is not None else None)
    network = _unet_of(start)
    if start is None or network is None or reason or not architecture_of(start.network).keeps_structures:
        raise ModelError(f"{reason} Name a U-Net that finds structures with --model.")
    return copy.deepcopy(network).requires_grad_(False)


def _patch(settings: UNetSettings, volumes: Sequence[Volume]) -> tuple[int, ...]:
    """A patch no larger than the smallest image needs, in whole strides."""
    sizes = [volume.shape[-settings.dimensions :] for volume in volumes]
    smallest = [min(size[axis] for size in sizes) for axis in range(settings.dimensions)]
    return tuple(
        min(most, step * math.ceil(length / step))
        for most, length, step in zip(PATCHES[settings.dimensions], smallest, settings.stride, strict=True)
    )
