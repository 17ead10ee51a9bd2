import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unetseg.core.annotations.sparse_labels import (
    IGNORE,
    Plane,
    chance,
    check_painted,
    class_count,
    hold_out,
    painted_planes,
    to_classes,
)
from napari_unetseg.errors import InputError


def dense(shape, *indices, axis=0):
    """Planes painted in full: background, and structure 2 in their middle third."""
    painted = np.zeros(shape, dtype=np.uint8)
    for index in indices:
        plane = np.moveaxis(painted, axis, 0)[index]
        plane[...] = 1
        plane[plane.shape[0] // 3 : 2 * plane.shape[0] // 3] = 2
    return painted


def test_painted_values_become_classes():
    assert to_classes(np.array([0, 1, 2, 7], dtype=np.uint8)).tolist() == [IGNORE, 0, 1, 6]


def test_class_count_is_background_and_the_structures_up_to_the_highest():
    assert class_count([np.array([0, 1]), np.array([4, 0])]) == 4
    assert class_count([]) == 0


def test_good_paint_passes():
    check_painted([dense((9, 12, 12), 4)], [(9, 12, 12)])


@pytest.mark.parametrize(
    ("painted", "message"),
    [
        (np.zeros((2, 3, 3), np.uint8), "Nothing is painted"),
        (np.ones((2, 3, 3), np.uint8), "Only background"),
        (np.full((2, 3, 3), 2, np.uint8), "Only structure 1 is painted, with 2. Paint some background"),
        (np.ones((1, 3, 3), np.uint8), r"the image's shape \(2, 3, 3\) \(z, y, x\); got \(1, 3, 3\)"),
        (np.full((2, 3, 3), -1), "0, 1, 2"),
        (np.full((2, 3, 3), 0.5), "float64"),
        (np.arange(200).repeat(2).reshape(2, 20, 10), "at most 64"),
    ],
)
def test_paint_that_cannot_be_learned_from_says_why(painted, message):
    shape = (2, 20, 10) if painted.size == 400 else (2, 3, 3)
    with pytest.raises(InputError, match=message):
        check_painted([painted], [shape])


def test_each_image_needs_its_paint():
    with pytest.raises(InputError, match="2 images and 1"):
        check_painted([np.ones((1, 2, 2), np.uint8)], [(1, 2, 2)] * 2)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_are_found_in_each_orientation(axis):
    painted = dense((9, 10, 11), 2, 7, axis=axis)
    size = painted.size // painted.shape[axis]
    assert sorted(painted_planes(painted), key=lambda p: p.index) == [Plane(axis, 2, size), Plane(axis, 7, size)]


def test_crossing_planes_count_their_common_voxels_once():
    painted = dense((8, 10, 10), 3) | dense((8, 10, 10), 5, axis=1)
    assert painted_planes(painted) == [Plane(0, 3, 100), Plane(1, 5, 70)]


def test_nothing_painted_has_no_planes():
    assert painted_planes(np.zeros((2, 3, 4), np.uint8)) == []


def test_whole_planes_are_held_out_evenly_where_there_are_enough():
    painted = dense((40, 12, 12), *range(2, 40, 4))
    learning, held = hold_out([painted])
    assert np.flatnonzero(held[0].any(axis=(1, 2))).tolist() == [10, 26]  # the 3rd and the 7th of ten
    assert (learning[0] + held[0] == painted).all()


def test_the_middle_of_three_planes_is_held_out():
    _, held = hold_out([dense((30, 12, 12), 5, 15, 25)])
    assert np.flatnonzero(held[0].any(axis=(1, 2))).tolist() == [15]


@pytest.mark.parametrize("there", [{5, 15}, {15, 25}, {5, 25}, {5, 15, 25}])
def test_the_plane_that_is_held_out_has_the_structure_where_another_has_it_too(there):
    painted = dense((30, 12, 12), 5, 15, 25)
    for index in {5, 15, 25} - there:
        painted[index] = 1
    (learning,), (held,) = hold_out([painted])
    (index,) = np.flatnonzero(held.any(axis=(1, 2)))
    assert index in there
    assert set(np.flatnonzero((learning == 2).any(axis=(1, 2)))) == there - {index}


def test_of_a_structure_on_one_plane_alone_some_blocks_are_held_out():
    painted = dense((30, 24, 24), 5, 15, 25, 28)
    painted[25, 2:14, 3:15] = 3
    (learning,), (held,) = hold_out([painted])
    assert 0.1 < (held == 3).sum() / (painted == 3).sum() < 0.4
    assert (learning == 3).any()
    assert held[15].all()  # the others are divided by whole planes, as ever


def test_few_strokes_and_few_slices_leave_more_to_chance():
    assert chance([dense((30, 160, 240), 5)]) == 0.05
    assert chance([dense((30, 320, 320), 5, 9), dense((30, 320, 320), 1, 20)]) == 0.025
    stroke = np.zeros((3, 24, 40), np.uint8)
    stroke[1, 2:4, :32] = 1
    assert chance([stroke]) == 0.5  # four tiles
    stroke[2] = stroke[1]
    assert chance([stroke] * 2) == 0.25
    assert chance([np.zeros_like(stroke)]) == 1


def test_planes_over_several_images_count_together():
    painted = [dense((1, 12, 12), 0) for _ in range(4)]
    _, held = hold_out(painted)
    assert [bool(h.any()) for h in held] == [False, False, True, False]


def test_a_stray_voxel_is_no_plane_of_its_own():
    painted = dense((30, 12, 12), 5, 25)
    painted[14, 0, 0] = 1
    _, held = hold_out([painted])
    assert held[0][5].any()  # blocks, so both planes give some
    assert held[0][25].any()


def test_blocks_are_held_out_of_few_planes():
    painted = dense((9, 24, 24), 4)
    _, (held,) = hold_out([painted])
    assert 0.15 < (held > 0).sum() / (painted > 0).sum() < 0.35
    assert set(np.unique(held)) == {0, 1, 2}


def test_a_class_painted_in_one_plane_only_is_not_held_out():
    painted = dense((30, 12, 12), 5, 15, 25)
    painted[15, 0, 0] = 3
    (learning,), (held,) = hold_out([painted])
    assert (learning == 3).sum() == 1
    assert not (held == 3).any()


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 7)] * 3), elements=st.integers(0, 3)))
def test_a_split_loses_nothing_and_leaves_every_class_to_learn(painted):
    (learning,), (held,) = hold_out([painted])
    assert (learning + held == painted).all()
    assert not (learning.astype(bool) & held.astype(bool)).any()
    assert set(np.unique(painted)) <= set(np.unique(learning)) | {0}
    again = hold_out([painted.copy()])
    assert (again[1][0] == held).all()
