"""A slice that is cleaned in the part that it needs is the same as in the whole volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unetseg import api
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.postprocess.context import CleanupContext
from napari_unetseg.core.postprocess.preview_extent import for_one_slice, slices_for
from napari_unetseg.core.steps import Crf, Dilate, Erode, FillHoles, KeepLargest, Prior, Smooth
from napari_unetseg.core.volume import Labels, Volume

GRID = Grid((2.0, 0.5, 0.5), "µm")
SHAPE = (15, 20, 20)


@pytest.mark.parametrize(
    ("steps", "width"),
    [
        ([FillHoles(per_slice=True)], 1),
        ([Prior()], 1),
        ([Crf(per_slice=True)], 1),
        ([Smooth(radius=1, unit="µm")], 7),
        ([Dilate(distance=2, unit="µm")], 5),
        ([Erode(distance=0.5, unit="µm"), Smooth(radius=1), FillHoles(per_slice=True)], 13),
    ],
)
@pytest.mark.parametrize("z", [0, 7, 14])
def test_the_part_is_enough_and_no_more_than_it_takes(steps, width, z):
    rng = np.random.default_rng(0)
    labels = Labels((rng.random(SHAPE) > 0.4).astype(np.uint8), GRID)
    likely = rng.random((1, *SHAPE)).astype(np.float32)
    context = CleanupContext(Volume(rng.random((1, *SHAPE)), GRID), prior=Volume(likely, GRID))
    start, stop = slices_for(steps, GRID, z, SHAPE[0])
    assert stop - start == (width if z == 7 else (width + 1) // 2)
    part = api.clean(replace(labels, array=labels.array[start:stop]), steps, context.cropped(start, stop))
    np.testing.assert_array_equal(part.array[z - start], api.clean(labels, steps, context).array[z])


def test_connected_parts_need_the_whole_volume():
    assert slices_for([FillHoles(per_slice=True), KeepLargest()], GRID, 3, 9) is None
    assert slices_for([FillHoles()], GRID, 3, 9) is None
    assert slices_for([], GRID, 3, 9) == (3, 4)


def test_a_crf_is_previewed_on_the_slice_alone():
    steps = (Crf(window=2), FillHoles())
    assert for_one_slice(steps) == (Crf(window=2, per_slice=True), FillHoles())
