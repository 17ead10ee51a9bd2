from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage
from skimage.morphology import remove_small_objects

from napari_unetseg.core.postprocess.morphology import fill_holes, keep_largest, remove_small

MASKS = npst.arrays(bool, st.one_of(st.tuples(*[st.integers(1, 7)] * 2), st.tuples(*[st.integers(1, 5)] * 3)))


@given(MASKS)
@settings(max_examples=60, deadline=None)
def test_filled_holes_are_scipys(mask):
    np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))


@given(npst.arrays(bool, st.tuples(*[st.integers(1, 5)] * 3)))
@settings(max_examples=30, deadline=None)
def test_filled_slice_by_slice(mask):
    expected = np.stack([ndimage.binary_fill_holes(piece) for piece in mask])
    np.testing.assert_array_equal(fill_holes(mask, per_slice=True), expected)


@given(MASKS, st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_small_parts_are_scikit_images(mask, voxels):
    expected = remove_small_objects(mask, max_size=voxels - 1, connectivity=mask.ndim)
    np.testing.assert_array_equal(remove_small(mask, voxels), expected)


@given(MASKS, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_largest_parts_are_the_largest(mask, parts):
    everywhere = np.ones((3,) * mask.ndim)
    kept = keep_largest(mask, parts)
    sizes = sorted(np.bincount(ndimage.label(mask, everywhere)[0].ravel())[1:], reverse=True)
    assert sorted(np.bincount(ndimage.label(kept, everywhere)[0].ravel())[1:], reverse=True) == sizes[:parts]
    assert not (kept & ~mask).any()
