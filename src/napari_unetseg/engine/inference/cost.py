"""Estimate of what a prediction will cost, before it starts."""

from __future__ import annotations

import math
import time
from functools import lru_cache
from typing import Any

import torch

from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.compatibility import InputMapping, map_input
from napari_unetseg.core.progress import CostEstimate
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.devices import choose_device, device_name
from napari_unetseg.engine.inference.augmented import Classifier, passes
from napari_unetseg.engine.inference.plan import Plan, tile_budget, trusted_plan
from napari_unetseg.engine.inference.predict_slices import WINDOW, check_scale, seconds_per_pixel
from napari_unetseg.engine.networks.architecture import Architecture
from napari_unetseg.engine.networks.registry import architecture_of

SAMPLE_VOXELS, SAMPLE_PASSES, SAMPLE_SECONDS = 2**17, 6, 0.4
"""How large a tile the speed is measured on, in how many passes at most, and when none is begun any more."""


def estimate_cost(card: ModelCard, volume: Volume, settings: SegmentSettings) -> CostEstimate:
    """Forecast a prediction; takes a fraction of a second.

    Raises
    ------
    ModelError, SettingsError, ResourceError
        As `predict.iter_predict` does.
    """
    device = choose_device(settings.device)
    fitted = map_input(card, volume, settings)
    architecture = architecture_of(card)
    if architecture.predicts == "slices":
        return _forecast_slices(card, volume, settings, fitted, device)
    count = passes(card.dimensions, mirroring=settings.flips, orthogonal_planes=fitted.orthogonal_planes)
    budget = tile_budget(card, fitted, device, count)
    planned, dtype = trusted_plan(card, architecture.build(), fitted, budget, device)
    tile_bytes = planned.largest * architecture.bytes_per_voxel(dtype) + _slab_bytes(card, fitted, planned)
    return CostEstimate(
        seconds=count * planned.price * _seconds_per_voxel(architecture, device, dtype),
        peak_bytes=int(tile_bytes + _result_bytes(card, fitted, settings)),
        tiles=len(planned.tiles),
        device=device_name(device),
    )


def _forecast_slices(
    card: ModelCard, volume: Volume, settings: SegmentSettings, fitted: InputMapping, device: torch.device
) -> CostEstimate:
    """As `estimate_cost`, of a model that goes slice by slice."""
    check_scale(card.name, settings)
    architecture = architecture_of(card)
    passes_of_mirroring = 4 if settings.flips else 1
    pixels = math.prod(volume.shape[1:])
    seconds = passes_of_mirroring * volume.shape[0] * pixels * seconds_per_pixel(architecture, device)
    peak = min(pixels, WINDOW**2) * architecture.bytes_per_voxel(torch.float32)
    return CostEstimate(
        seconds, int(peak + _result_bytes(card, fitted, settings)), volume.shape[0], device_name(device)
    )


def _slab_bytes(card: ModelCard, fitted: InputMapping, planned: Plan) -> int:
    """The slab in which tiles are blended, twice while it rolls on: every output and the weight as floats."""
    if not planned.blend:
        return 0
    thickness = max(stop - start for (start, stop), _, _ in (tile.fills for tile in planned.tiles))
    _, y, x = (axis.length for axis in fitted.grid)
    outputs = 1 + sum(len(structure.channels) for structure in card.structures)
    return 2 * 4 * (outputs + 1) * thickness * y * x


def _result_bytes(card: ModelCard, fitted: InputMapping, settings: SegmentSettings) -> int:
    """Labels, seeds and, where they are wanted, probabilities."""
    per_voxel = 1 + card.finds_objects
    if settings.write == "probabilities":
        per_voxel += 2 * (len(card.structures) + 1)
    return per_voxel * math.prod(axis.length for axis in fitted.grid)


@lru_cache
def _seconds_per_voxel(architecture: Architecture[Any], device: torch.device, dtype: torch.dtype) -> float:
    """Time a network of that architecture on one small tile: the best of a few passes, the first only warms up."""
    settings = architecture.settings
    side = SAMPLE_VOXELS ** (1 / settings.dimensions)
    size = [max(1, round(side / step)) * step for step in architecture.stride]
    classify = Classifier(architecture.prepare(architecture.build(), device, dtype))
    tile = torch.zeros(settings.inputs, *[1] * (3 - settings.dimensions), *size, device=device)
    seconds: list[float] = []
    with torch.inference_mode():
        while len(seconds) < 2 or (len(seconds) < SAMPLE_PASSES and sum(seconds) < SAMPLE_SECONDS):
            began = time.perf_counter()
            classify(tile).sum().item()  # .item() waits for the device
            seconds.append(time.perf_counter() - began)
    return min(seconds) / float(math.prod(size))
