from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_unetseg.core.metrics.overlap import count_overlap

LARGE = st.sampled_from([0, 1, 2, 3, 5000, 2**40])


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_counts_are_those_of_comparing_voxels(data):
    predicted, reference = (data.draw(npst.arrays(np.uint64, (2, 3, 4), elements=LARGE)) for _ in range(2))
    known = data.draw(npst.arrays(bool, (2, 3, 4)))
    overlap = count_overlap(predicted, reference, known, labels=(3, 7))
    assert set(overlap.labels) == ({3, 7} | set(np.unique([predicted, reference]))) - {0}
    for index, label in enumerate(overlap.labels):
        p, r = (predicted == label) & known, (reference == label) & known
        np.testing.assert_array_equal(overlap.predicted[:, index], p.sum(axis=(1, 2)))
        np.testing.assert_array_equal(overlap.reference[:, index], r.sum(axis=(1, 2)))
        np.testing.assert_array_equal(overlap.both[:, index], (p & r).sum(axis=(1, 2)))
    p, r = (predicted > 0) & known, (reference > 0) & known
    assert overlap.foreground.tolist() == [p.sum(), r.sum(), (p & r).sum()]
    assert overlap.voxels == known.sum()


def test_dice_of_each_slice():
    predicted = np.array([[[1, 1, 0]], [[0, 0, 0]], [[0, 2, 2]]], np.uint8)
    reference = np.array([[[1, 0, 0]], [[0, 0, 0]], [[2, 2, 2]]], np.uint8)
    expected = [[2 / 3, np.nan], [np.nan, np.nan], [np.nan, 4 / 5]]
    np.testing.assert_allclose(count_overlap(predicted, reference).dice_per_slice(), expected)


def test_no_labels():
    nothing = np.zeros((2, 2, 2), np.uint8)
    assert count_overlap(nothing, nothing).labels.size == 0
