"""The plan of a volume's way through a network: strategy, tiles, and what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from napari_unetseg.core.geometry.tiles import Budget, Needs, Step, Tile, fit_size, plan_tiles, triple
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.compatibility import InputMapping
from napari_unetseg.engine.devices import fast_dtype, free_memory
from napari_unetseg.engine.inference.augmented import ALONG_Z, DIRECTIONS
from napari_unetseg.engine.networks.precision import prediction_dtype
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings

TILE_FLOPS = {torch.float32: 3e10, torch.bfloat16: 1e11, torch.float16: 1e11}
"""Work in a tile on a CPU, per core, that cancelling waits for with ease: about a second."""
GPU_VOXELS = 2**24
MEMORY_SHARE = 0.4
"""The part of free memory that a tile may take."""
LEAST_EASE, MOST_EASE = 2.5e7, 8e7
"""Bytes of a tile that are worth no more work. Between the two, a tile that sees halves of itself for its neighbours
along each axis: split further, most of the work would be done twice."""


@dataclass(frozen=True)
class Plan:
    """Tiles on the network's grid.

    Parameters
    ----------
    tiles : tuple of Tile
    blend : bool
        Whether tiles are averaged where they overlap, or partition the volume.
    price : float
        By which time is forecast, in voxels: what the network sees in one pass, or little more. It never falls when a
        volume grows (see `tiles.Fitted`).
    """

    tiles: tuple[Tile, ...]
    blend: bool
    price: float

    @property
    def largest(self) -> int:
        """The most voxels that the network sees at once."""
        return max(math.prod(stop - start for start, stop in tile.seen) for tile in self.tiles)


def plan(card: ModelCard, fitted: InputMapping, budget: Budget) -> Plan:
    """Plan tiles of the least work within a budget, where the network allows tiles that small.

    Tiles with a halo cost least and are exact, but only where a voxel's result does not depend on the tile. Instance
    and group norm measure the whole tile: there tiles no larger than the training patch overlap by half of it and are
    blended.
    """
    settings = UNetSettings.from_json(card.architecture)
    shape = triple(axis.network_length for axis in fitted.grid)
    blend = settings.norm in ("instance", "group")
    halo, longest = card.halo, None
    if blend:
        longest = _blended_size(card.patch, settings, fitted.orthogonal_planes, budget.most)
        halo = triple(length // 4 for length in longest)
        budget = Budget(budget.most)  # a network is shown what it was trained on, if memory does
    needs = _needs(settings, fitted, halo)
    best = fit_size(shape, needs, budget, longest)
    return Plan(plan_tiles(shape, best.size, needs, blend=blend), blend, best.price)


def trusted_plan(
    card: ModelCard, network: UNet, fitted: InputMapping, budget: Budget, device: torch.device
) -> tuple[Plan, torch.dtype]:
    """The plan, and the precision that is trusted with all of its tiles; `budget` is that of the fastest one."""
    fastest, planned = fast_dtype(device), plan(card, fitted, budget)
    dtypes = [
        prediction_dtype(network, shape, device)
        for shape in _shapes(planned, network.settings, fitted.orthogonal_planes)
    ]
    dtype = max(dtypes, key=lambda dtype: dtype.itemsize)
    if dtype != fastest:
        share = fastest.itemsize / dtype.itemsize
        planned = plan(card, fitted, Budget(int(share * budget.most), share * budget.ease, share * budget.brisk))
    return planned, dtype


def _shapes(planned: Plan, settings: UNetSettings, orthogonal_planes: bool) -> list[tuple[int, ...]]:
    """Shapes (1, C, [Z,] Y, X) that the network sees, in whatever direction."""
    seen = {tuple(stop - start for start, stop in tile.seen) for tile in planned.tiles}
    orders = DIRECTIONS if orthogonal_planes else (ALONG_Z,)
    turned = {tuple((settings.inputs, *size)[axis] for axis in order) for size in seen for order in orders}
    return sorted({(1, settings.inputs, *size[-settings.dimensions :]) for size in turned})


def tile_budget(card: ModelCard, fitted: InputMapping, device: torch.device, passes: int = 1) -> Budget:
    """How many voxels a tile may have on a device by its memory, and on a CPU how many are easy and soon done."""
    dtype = fast_dtype(device)
    per_voxel = bytes_per_voxel(card, dtype)
    most = int(MEMORY_SHARE * free_memory(device) / per_voxel)
    if device.type != "cpu":
        return Budget(min(most, GPU_VOXELS))
    needs = _needs(UNetSettings.from_json(card.architecture), fitted, card.halo)
    useful = math.prod(4 * halo + stride for halo, stride in zip(needs.halo, needs.stride, strict=True))
    ease = min(max(LEAST_EASE / per_voxel, useful), MOST_EASE / per_voxel)
    brisk = TILE_FLOPS[dtype] * torch.get_num_threads() / (passes * flops_per_voxel(card))
    return Budget(most, ease, brisk)


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


def _needs(settings: UNetSettings, fitted: InputMapping, halo: Step) -> Needs:
    """Stride, halo and mirrored margin along z, y, x."""
    stride = settings.stride
    if settings.dimensions == 2:  # z asks for nothing, unless slices are cut along it: then it is like y
        stride = (stride[0] if fitted.orthogonal_planes else 1, *stride)
        halo = (halo[1] if fitted.orthogonal_planes else 0, *halo[1:])
    halo = triple(h + axis.support for h, axis in zip(halo, fitted.grid, strict=True))
    return Needs(triple(stride), halo, (0, 0, 0) if settings.padded else halo)


def _blended_size(patch: Step, settings: UNetSettings, orthogonal_planes: bool, voxels: int) -> Step:
    """The training patch, halved along its longest axis until it has at most `voxels` voxels or is very small."""
    _, y, x = size = patch
    if settings.dimensions == 2:
        size = (y if orthogonal_planes else 1, y, x)
    while math.prod(size) > voxels and max(size) > 4 * max(settings.stride):
        longest = size.index(max(size))
        size = triple(length // 2 if axis == longest else length for axis, length in enumerate(size))
    return size
