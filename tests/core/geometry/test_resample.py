"""Resampling is exact in its coordinates, and the same tile by tile as in one go."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.geometry.resample import AxisGrid, axis_ratio

lengths = st.integers(1, 60)
ratios = st.one_of(st.just(1.0), st.floats(0.1, 9.0))


def applied(part, values):
    values = values[slice(*part.span)]
    return values if part.matrix is None else part.matrix @ values


@settings(deadline=None, max_examples=50)
@given(lengths, ratios, st.data())
def test_spans_that_partition_the_network_grid_partition_the_volume(length, ratio, data):
    axis = AxisGrid(length, ratio)
    cuts = data.draw(st.sets(st.integers(1, axis.network_length), max_size=4))
    edges = [0, *sorted(cuts - {axis.network_length}), axis.network_length]
    filled = [axis.filled(span) for span in itertools.pairwise(edges)]
    assert filled[0][0] == 0
    assert filled[-1][1] == length
    assert all(left[1] == right[0] for left, right in itertools.pairwise(filled))


@settings(deadline=None, max_examples=50)
@given(lengths, ratios)
def test_ones_stay_ones_there_and_back(length, ratio):
    axis = AxisGrid(length, ratio)
    whole = (0, axis.network_length)
    there = applied(axis.seen(whole), np.ones(length))
    np.testing.assert_allclose(there, 1, rtol=1e-6)
    np.testing.assert_allclose(applied(axis.result((0, length), whole), there), 1, rtol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.integers(8, 60), st.floats(1.2, 5.0), st.integers(1, 7))
def test_a_tile_is_resampled_as_the_whole_is(length, ratio, start):
    axis, values = AxisGrid(length, ratio), np.random.default_rng(0).normal(size=length)
    whole = applied(axis.seen((0, axis.network_length)), values)
    span = (start, min(start + 20, axis.network_length))
    np.testing.assert_allclose(applied(axis.seen(span), values), whole[slice(*span)], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ratio", [0.5, 2.0, 2.7])
def test_a_ramp_stays_a_ramp(ratio):
    """Network voxel n lies at (n + 0.5) / ratio - 0.5 of the volume."""
    axis = AxisGrid(40, ratio)
    there = applied(axis.seen((0, axis.network_length)), np.arange(40.0))
    expected = (np.arange(axis.network_length) + 0.5) / ratio - 0.5
    inside = (expected > 2) & (expected < 37)
    np.testing.assert_allclose(there[inside], expected[inside], atol=1e-4)


def test_halving_averages_so_that_a_fine_grating_does_not_alias():
    axis = AxisGrid(64, 0.5)
    grating = np.tile([0.0, 1.0], 32)
    there = applied(axis.seen((0, 32)), grating)
    np.testing.assert_allclose(there[1:-1], 0.5, atol=1e-6)


def test_seen_beyond_the_border_is_mirrored():
    values = np.array([0.0, 1, 2, 3])
    np.testing.assert_allclose(applied(AxisGrid(4).seen((-2, 6)), values), [2, 1, 0, 1, 2, 3, 2, 1])


def test_nothing_is_computed_where_nothing_is_resampled():
    axis = AxisGrid(30)
    assert axis.seen((3, 9)).matrix is None
    part = axis.result((5, 8), (3, 12))
    assert (part.span, part.matrix) == ((2, 5), None)


@pytest.mark.parametrize(("ratio", "used"), [(1.1, 1.0), (0.9, 1.0), (1.3, 1.3), (0.5, 0.5)])
def test_near_voxel_sizes_are_taken_as_they_are(ratio, used):
    assert axis_ratio(ratio) == used
