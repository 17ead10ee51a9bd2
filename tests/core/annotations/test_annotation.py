"""Annotations: strokes travel as differences, and both sides hold the same paint."""

import numpy as np
import pytest

from napari_unetseg.core.annotations.annotation import AnnotatedImage, Annotation, SentImage, changed_box
from napari_unetseg.core.annotations.painted_stack import PaintedStack
from napari_unetseg.errors import InputError

SHAPE = (3, 8, 9)


def test_the_changed_box_holds_all_that_differs_and_no_more():
    before = np.zeros(SHAPE, np.uint8)
    after = before.copy()
    assert changed_box(PaintedStack.of(before), PaintedStack.of(after)) is None
    after[1, 2, 7], after[2, 5, 3] = 2, 1
    assert changed_box(PaintedStack.of(before), PaintedStack.of(after)) == ((1, 3), (2, 6), (3, 8))
    assert changed_box(PaintedStack.of(after), PaintedStack.of(before)) == ((1, 3), (2, 6), (3, 8))
    assert changed_box(PaintedStack.of(before[:0]), PaintedStack.of(after[:0])) is None


def test_strokes_and_undone_strokes_add_up_to_the_same_paint():
    generator, painted = np.random.default_rng(0), np.zeros(SHAPE, np.uint8)
    sent, received = SentImage(), AnnotatedImage(SHAPE)
    for _ in range(50):
        painted = painted.copy()
        z, y, x = (generator.integers(size) for size in SHAPE)
        painted[z, y : y + 3, x : x + 3] = generator.integers(4)
        change = sent.change(painted)
        if change is not None:
            assert received.take(change)
        assert np.array_equal(received.painted, painted)
    assert received.sequence == sent.sequence


def test_the_first_record_and_one_of_another_dtype_hold_everything():
    sent, received = SentImage(), AnnotatedImage(SHAPE)
    first = np.ones(SHAPE, np.uint8)
    assert sent.change(first).values.shape == SHAPE
    assert sent.change(first.copy()) is None
    wider = np.full(SHAPE, 300, np.uint16)
    assert received.take(sent.change(wider))
    assert received.painted.max() == 300


def test_a_record_that_does_not_follow_is_left_alone_until_a_whole_one_comes():
    received = AnnotatedImage(SHAPE)
    point = Annotation(((0, 1), (0, 1), (0, 1)), np.full((1, 1, 1), 2, np.uint8), sequence=2)
    assert not received.take(point)
    assert (received.sequence, received.painted.max()) == (0, 0)
    sent = SentImage()
    sent.change(np.zeros(SHAPE, np.uint8))
    painted = np.full(SHAPE, 3, np.uint8)
    sent.change(painted)
    assert received.take(sent.whole(painted))
    assert (received.sequence, received.painted.min()) == (sent.sequence, 3)


def test_the_first_record_of_a_large_image_is_as_large_as_its_paint():
    painted = np.zeros((64, 512, 512), np.uint8)
    painted[30, 100:104, 200:206], painted[32, 90:92, 210:212] = 1, 2
    sent, received = SentImage(), AnnotatedImage(painted.shape)
    first = sent.change(painted)
    assert (first.box, first.is_whole) == (((30, 33), (90, 104), (200, 212)), True)
    received.take(Annotation(((5, 6), (0, 1), (0, 1)), np.ones((1, 1, 1), np.uint8)))
    assert received.take(first)
    assert np.array_equal(received.painted, painted)
    cleared = np.zeros_like(painted)
    assert received.take(sent.whole(cleared))
    assert not received.painted.any()


def test_who_holds_the_paint_keeps_it_as_it_was():
    received = AnnotatedImage(SHAPE)
    before = received.painted
    received.take(Annotation(((0, 1), (0, 1), (0, 1)), np.full((1, 1, 1), 2, np.uint8)))
    assert (before.max(), received.painted[0, 0, 0]) == (0, 2)


@pytest.mark.parametrize(
    ("box", "values"),
    [
        (((0, 1), (0, 2), (0, 2)), np.zeros((1, 2, 3), np.uint8)),
        (((-1, 0), (0, 2), (0, 2)), np.zeros((1, 2, 2), np.uint8)),
        (((1, 0), (0, 2), (0, 2)), np.zeros((0, 2, 2), np.uint8)),
        (((0, 1), (0, 2), (0, 2)), np.zeros((1, 2, 2), np.float32)),
    ],
)
def test_a_box_and_values_that_do_not_fit_are_refused(box, values):
    with pytest.raises(InputError, match="Expected"):
        Annotation(box, values)


def test_paint_outside_the_image_is_refused():
    outside = Annotation(((0, 1), (0, 1), (8, 10)), np.zeros((1, 1, 2), np.uint8))
    with pytest.raises(InputError, match="within an image of shape"):
        AnnotatedImage(SHAPE).take(outside)
