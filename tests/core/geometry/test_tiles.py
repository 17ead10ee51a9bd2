"""Tiles fill every voxel once, pool as the whole does, and see what they need."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.geometry.tiles import Budget, Needs, blend_weights, fit_size, mirrored, plan_tiles

shapes = st.tuples(st.integers(1, 20), st.integers(1, 50), st.integers(1, 50))
strides = st.sampled_from([(1, 1, 1), (1, 4, 4), (4, 4, 4), (2, 8, 8)])
halos = st.tuples(st.integers(0, 9), st.integers(0, 13), st.integers(0, 13))
sizes = st.tuples(st.integers(4, 20), st.integers(8, 40), st.integers(8, 40))


def times_filled(shape, tiles):
    count = np.zeros(shape, dtype=int)
    for tile in tiles:
        count[tuple(slice(*span) for span in tile.fills)] += 1
    return count


@settings(deadline=None, max_examples=30)
@given(shapes, sizes, strides, halos)
def test_halo_tiles_fill_every_voxel_exactly_once(shape, size, stride, halo):
    assert (times_filled(shape, plan_tiles(shape, size, Needs(stride, halo))) == 1).all()


@settings(deadline=None, max_examples=30)
@given(shapes, sizes, strides, halos)
def test_blended_tiles_fill_every_voxel_and_come_in_order_of_z(shape, size, stride, halo):
    tiles = plan_tiles(shape, size, Needs(stride, halo), blend=True)
    assert (times_filled(shape, tiles) >= 1).all()
    assert [tile.fills[0][0] for tile in tiles] == sorted(tile.fills[0][0] for tile in tiles)


@settings(deadline=None, max_examples=30)
@given(shapes, sizes, strides, halos, st.booleans())
def test_tiles_lie_on_one_pooling_grid_and_see_their_halo(shape, size, stride, halo, mirror):
    margin = halo if mirror else (0, 0, 0)
    tiles = plan_tiles(shape, size, Needs(stride, halo, margin))
    for axis, (length, step) in enumerate(zip(shape, stride, strict=True)):
        begin = min(tile.seen[axis][0] for tile in tiles)
        end = max(tile.seen[axis][1] for tile in tiles)
        assert begin <= -margin[axis]
        assert end >= length + margin[axis]
        assert (end - begin) - (length + 2 * margin[axis]) < step, "no more is mirrored than pooling needs"
        for tile in tiles:
            seen, fills = tile.seen[axis], tile.fills[axis]
            assert (seen[0] - begin) % step == 0
            assert (seen[1] - begin) % step == 0
            assert seen[0] == begin or fills[0] - seen[0] >= halo[axis]
            assert seen[1] == end or seen[1] - fills[1] >= halo[axis]


def test_a_small_volume_is_one_tile_centred_as_the_network_pads_it():
    (tile,) = plan_tiles((5, 30, 33), (64, 64, 64), Needs((8, 8, 8), (16, 16, 16)))
    assert tile.fills == ((0, 5), (0, 30), (0, 33))
    assert tile.seen == ((-1, 7), (-1, 31), (-3, 37))


def test_tiles_are_no_longer_than_their_number_needs():
    tiles = plan_tiles((1, 1, 256), (1, 1, 200), Needs((1, 1, 8), (0, 0, 16)))
    assert [tile.seen[2] for tile in tiles] == [(0, 144), (112, 256)]
    assert [tile.fills[2] for tile in tiles] == [(0, 128), (128, 256)]


voxels = st.integers(1, 60_000)
budgets = st.builds(Budget, voxels, voxels, voxels)


@settings(deadline=None, max_examples=30)
@given(shapes, strides, halos, budgets)
def test_fitted_tiles_hold_to_the_limit_unless_the_halo_forbids_it(shape, stride, halo, budget):
    needs = Needs(stride, halo)
    smallest = fit_size(shape, needs, Budget(1)).size
    assert math.prod(fit_size(shape, needs, budget).size) <= max(budget.most, math.prod(smallest))


def test_fitted_tiles_make_the_network_see_the_least():
    voxels = 64 * 144 * 256
    fitted = fit_size((64, 256, 256), Needs((8, 8, 8), (16, 16, 16)), Budget(voxels))
    assert fitted.size == (64, 144, 256)
    assert fitted.price == 2 * voxels


def test_smaller_tiles_are_worth_a_little_more_work_and_much_more_is_not_done_for_them():
    roomy = Budget(10**9, 4 * 10**5)
    assert fit_size((64, 256, 256), Needs((8, 8, 8), (8, 8, 8)), roomy).size == (64, 96, 96)
    assert fit_size((64, 96, 96), Needs((8, 8, 8), (40, 40, 40)), roomy).size == (64, 96, 96)


def test_tiles_that_take_long_are_split_for_a_little_more_work():
    needs = Needs((8, 8, 8), (8, 8, 8))
    assert fit_size((1024, 1024, 1024), needs, Budget(10**10)).size == (1024, 1024, 1024)
    brisk = fit_size((1024, 1024, 1024), needs, Budget(10**10, brisk=2 * 10**6))
    assert math.prod(brisk.size) < 10**7
    assert brisk.price < 1.4 * 1024**3


def test_no_tile_is_longer_than_it_may_be():
    assert fit_size((5, 100, 100), Needs((1, 8, 8), (0, 16, 16)), Budget(10**9), (1, 64, 64)).size == (1, 56, 56)


@settings(deadline=None, max_examples=60)
@given(shapes, strides, halos, budgets, st.integers(0, 2), st.integers(1, 30))
def test_the_price_never_falls_when_a_volume_grows(shape, stride, halo, budget, axis, more):
    needs = Needs(stride, halo)
    larger = tuple(length + more * (i == axis) for i, length in enumerate(shape))
    assert fit_size(shape, needs, budget).price <= fit_size(larger, needs, budget).price


@settings(deadline=None, max_examples=30)
@given(shapes)
def test_blend_weights_are_above_zero_and_largest_in_the_middle(shape):
    for weights, length in zip(blend_weights(shape), shape, strict=True):
        assert weights.shape == (length,)
        assert weights.min() >= 1e-3
        assert weights.argmax() == (length - 1) // 2
        np.testing.assert_array_equal(weights, weights[::-1])


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(0, 40), st.integers(0, 40))
def test_mirrored_is_numpys_reflection(length, before, after):
    expected = np.pad(np.arange(length), (before, after), mode="reflect" if length > 1 else "edge")
    np.testing.assert_array_equal(mirrored(-before, length + after, length), expected)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 900)])
def test_extreme_shapes_are_planned(shape):
    tiles = plan_tiles(shape, (8, 64, 64), Needs((8, 8, 8), (16, 16, 16)))
    assert (times_filled(shape, tiles) == 1).all()
