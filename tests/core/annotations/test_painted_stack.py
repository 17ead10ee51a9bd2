"""Stacks of painted slices: a stroke touches its own slices, and nothing is missed."""

import numpy as np

from napari_unetseg.core.annotations.painted_stack import PaintedStack, slices_with_paint

SHAPE = (40, 64, 48)


def test_a_stroke_copies_its_own_slice_and_shares_the_others():
    painted = np.zeros(SHAPE, np.uint8)
    painted[3, 5:9, 5:9], painted[20, 1, 1] = 1, 2
    before = PaintedStack.of(painted)
    assert (before.slices, before.highest, before.any()) == ((3, 20), 2, True)
    painted[30, 7, 7] = 2
    after = before.brought_up_to(painted)
    assert after.slices == (3, 20, 30)
    assert all(after.planes[z] is before.planes[z] for z in (3, 20))
    assert after.changed_since(before) == [30]
    assert before.changed_since(after) == [30]
    assert not np.asarray(before)[30].any()
    assert np.array_equal(np.asarray(after), painted)


def test_nothing_changed_gives_the_very_same_stack_and_an_erased_slice_is_gone():
    painted = np.zeros(SHAPE, np.uint8)
    painted[3, 5:9, 5:9] = 1
    before = PaintedStack.of(painted)
    assert before.brought_up_to(painted.copy()) is before
    painted[3] = 0
    after = before.brought_up_to(painted)
    assert (after.slices, after.any(), after.highest) == ((), False, 0)
    assert after.changed_since(before) == [3]
    assert PaintedStack.empty(SHAPE).brought_up_to(painted).dtype == np.uint8


def test_every_random_change_is_seen_whatever_the_dtype():
    generator, painted = np.random.default_rng(0), np.zeros(SHAPE, np.uint16)
    stack = PaintedStack.of(painted)
    for _ in range(100):
        z, y, x = (generator.integers(size) for size in SHAPE)
        painted[z : z + generator.integers(1, 4), y : y + 3, x] = generator.integers(0, 400)
        stack = stack.brought_up_to(painted)
        assert np.array_equal(np.asarray(stack), painted)
        assert list(stack.slices) == slices_with_paint(painted)
    narrow = stack.brought_up_to((painted % 250).astype(np.uint8))
    assert (narrow.dtype, narrow.highest) == (np.uint8, int((painted % 250).max()))


def test_parts_hold_what_the_array_holds():
    painted = np.zeros(SHAPE, np.uint8)
    painted[3, 5:9, 5:9], painted[5, 8, 8] = 1, 2
    box = ((2, 5), (6, 30), (0, 8))
    assert np.array_equal(PaintedStack.of(painted).part(box), painted[2:5, 6:30, 0:8])
    assert not PaintedStack.of(painted).plane(0).any()
