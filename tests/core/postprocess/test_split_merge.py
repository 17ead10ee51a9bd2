from __future__ import annotations

import numpy as np
import pytest

from napari_unetseg.core.postprocess.split_merge import merge_tiles, separate
from napari_unetseg.errors import SettingsError


def two_balls(shape=(24, 24, 44), centres=((12, 12, 13), (12, 12, 29)), radius=9.0, spacing=(1.0, 1.0, 1.0)):
    grid = np.indices(shape)
    return [
        sum(((g - c) * s) ** 2 for g, c, s in zip(grid, centre, spacing, strict=True)) < radius**2 for centre in centres
    ]


def test_touching_balls_are_cut_at_the_neck():
    one, other = two_balls()
    found = separate(one | other, 1.0, (1, 1, 1), "distance", None)
    assert np.unique(found).tolist() == [0, 1, 2]
    assert (found[12, 12, 13], found[12, 12, 29]) in ((1, 2), (2, 1))
    assert np.unique(found[..., :20]).size == np.unique(found[..., 23:]).size == 2
    np.testing.assert_array_equal(found > 0, one | other)


def test_the_depth_of_the_neck_decides():
    mask = np.logical_or(*two_balls())
    assert separate(mask, 6.0, (1, 1, 1), "distance", None).max() == 1  # the neck has a radius of √(81 - 64), 4.9 less
    assert separate(mask, 40.0, (1, 1, 1), "distance", None).max() == 1
    assert separate(mask, 4.0, (1, 1, 1), "distance", None).max() == 2


def test_depth_is_physical():
    mask = np.logical_or(*two_balls((24, 24, 22), ((12, 12, 6), (12, 12, 14)), spacing=(1, 1, 2)))
    assert separate(mask, 1.0, (1, 1, 2), "distance", None).max() == 2
    assert separate(mask, 10.0, (10, 10, 20), "distance", None).max() == 2
    assert separate(mask, 100.0, (10, 10, 20), "distance", None).max() == 1


def test_small_parts_without_a_core_stay_one_object():
    mask = np.logical_or(*two_balls())
    mask[0, 0, 0] = mask[0, 0, 1] = True
    found = separate(mask, 1.0, (1, 1, 1), "distance", None)
    assert found.max() == 3
    assert found[0, 0, 0] == found[0, 0, 1] != 0


def test_images_move_the_cut():
    mask = np.logical_or(*two_balls())[12]
    image = np.zeros(mask.shape)
    image[:, 17] = 1  # a bright membrane left of the neck at 21
    by_distance = separate(mask, 1.0, (1, 1), "distance", None)
    by_image = separate(mask, 1.0, (1, 1), "bright", image)
    step = np.where(np.arange(44) < 17, 0, 1) * np.ones((24, 1))
    by_edge = separate(mask, 1.0, (1, 1), "edges", step)
    for found, place in ((by_distance, 21), (by_image, 17), (by_edge, 16.5)):
        changes = np.flatnonzero(np.diff(found[12, 6:36].astype(int))) + 6
        assert len(changes) == 1
        assert abs(changes[0] + 0.5 - place) <= 1


def test_an_image_is_needed_to_cut_along_it():
    with pytest.raises(SettingsError, match="needs the image"):
        separate(np.ones((3, 3), bool), 1.0, (1, 1), "edges", None)


def test_an_object_in_two_tiles_becomes_one():
    array = np.zeros((4, 6, 8), np.uint32)
    array[1:3, 1:4, 1:4], array[1:3, 1:4, 4:7] = 5, 9  # one box, cut at x = 4
    array[0, 5, 3], array[0, 5, 4] = 7, 8
    array[3, 4:, 4] = 8
    merged = merge_tiles(array, (4, 6, 4), 0.5)
    assert merged[1, 1, 1] == merged[1, 1, 6] == 5
    assert merged[0, 5, 3] == merged[3, 5, 4] == 7


def test_little_contact_does_not_merge():
    array = np.zeros((1, 10, 4), np.uint16)[0]
    array[0:6, 1], array[5:10, 2] = 1, 2  # they meet on one of five pixels
    np.testing.assert_array_equal(merge_tiles(array, (10, 2), 0.5), array)
    assert merge_tiles(array, (10, 2), 0.2).max() == 1


def test_contact_elsewhere_does_not_merge():
    array = np.array([[1, 1, 2, 2]], np.uint8)
    np.testing.assert_array_equal(merge_tiles(array, (1, 3), 0.5), array)
    np.testing.assert_array_equal(merge_tiles(array, (5, 9), 0.5), array)


def test_a_chain_of_tiles_becomes_one_object():
    numbers = np.repeat(np.arange(1, 9, dtype=np.uint16) * 5000, 3)[None, None]
    assert np.unique(merge_tiles(numbers, (1, 1, 3), 1.0)).tolist() == [5000]
