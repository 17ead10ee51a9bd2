"""Tiles: the parts of a volume that a network sees one after the other, and the voxels that each of them fills.

Positions are in network voxels, along z, y, x. Boxes are half-open.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.grid import Box as Box
from napari_unetseg.core.grid import Span as Span

Item = TypeVar("Item")
Step = tuple[int, int, int]
MOST_FOR_SIZE = 2.0
"""At most so many times the voxels asked for are computed for the sake of smaller tiles."""
TILES_FOR_EASE = 24
"""A tile is as large as it likes where the work amounts to this many times what it has above its ease."""
WAIT = 0.1
"""The part of the voxels asked for that is computed again, to have tiles end sooner by what `Budget.brisk` takes."""


@dataclass(frozen=True)
class Tile:
    """One step of a tiled prediction.

    Parameters
    ----------
    fills : Box
        The voxels that the tile gives a result for, inside the volume.
    seen : Box
        The voxels that the network sees. They may lie outside the volume, where it is mirrored.
    """

    fills: Box
    seen: Box


@dataclass(frozen=True)
class Needs:
    """What a network asks of its tiles.

    Parameters
    ----------
    stride : (z, y, x)
        Product of its poolings. Tiles begin and end at multiples of it, so that every tile pools as the whole does.
    halo : (z, y, x)
        How much more than it fills a tile must see towards its neighbours.
    mirror : (z, y, x)
        How far beyond the border of the volume a tile sees. 0 for padded networks: their own padding stands there, as
        it would without tiles.
    """

    stride: Step
    halo: Step
    mirror: Step = (0, 0, 0)


def triple(items: Iterable[Item]) -> tuple[Item, Item, Item]:
    """Three items, for z, y and x."""
    z, y, x = items
    return z, y, x


def plan_tiles(shape: Step, size: Step, needs: Needs, *, blend: bool = False) -> tuple[Tile, ...]:
    """Tiles that together fill a volume, z slowest.

    Parameters
    ----------
    shape, size : (z, y, x)
        Of the volume, and the most that a tile may see. A size that is too small for the halo is grown.
    blend : bool
        False: the filled boxes partition the volume, and each is at least the halo away from what its tile does not
        see. With a halo of the network's receptive field the stitched result equals the untiled one. True: tiles
        overlap by at least twice the halo and fill all that they see, to be averaged (see `blend_weights`).
    """
    axes = [
        _plan_axis(length, _tile_length(length, most, needs, axis), needs, axis, blend)
        for axis, (length, most) in enumerate(zip(shape, size, strict=True))
    ]
    return tuple(
        Tile(fills=triple(axis.fills for axis in row), seen=triple(axis.seen for axis in row))
        for row in itertools.product(*axes)
    )


@dataclass(frozen=True)
class Budget:
    """How many voxels a tile may have.

    Parameters
    ----------
    most : int
        What memory allows. Only the least tile that the halo asks for may be larger.
    ease : float
        Up to this size memory is no matter; smaller tiles than a larger one may be worth more work.
    brisk : float
        Up to this size a tile is done soon; smaller tiles than a much larger one may be worth more work.
    """

    most: int
    ease: float = math.inf
    brisk: float = math.inf


@dataclass(frozen=True)
class Fitted:
    """A tile size and what it was chosen by.

    Parameters
    ----------
    size : (z, y, x)
    price : float
        Voxels that the network sees in all, or more where the tile is large for them. It never falls when a volume
        grows.
    """

    size: Step
    price: float


@lru_cache(maxsize=256)
def fit_size(shape: Step, needs: Needs, budget: Budget, longest: Step | None = None) -> Fitted:
    """The tile size that makes the network see the fewest voxels in all, but for what smaller tiles are worth.

    Every size is tried that an even split of the volume gives. The price of one is its work, or more where the tile is
    large: `TILES_FOR_EASE` times what it has above its ease, or `WAIT` of the volume for every further `brisk`; yet
    no more than `MOST_FOR_SIZE` times the volume for these reasons. Whatever serves a volume serves a part of it
    for the same price or less.

    Parameters
    ----------
    shape : (z, y, x)
        Of the volume.
    longest : (z, y, x) or None
        Lengths that no tile may exceed, but for the halo.
    """
    axes = [_options(length, needs, axis, longest and longest[axis]) for axis, length in enumerate(shape)]
    tiles = _products([lengths for lengths, _ in axes])
    work = _products([lengths * counts for lengths, counts in axes])
    asked = math.prod(_round_up(length, stride) for length, stride in zip(shape, needs.stride, strict=True))
    memory = TILES_FOR_EASE * (tiles - budget.ease)
    wait = asked * (1 + WAIT * (tiles / budget.brisk - 1))
    price = np.maximum(work, np.minimum(np.maximum(memory, wait), MOST_FOR_SIZE * asked))
    fitting = np.flatnonzero(tiles <= max(budget.most, tiles.min()))
    burden = work * np.maximum(tiles, budget.ease)
    best = fitting[np.lexsort([key.flat[fitting] for key in (-tiles, burden, price)])[0]]
    place = np.unravel_index(best, tiles.shape)
    size = triple(int(lengths[i]) for i, (lengths, _) in zip(place, axes, strict=True))
    return Fitted(size, float(price.flat[best]))


def blend_weights(shape: Step) -> list[npt.NDArray[np.float32]]:
    """Weights of a tile along z, y and x, whose product is a Gaussian around its middle.

    The standard deviation is an eighth of the tile (nnU-Net, DOI 10.1038/s41592-020-01008-z). No weight is below
    0.001, so that a sum of products is never zero.

    Returns
    -------
    list of three arrays
        float32, of the lengths in `shape`, at most 1.
    """
    weights = []
    for length in shape:
        away = (np.arange(length) - (length - 1) / 2) / (length / 8)
        weights.append(np.maximum(np.exp(-0.5 * away**2), 1e-3).astype(np.float32))
    return weights


def mirrored(start: int, stop: int, length: int) -> npt.NDArray[np.intp]:
    """Indices of `length` voxels for the positions `start` to `stop`, reflected at both borders as often as needed.

    The border voxel itself is not repeated (NumPy's ``reflect``), except where there is only one.
    """
    if length == 1:
        return np.zeros(stop - start, dtype=np.intp)
    period = 2 * (length - 1)
    index = np.arange(start, stop) % period
    return np.minimum(index, period - index)


@dataclass(frozen=True)
class _AxisTile:
    fills: Span
    seen: Span


def _plan_axis(length: int, tile: int, needs: Needs, axis: int, blend: bool) -> list[_AxisTile]:
    begin, total = _grown(length, needs, axis)
    starts = [begin + start for start in _starts(total, tile, needs, axis)]
    if blend:
        return [_AxisTile((max(s, 0), min(s + tile, length)), (s, s + tile)) for s in starts]
    cuts = [0, *((s + before + tile) // 2 for before, s in itertools.pairwise(starts)), length]
    return [_AxisTile(fills, (s, s + tile)) for fills, s in zip(itertools.pairwise(cuts), starts, strict=True)]


def _grown(length: int, needs: Needs, axis: int) -> tuple[int, int]:
    """Where the mirrored axis begins, and its length: a multiple of the stride, split as `UNet` does."""
    total = _round_up(length + 2 * needs.mirror[axis], needs.stride[axis])
    return -((total - length) // 2), total


def _starts(total: int, tile: int, needs: Needs, axis: int) -> list[int]:
    """Evenly spread multiples of the stride, with neighbours overlapping by at least twice the halo."""
    stride = needs.stride[axis]
    count = _count(total, tile, needs, axis)
    return [i * ((total - tile) // stride) // (count - 1) * stride for i in range(count)] if count > 1 else [0]


def _count(total: int, tile: int, needs: Needs, axis: int) -> int:
    if tile >= total:
        return 1
    step = (tile - 2 * needs.halo[axis]) // needs.stride[axis] * needs.stride[axis]
    return 1 + math.ceil((total - tile) / step)


def _tile_length(length: int, most: int, needs: Needs, axis: int) -> int:
    """The tile's length: at most `most` where the halo allows it, and no longer than its number of tiles needs."""
    total, stride = _grown(length, needs, axis)[1], needs.stride[axis]
    least = _round_up(2 * needs.halo[axis], stride) + stride
    tile = min(max(most // stride * stride, least), total)
    count = _count(total, tile, needs, axis)
    while tile - stride >= least and _count(total, tile - stride, needs, axis) == count:
        tile -= stride
    return tile


def _options(
    length: int, needs: Needs, axis: int, longest: int | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Tile lengths along an axis, ascending, and how many tiles each makes: the shortest of every number.

    Lengths are left out where a shorter one makes less work. Floats, as products of three lengths may be large.
    """
    total, stride = _grown(length, needs, axis)[1], needs.stride[axis]
    least = min(_round_up(2 * needs.halo[axis], stride) + stride, total)
    most = total if longest is None else min(max(longest // stride * stride, least), total)
    lengths: list[int] = []
    counts: list[int] = []
    for tile in range(least, most + 1, stride):
        count = _count(total, tile, needs, axis)
        if not counts or (count < counts[-1] and tile * count <= lengths[-1] * counts[-1]):
            lengths.append(tile)
            counts.append(count)
    return np.array(lengths, dtype=np.float64), np.array(counts, dtype=np.float64)


def _products(axes: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """All products of one number an axis, (z, y, x)."""
    z, y, x = np.ix_(*axes)
    products: npt.NDArray[np.float64] = z * y * x
    return products


def _round_up(length: int, stride: int) -> int:
    return -(-length // stride) * stride
