from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from napari_unetseg.core.geometry.label_arrays import (
    bounding_boxes,
    connected_parts,
    grown_box,
    plain,
    present_labels,
    regions,
    renumbering,
)


@pytest.mark.parametrize("factor", [1, 100_000], ids=["small labels", "large labels"])
def test_boxes_hold_exactly_their_label(factor):
    array = np.zeros((4, 5, 6), np.uint32)
    array[1:3, 2, 3:5] = 2 * factor
    array[0, 0, 0] = 3 * factor
    first, second, third, fourth = bounding_boxes(array, np.array([1, 2, 3, 9], np.uint64) * factor)
    assert first is fourth is None
    assert second == (slice(1, 3), slice(2, 3), slice(3, 5))
    assert third == (slice(0, 1),) * 3


def test_no_labels_no_boxes():
    nothing = np.zeros((2, 2, 2), np.uint8)
    assert bounding_boxes(nothing, present_labels(nothing)) == []


@pytest.mark.parametrize("dtype", ["?", ">u2", "<i8", "u4"])
def test_labels_of_any_integer_type(dtype):
    array = np.array([1, 0, 1], dtype)
    assert plain(array).dtype.isnative
    assert present_labels(array).tolist() == [1]


@pytest.mark.parametrize("factor", [1, 100_000])
def test_renumbering_keeps_the_order_and_zero(factor):
    array = np.array([[7, 0, 3, 7]], np.uint32) * factor
    assert renumbering(present_labels(array))(array).tolist() == [[2, 0, 1, 2]]


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "u8"])
def test_renumbering_takes_arrays_that_cannot_hold_the_labels(dtype):
    labels = np.array([1, *range(5000, 5400)], np.uint64)
    assert renumbering(labels)(np.array([0, 1], dtype)).tolist() == [0, 1]
    assert renumbering(np.array([1, 2**40], np.uint64))(np.array([0, 1], dtype)).tolist() == [0, 1]


def test_a_box_grows_up_to_the_ends():
    assert grown_box((slice(1, 3), slice(4, 6)), (2, 2), (9, 7)) == (slice(0, 5), slice(2, 7))


@given(
    npst.arrays(bool, st.one_of(st.tuples(*[st.integers(1, 12)] * 2), st.tuples(*[st.integers(1, 5)] * 3))),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_parts_are_scipys(mask, faces):
    expected, count = ndimage.label(mask, None if faces else np.ones((3,) * mask.ndim))
    found, found_count = connected_parts(mask, faces)
    assert found_count == count
    pairs = np.unique(np.stack([expected.ravel(), found.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(expected))  # one number of theirs for each of ours


def test_parts_of_labels_do_not_mix():
    assert connected_parts(np.array([[1, 2, 2, 0, 1]], np.uint16))[1] == 3


def test_regions_are_labels_with_their_boxes():
    array = np.array([[0, 9, 9], [4, 0, 9]], np.uint8)
    assert regions(array) == [(4, (slice(1, 2), slice(0, 1))), (9, (slice(0, 2), slice(1, 3)))]
