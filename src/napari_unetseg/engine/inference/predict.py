"""Prediction of a volume, tile by tile, from where it is kept to where its labels are to go."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.allocator import give_back
from napari_unetseg.core.geometry.resample import AxisSampling
from napari_unetseg.core.geometry.tiles import Budget, Tile, blend_weights, triple
from napari_unetseg.core.grid import Box
from napari_unetseg.core.models.compatibility import InputMapping, map_input
from napari_unetseg.core.models.normalisation import Normaliser, count_not_finite, normaliser
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.voxels import ArraySink, VoxelSource
from napari_unetseg.engine.devices import OutOfMemory, choose_device, device_name, memory_guard
from napari_unetseg.engine.inference.aggregate import Blender, LabelAggregator, Sinks
from napari_unetseg.engine.inference.augmented import Classifier, passes
from napari_unetseg.engine.inference.plan import Plan, plan, tile_budget, trusted_plan
from napari_unetseg.engine.inference.predict_slices import SliceRun, check_scale, iter_slices
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.engine.networks.precision import note_of
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.errors import ResourceError

STAGE = "Predicting"


@dataclass(frozen=True)
class Prediction:
    """What a model found.

    Parameters
    ----------
    classes : ndarray, uint8, (Z, Y, X)
        0 is background, else the label of a structure, on the volume's own grid.
    seeds : ndarray, bool, (Z, Y, X), or None
        Cores of objects; None where the model marks none.
    probabilities : ndarray, float16, (structures + 1, Z, Y, X), or None
        Background first. None unless they were asked for.
    device : str
        What it was computed on.
    notes : tuple of str
        What the user should know, such as a fall back to smaller tiles.
    """

    classes: npt.NDArray[np.uint8]
    seeds: npt.NDArray[np.bool_] | None
    probabilities: npt.NDArray[np.float16] | None
    device: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Computed:
    """How a prediction was computed.

    Parameters
    ----------
    device : str
        What it was computed on.
    notes : tuple of str
        What the user should know, such as a fall back to smaller tiles.
    """

    device: str
    notes: tuple[str, ...]


def iter_predict(
    model: Model, volume: VoxelSource, settings: SegmentSettings, read: Normaliser | None = None
) -> Job[Prediction]:
    """Predict a volume into memory; see `iter_predict_into`."""
    structures = model.card.structures
    marks_cores = any(structure.seed_channel is not None for structure in structures)
    classes = np.zeros(volume.shape, np.uint8)
    seeds = np.zeros(volume.shape, np.bool_) if marks_cores else None
    soft = settings.write == "probabilities"
    probabilities = np.zeros((len(structures) + 1, *volume.shape), np.float16) if soft else None
    sinks = Sinks(
        ArraySink(classes),
        None if seeds is None else ArraySink(seeds),
        None if probabilities is None else ArraySink(probabilities),
    )
    computed = yield from iter_predict_into(sinks, model, volume, settings, read)
    return Prediction(classes, seeds, probabilities, computed.device, computed.notes)


def iter_predict_into(
    sinks: Sinks, model: Model, volume: VoxelSource, settings: SegmentSettings, read: Normaliser | None = None
) -> Job[Computed]:
    """Predict a volume box by box, from where it is kept to where the results are to go.

    Neither is ever whole in memory, unless it is kept there. What is written is decided by the sinks, not by
    `settings.write`. Closing the generator stops before the next tile.

    `read` is how intensities are read where the volume is a part of a larger one; None measures the volume itself.
    Where memory runs out, it begins again with smaller tiles and then on the CPU, and says so in its progress and
    its notes; the sinks then get all boxes anew. On a CPU the same call gives the same result.

    Raises
    ------
    ModelError
        If the volume does not fit the model.
    SettingsError, ResourceError
        If there is no such device, a model that goes slice by slice is asked for a scale, or memory does not do for
        the smallest tile.
    """
    device = choose_device(settings.device)
    by_slices = architecture_of(model.network).predicts == "slices"
    if by_slices:
        check_scale(model.card.name, settings)
    fitted = map_input(model.card, volume, settings)
    yield Progress(0, 1, "Measuring intensities")
    read = read or normaliser(volume, model.card.normalisation, fitted.mix)
    notes = [*fitted.notes, *_note_not_finite(volume)]
    aggregator = LabelAggregator(model.card.structures, sinks)
    if by_slices:
        run = SliceRun(model.network, aggregator, read, device)
        device = yield from iter_slices(run, volume, settings, notes)
        return Computed(device_name(device), tuple(notes))
    count = passes(model.card.dimensions, mirroring=settings.flips, orthogonal_planes=fitted.orthogonal_planes)
    budget = tile_budget(model.card, fitted, device, count)
    while True:
        planned, dtype = trusted_plan(model.card, model.network, fitted, budget, device)
        attempt = _Run(model, volume, settings, read, fitted, planned, device, dtype)
        try:
            yield from attempt.tiles(aggregator)
        except OutOfMemory as error:
            device, budget, note = _with_less(model, fitted, planned, device, error)
            notes.append(note)
            yield Progress(0, len(planned.tiles), STAGE, note)
        else:
            notes += note_of(dtype, device)
            return Computed(device_name(device), tuple(notes))


@dataclass(frozen=True)
class _Run:
    """One attempt: a volume through a network on a device, with tiles of a given size."""

    model: Model
    volume: VoxelSource
    settings: SegmentSettings
    read: Normaliser
    fitted: InputMapping
    planned: Plan
    device: torch.device
    dtype: torch.dtype

    def tiles(self, aggregator: LabelAggregator) -> Job[None]:
        """Predict every tile; yields before each."""
        boxes = [(tile, self._box(tile)) for tile in self.planned.tiles]
        # on a fine grid there are tiles in which no voxel's centre lies
        todo = [(tile, box) for tile, box in boxes if all(start < stop for start, stop in box)]
        blender = Blender(aggregator, [box for _, box in todo]) if self.planned.blend else None
        began, total = time.monotonic(), len(todo)
        with memory_guard(self.device):
            network = architecture_of(self.model.network).prepare(self.model.network, self.device, self.dtype)
        classify = Classifier(network, mirroring=self.settings.flips, orthogonal_planes=self.fitted.orthogonal_planes)
        for done, (tile, box) in enumerate(todo):
            left = (time.monotonic() - began) / done * (total - done) if done else None
            yield Progress(done, total, STAGE, seconds_left=left)
            with memory_guard(self.device), torch.inference_mode():
                parts = [g.result(span, seen) for g, span, seen in zip(self.fitted.grid, box, tile.seen, strict=True)]
                outputs = _taken(classify(self._seen(tile)), parts)
                if blender is None:
                    aggregator.write(box, outputs)
                else:
                    blender.add(box, outputs, self._weights(tile, parts))
            del outputs
            if self.device.type == "cpu":
                give_back()  # it is kept in pieces that do not fit the next tile: a third more a tile
        yield Progress(total, total, STAGE, seconds_left=0.0)

    def _box(self, tile: Tile) -> Box:
        """The voxels of the volume that a tile fills."""
        return triple(axis.filled(span) for axis, span in zip(self.fitted.grid, tile.fills, strict=True))

    def _seen(self, tile: Tile) -> torch.Tensor:
        """What the network sees (C, z, y, x): cut from the volume, normalised, resampled and mirrored."""
        parts = [axis.seen(span) for axis, span in zip(self.fitted.grid, tile.seen, strict=True)]
        values = self.read(self.volume.read(triple(part.span for part in parts)))
        whole = [AxisSampling((0, part.span[1] - part.span[0]), part.matrix) for part in parts]
        return _taken(torch.from_numpy(values).to(self.device), whole)

    def _weights(self, tile: Tile, parts: list[AxisSampling]) -> list[torch.Tensor]:
        whole = blend_weights(triple(stop - start for start, stop in tile.seen))
        return [
            along(torch.from_numpy(weights).to(self.device), 0, part)
            for weights, part in zip(whole, parts, strict=True)
        ]


def _taken(array: torch.Tensor, parts: list[AxisSampling]) -> torch.Tensor:
    """Cut and resample (C, z, y, x) along its last three axes."""
    for axis, part in enumerate(parts, start=1):
        array = along(array, axis, part)
    return array


def along(array: torch.Tensor, axis: int, part: AxisSampling) -> torch.Tensor:
    """Cut and resample any array along one of its axes."""
    array = array.narrow(axis, part.span[0], part.span[1] - part.span[0])
    if part.matrix is not None:
        matrix = torch.from_numpy(part.matrix).to(array.device)
        array = torch.tensordot(array, matrix, dims=([axis], [1])).movedim(-1, axis)
    return array


def _note_not_finite(volume: VoxelSource) -> list[str]:
    count = count_not_finite(volume)
    return [f"{count} voxels are not finite; they were taken as their channel's median."] if count else []


def _with_less(
    model: Model, fitted: InputMapping, planned: Plan, device: torch.device, error: OutOfMemory
) -> tuple[torch.device, Budget, str]:
    """Where to try next: tiles of half the size, then the CPU."""
    less = Budget(planned.largest // 2)
    if plan(model.card, fitted, less).largest < planned.largest:
        return device, less, f"Not enough memory on {device}: trying again with tiles of half the size."
    if device.type != "cpu":
        cpu = torch.device("cpu")
        return cpu, tile_budget(model.card, fitted, cpu), f"Not enough memory on {device}: going on with the CPU."
    raise ResourceError(
        f"Not enough memory even for the smallest tile, of {planned.largest} voxels. "
        "Close other programs or choose a smaller model."
    ) from error
