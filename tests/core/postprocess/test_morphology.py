from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from napari_unetseg.core.geometry.label_arrays import regions
from napari_unetseg.core.postprocess.morphology import dilate, erode, smooth

LABELS = npst.arrays(np.uint8, st.tuples(*[st.integers(2, 6)] * 3), elements=st.integers(0, 2))
SPACING = (2.0, 1.0, 0.5)


@given(LABELS, st.sampled_from([0.5, 1.0, 1.7, 2.0]))
@settings(max_examples=40, deadline=None)
def test_dilation_is_by_the_distance_to_the_nearest(array, distance):
    away = np.stack(
        [
            ndimage.distance_transform_edt(array != label, sampling=SPACING) if (array == label).any() else array + 1e9
            for label in (1, 2)
        ]
    )
    near = (away.min(axis=0) <= distance + 1e-6) & (array == 0)
    grown = dilate(array, regions(array), distance, SPACING)
    np.testing.assert_array_equal(grown > 0, near | (array > 0))
    np.testing.assert_array_equal(grown[array > 0], array[array > 0])
    clear = near & (abs(away[0] - away[1]) > 1e-4)
    np.testing.assert_array_equal(grown[clear], away.argmin(axis=0)[clear] + 1)


@given(LABELS, st.sampled_from([0.5, 1.0, 1.7, 2.0]))
@settings(max_examples=40, deadline=None)
def test_erosion_is_by_the_distance_to_the_outside(array, distance):
    expected = np.zeros_like(array)
    for label in (1, 2):
        mask = array == label
        if mask.all():
            expected[mask] = label
        elif mask.any():
            expected[ndimage.distance_transform_edt(mask, sampling=SPACING) > distance + 1e-6] = label
    np.testing.assert_array_equal(erode(array, regions(array), distance, SPACING), expected)


def test_dilation_then_erosion_keeps_a_ball():
    z, y, x = np.indices((24, 24, 24)) - 11.5
    ball = (z**2 + y**2 + x**2 < 49).astype(np.uint8)
    back = erode(*(lambda grown: (grown, regions(grown)))(dilate(ball, regions(ball), 3, (1, 1, 1))), 3, (1, 1, 1))
    assert (back >= ball).all()  # a closing
    assert back.sum() < 1.05 * ball.sum()


def test_smoothing_is_by_the_largest_gaussian():
    rng = np.random.default_rng(0)
    array = rng.integers(0, 4, (12, 14, 16)).astype(np.uint8)
    array[3:9, 3:11, 2:8] = 2
    fields = [
        ndimage.gaussian_filter((array == label).astype(np.float32), [0.5, 1, 2], mode="nearest", truncate=3)
        for label in range(4)
    ]
    found = smooth(array, regions(array), 1.0, SPACING)
    gap = np.diff(np.sort(fields, axis=0)[-2:], axis=0)[0]
    np.testing.assert_array_equal(found[gap > 1e-5], np.argmax(fields, axis=0)[gap > 1e-5])


def test_smoothing_one_structure_leaves_others_alone():
    array = np.zeros((1, 20, 20), np.uint8)[0]
    array[5:15, 5:10] = 1
    array[5:15, 10:15] = 2
    array[9, 2] = 1
    found = smooth(array, [r for r in regions(array) if r[0] == 1], 1.5, (1, 1))
    assert (found[array == 2] == 2).all()
    assert found[9, 2] == 0
    assert found[9, 7] == 1
    assert found[5, 5] == 0  # a corner is rounded


@pytest.mark.parametrize("change", [dilate, erode, smooth])
def test_nothing_stays_nothing(change):
    nothing = np.zeros((3, 4, 5), np.uint8)
    assert not change(nothing, [], 1.0, (1, 1, 1)).any()
