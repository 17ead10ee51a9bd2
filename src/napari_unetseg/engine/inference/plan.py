"""How a volume goes through a network: strategy, tiles, and what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from napari_unetseg.core.geometry.tiles import Needs, Step, Tile, fit_size, plan_tiles, triple
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.compatibility import Fit
from napari_unetseg.engine.devices import fast_dtype, free_memory
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings

TILE_FLOPS = {torch.float32: 3e10, torch.bfloat16: 1e11, torch.float16: 1e11}
"""Work in a tile on a CPU, per core: about a second, so that cancelling takes no longer."""
GPU_VOXELS = 2**24
MEMORY_SHARE = 0.4
"""The part of free memory that a tile may take."""
WHOLE_BYTES = 4e7
"""On a CPU a volume that takes no more than this goes in one tile."""
LEAST_BYTES, BYTES_PER_VOXEL, FIXED_BYTES = 7.7e6, 16, 1e7
"""Tiles of larger volumes take no more than the second for each voxel of the whole grid, less the third, which the
weights and the like take; and no less than the first."""


@dataclass(frozen=True)
class Plan:
    """Tiles on the network's grid.

    Parameters
    ----------
    tiles : tuple of Tile
    blend : bool
        Whether tiles are averaged where they overlap, or partition the volume.
    """

    tiles: tuple[Tile, ...]
    blend: bool

    @property
    def largest(self) -> int:
        """The most voxels that the network sees at once."""
        return max(_seen(tile) for tile in self.tiles)

    @property
    def seen_voxels(self) -> int:
        """What the network sees in all, in one pass."""
        return sum(_seen(tile) for tile in self.tiles)


def plan(card: ModelCard, fitted: Fit, voxels: int) -> Plan:
    """Plan tiles of at most `voxels` voxels, where the network allows tiles that small.

    Tiles with a halo cost least and are exact, but only where a voxel's result does not depend on the tile. Instance
    and group norm measure the whole tile: there tiles of the training patch overlap by half and are blended.
    """
    settings = UNetSettings.from_json(card.architecture)
    shape = triple(axis.network_length for axis in fitted.grid)
    if settings.norm in ("instance", "group"):
        size = _blended_size(card.patch, settings, fitted.vote, voxels)
        needs = _needs(settings, fitted, triple(length // 4 for length in size))
        return Plan(plan_tiles(shape, size, needs, blend=True), blend=True)
    needs = _needs(settings, fitted, card.halo)
    return Plan(plan_tiles(shape, fit_size(shape, needs, voxels), needs), blend=False)


def tile_voxels(card: ModelCard, fitted: Fit, device: torch.device, passes: int = 1) -> int:
    """How many voxels a tile may have on a device: by its memory, and by how long a tile may take."""
    dtype = fast_dtype(device)
    memory = MEMORY_SHARE * free_memory(device)
    if device.type != "cpu":
        return min(int(memory / bytes_per_voxel(card, dtype)), GPU_VOXELS)
    whole = math.prod(axis.network_length for axis in fitted.grid)
    if whole * bytes_per_voxel(card, dtype) > WHOLE_BYTES:
        memory = min(memory, max(LEAST_BYTES, BYTES_PER_VOXEL * whole - FIXED_BYTES))
    work = TILE_FLOPS[dtype] * torch.get_num_threads() / passes
    return int(min(memory / bytes_per_voxel(card, dtype), work / flops_per_voxel(card)))


def flops_per_voxel(card: ModelCard) -> float:
    """Floating-point operations of the network for one voxel, in one pass."""
    return _flops_per_voxel(UNetSettings.from_json(card.architecture))


def bytes_per_voxel(card: ModelCard, dtype: torch.dtype) -> float:
    """Bytes that a tile takes at its peak, per voxel: two images of the first width, and the input as float."""
    settings = UNetSettings.from_json(card.architecture)
    features = 2 * settings.widths[0] * dtype.itemsize
    outputs = (dtype.itemsize + 8) * settings.outputs
    return max(features, outputs) + (4 + dtype.itemsize) * settings.inputs


@lru_cache
def _flops_per_voxel(settings: UNetSettings) -> float:
    size = [4 * step for step in settings.stride]
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        UNet(replace(settings, padded=True))(torch.empty(1, settings.inputs, *size))
    return float(counter.get_total_flops()) / math.prod(size)


def _needs(settings: UNetSettings, fitted: Fit, halo: Step) -> Needs:
    """Stride, halo and mirrored margin along z, y, x."""
    stride = settings.stride
    if settings.dimensions == 2:  # z asks for nothing, unless slices are cut along it: then it is like y
        stride = (stride[0] if fitted.vote else 1, *stride)
        halo = (halo[1] if fitted.vote else 0, *halo[1:])
    halo = triple(h + axis.support for h, axis in zip(halo, fitted.grid, strict=True))
    return Needs(triple(stride), halo, (0, 0, 0) if settings.padded else halo)


def _blended_size(patch: Step, settings: UNetSettings, vote: bool, voxels: int) -> Step:
    """The training patch, halved along its longest axis until it has at most `voxels` voxels or is very small."""
    _, y, x = size = patch
    if settings.dimensions == 2:
        size = (y if vote else 1, y, x)
    while math.prod(size) > voxels and max(size) > 4 * max(settings.stride):
        longest = size.index(max(size))
        size = triple(length // 2 if axis == longest else length for axis, length in enumerate(size))
    return size


def _seen(tile: Tile) -> int:
    return math.prod(stop - start for start, stop in tile.seen)
