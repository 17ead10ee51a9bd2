"""The plan of a volume's way through a network: strategy, tiles, and what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from napari_unetseg.core.geometry.tiles import Budget, Needs, Step, Tile, fit_size, plan_tiles, triple
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.compatibility import InputMapping
from napari_unetseg.engine.devices import fast_dtype, free_memory
from napari_unetseg.engine.inference.augmented import ALONG_Z, DIRECTIONS
from napari_unetseg.engine.networks.architecture import Architecture
from napari_unetseg.engine.networks.network import Network, NetworkSettings
from napari_unetseg.engine.networks.precision import prediction_dtype
from napari_unetseg.engine.networks.registry import architecture_of

TILE_FLOPS = {torch.float32: 3e10, torch.bfloat16: 1e11, torch.float16: 1e11}
"""Work in a tile on a CPU, per core, that cancelling waits for with ease: about a second."""
GPU_VOXELS = 2**24
MEMORY_SHARE = 0.4
"""The part of free memory that a tile may take."""
LEAST_EASE, MOST_EASE = 4e6, 3.8e7
"""Values that a tile may hold at once before less is worth more work. Between the two, a tile that sees a quarter of
itself for its neighbours along each axis: split further, most of the work would be done twice."""


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

    Tiles with a halo cost least and are exact, but only where a voxel's result does not depend on the tile, as it does
    where instance or group norm measures it: there tiles no larger than the training patch overlap by half of it and
    are blended.
    """
    architecture = architecture_of(card)
    shape = triple(axis.network_length for axis in fitted.grid)
    halo, longest, blend = card.halo, None, architecture.depends_on_tile
    if blend:
        longest = _blended_size(card.patch, architecture, fitted.orthogonal_planes, budget.most)
        halo = triple(length // 4 for length in longest)
        budget = Budget(budget.most)  # a network is shown what it was trained on, if memory does
    needs = _needs(architecture, fitted, halo)
    best = fit_size(shape, needs, budget, longest)
    return Plan(plan_tiles(shape, best.size, needs, blend=blend), blend, best.price)


def trusted_plan(
    card: ModelCard, network: Network, fitted: InputMapping, budget: Budget, device: torch.device
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
        planned = plan(card, fitted, Budget(int(share * budget.most), budget.ease, share * budget.brisk))
    return planned, dtype


def _shapes(planned: Plan, settings: NetworkSettings, orthogonal_planes: bool) -> list[tuple[int, ...]]:
    """Shapes (1, C, [Z,] Y, X) that the network sees, in whatever direction."""
    seen = {tuple(stop - start for start, stop in tile.seen) for tile in planned.tiles}
    orders = DIRECTIONS if orthogonal_planes else (ALONG_Z,)
    turned = {tuple((settings.inputs, *size)[axis] for axis in order) for size in seen for order in orders}
    return sorted({(1, settings.inputs, *size[-settings.dimensions :]) for size in turned})


def tile_budget(card: ModelCard, fitted: InputMapping, device: torch.device, passes: int = 1) -> Budget:
    """How many voxels a tile may have on a device by its memory, and on a CPU how many are easy and soon done."""
    architecture, dtype = architecture_of(card), fast_dtype(device)
    per_voxel = architecture.bytes_per_voxel(dtype)
    most = int(MEMORY_SHARE * free_memory(device) / per_voxel)
    if device.type != "cpu":
        return Budget(min(most, GPU_VOXELS))
    needs = _needs(architecture, fitted, card.halo)
    useful = math.prod(8 * halo + stride for halo, stride in zip(needs.halo, needs.stride, strict=True))
    values = per_voxel / dtype.itemsize
    ease = min(max(LEAST_EASE / values, useful), MOST_EASE / values)
    brisk = TILE_FLOPS[dtype] * torch.get_num_threads() / (passes * architecture.flops_per_voxel)
    return Budget(most, ease, brisk)


def _needs(architecture: Architecture[Any], fitted: InputMapping, halo: Step) -> Needs:
    """Stride, halo and mirrored margin along z, y, x."""
    stride = architecture.stride
    if architecture.settings.dimensions == 2:  # z asks for nothing, unless slices are cut along it: then it is like y
        stride = (stride[0] if fitted.orthogonal_planes else 1, *stride)
        halo = (halo[1] if fitted.orthogonal_planes else 0, *halo[1:])
    halo = triple(h + axis.support for h, axis in zip(halo, fitted.grid, strict=True))
    return Needs(triple(stride), halo, (0, 0, 0) if architecture.is_padded else halo)


def _blended_size(patch: Step, architecture: Architecture[Any], orthogonal_planes: bool, voxels: int) -> Step:
    """The training patch, halved along its longest axis until it has at most `voxels` voxels or is very small."""
    _, y, x = size = patch
    if architecture.settings.dimensions == 2:
        size = (y if orthogonal_planes else 1, y, x)
    while math.prod(size) > voxels and max(size) > 4 * max(architecture.stride):
        longest = size.index(max(size))
        size = triple(length // 2 if axis == longest else length for axis, length in enumerate(size))
    return size
