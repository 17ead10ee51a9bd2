"""Plans compute little more than is asked for, whatever the volume, the model, the scale and the memory."""

import itertools
import math
from functools import lru_cache

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_unetseg.core.geometry.resample import AxisGrid
from napari_unetseg.core.geometry.tiles import Budget
from napari_unetseg.core.models.catalogue import BUNDLED
from napari_unetseg.core.models.compatibility import InputMapping
from napari_unetseg.engine.inference import plan
from napari_unetseg.engine.networks.model_file import load_model
from napari_unetseg.engine.networks.unets.unet import UNetSettings

BOUND = 2.5
CPU = torch.device("cpu")
PRECISIONS = (torch.float32, torch.bfloat16)
NAMES = sorted(path.stem for path in BUNDLED.glob("*.safetensors"))


@lru_cache
def card_of(name, norm):
    card = load_model(name).card
    return card.model_copy(update={"architecture": {**card.architecture, "norm": norm}})


cards = st.builds(card_of, st.sampled_from(NAMES), st.sampled_from(["batch", "instance"]))
lengths = st.integers(1, 300)
shapes = st.one_of(
    st.tuples(lengths, lengths, lengths),
    lengths.map(lambda side: (side, side, side)),
    st.tuples(st.integers(1, 40), st.integers(1, 3000), st.integers(1, 3000)),
)
ratios = st.sampled_from([1.0, 1.0, 0.4, 0.7, 1.3, 2.5])
memories = st.floats(17, 38).map(lambda power: 2**power)


@st.composite
def fits(draw, card):
    """A volume on the grid of a model."""
    zoom, vote = draw(ratios), card.dimensions == 2 and draw(st.booleans())
    along_z = zoom if card.dimensions == 3 or vote else 1.0
    z, y, x = draw(shapes)
    return InputMapping((AxisGrid(z, along_z), AxisGrid(y, zoom), AxisGrid(x, zoom)), None, vote, ())


@st.composite
def cases(draw):
    """A model, a volume that is not too large to try every split of, bytes of free memory, a precision, passes."""
    card = draw(cards)
    fitted = draw(fits(card))
    assume(asked_for(card, fitted) < 2**27)
    return card, fitted, draw(memories), draw(st.sampled_from(PRECISIONS)), draw(st.sampled_from([1, 4, 24]))


def strides(card, fitted):
    steps = UNetSettings.from_json(card.architecture).stride
    return steps if card.dimensions == 3 else (steps[0] if fitted.orthogonal_planes else 1, *steps)


def asked_for(card, fitted):
    """Voxels of the network's grid, rounded up to the stride."""
    return math.prod(-(-a.network_length // s) * s for a, s in zip(fitted.grid, strides(card, fitted), strict=True))


def best_split(card, fitted, voxels):
    """The least work of all tilings whose neighbours overlap as they must, of tiles of that many voxels."""
    blend = card.architecture["norm"] == "instance"
    halo, longest = card.halo, (10**6,) * 3
    if card.dimensions == 2 and fitted.orthogonal_planes:
        halo = (halo[1], *halo[1:])
    if blend:
        longest = (
            card.patch if card.dimensions == 3 else (card.patch[1] if fitted.orthogonal_planes else 1, *card.patch[1:])
        )
        while math.prod(longest) > voxels and max(longest) > 4 * max(strides(card, fitted)):
            halved = longest.index(max(longest))
            longest = tuple(length // 2 if i == halved else length for i, length in enumerate(longest))
        halo = tuple(length // 4 for length in longest)
    options = [
        axis_splits(-(-axis.network_length // step) * step, step, reach + axis.support, most)
        for axis, step, reach, most in zip(fitted.grid, strides(card, fitted), halo, longest, strict=True)
    ]
    least = math.prod(min(tile for tile, _ in axis) for axis in options)
    best = math.inf
    for tiles in itertools.product(*options):
        if math.prod(tile for tile, _ in tiles) <= max(voxels, least):
            best = min(best, math.prod(seen for _, seen in tiles))
    return best


def axis_splits(total, step, halo, longest):
    """(tile, voxels seen) of every split of an axis: tiles laid one by one until they reach its end."""
    least = -(-2 * halo // step) * step + step
    splits = {}
    for tile in range(min(least, total), max(min(total, longest), min(least, total)) + 1, step):
        count, reached = 1, tile
        while reached < total:
            reached += (tile - 2 * halo) // step * step
            count += 1
        splits.setdefault(count, (tile, count * tile))
    return list(splits.values())


def work(planned):
    return sum(math.prod(stop - start for start, stop in tile.seen) for tile in planned.tiles)


def planned_with(card, fitted, memory, dtype, monkeypatch, passes=1):
    monkeypatch.setattr(plan, "free_memory", lambda _device: memory)
    monkeypatch.setattr(plan, "fast_dtype", lambda _device: dtype)
    budget = plan.tile_budget(card, fitted, CPU, passes)
    return budget, plan.plan(card, fitted, budget)


@settings(deadline=None, max_examples=40)
@given(cases())
def test_the_network_sees_less_than_the_bound_or_as_little_as_the_best_split(case):
    card, fitted, memory, dtype, passes = case
    with pytest.MonkeyPatch.context() as monkeypatch:
        budget, planned = planned_with(card, fitted, memory, dtype, monkeypatch, passes)
    seen = work(planned)
    assert seen < BOUND * asked_for(card, fitted) or seen == best_split(card, fitted, budget.most)
    assert seen <= planned.price <= max(seen, 2 * asked_for(card, fitted))


@settings(deadline=None, max_examples=40)
@given(cases(), st.integers(0, 2), st.integers(1, 120))
def test_the_price_never_falls_when_a_volume_grows(case, axis, more):
    card, fitted, memory, dtype, passes = case
    grid = [AxisGrid(a.length + more * (i == axis), a.ratio) for i, a in enumerate(fitted.grid)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        _, planned = planned_with(card, fitted, memory, dtype, monkeypatch, passes)
        _, larger = planned_with(
            card, InputMapping(tuple(grid), None, fitted.orthogonal_planes, ()), memory, dtype, monkeypatch, passes
        )
    assert planned.price <= larger.price


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("3d")])
@pytest.mark.parametrize("shape", [(64, 96, 96), (100, 100, 100), (100, 200, 200), (64, 256, 256), (256, 256, 256)])
def test_ordinary_volumes_are_not_cut_to_pieces(name, shape, monkeypatch):
    card, fitted = card_of(name, "batch"), InputMapping(tuple(AxisGrid(length) for length in shape), None, False, ())
    for dtype in PRECISIONS:
        _, planned = planned_with(card, fitted, 8e9, dtype, monkeypatch)
        assert work(planned) <= 2 * asked_for(card, fitted)
        assert planned.price < 1.5 * work(planned)


def test_less_memory_gives_smaller_tiles_and_never_more_than_there_is():
    card, fitted = card_of("nuclei-3d", "batch"), InputMapping(tuple(AxisGrid(256) for _ in range(3)), None, False, ())
    largest = [plan.plan(card, fitted, Budget(most)).largest for most in (10**8, 10**7, 10**6, 10**5)]
    assert largest[0] == 256**3
    assert largest == sorted(largest, reverse=True)
    assert all(seen <= most for seen, most in zip(largest[1:3], (10**7, 10**6), strict=True))
    assert largest[3] == 56**3, "the least tile that the halo allows"
