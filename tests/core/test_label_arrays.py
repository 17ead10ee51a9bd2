from __future__ import annotations

import numpy as np
import pytest

from napari_unetseg.core.label_arrays import bounding_boxes, grown_box, plain, present_labels, renumbering


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


def test_a_box_grows_up_to_the_ends():
    assert grown_box((slice(1, 3), slice(4, 6)), (2, 2), (9, 7)) == (slice(0, 5), slice(2, 7))
