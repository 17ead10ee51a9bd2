"""What held-out strokes say of a model, and of the difference of two."""

import numpy as np
import pytest

from napari_unetseg.core.annotations.expected_dice import ExpectedDice, StrokeCounts, difference, strokes_of


def counts(*shares, background=20, size=40):
    """One slice a structure's stroke of 40 voxels, such a share of it found, and a stroke of background."""
    slices = []
    for share in shares:
        true = np.repeat([1, 0], [size, background])
        predicted = true.copy()
        predicted[: round(size * (1 - share))] = 0
        slices.append((predicted, true, true))
    return StrokeCounts.of(slices, 2)


def test_a_stroke_is_connected_paint_of_one_value():
    painted = np.zeros((5, 9), np.uint8)
    painted[1, 1:4], painted[2, 4], painted[2, 5:7], painted[4, 8] = 2, 2, 1, 2
    found = strokes_of(painted)
    assert len(np.unique(found)) == 4  # nothing and three strokes: the second goes on diagonally
    assert found[1, 1] == found[2, 4]
    assert found[2, 4] != found[2, 5]


def test_the_range_is_about_the_strokes_and_not_their_voxels():
    few, many = counts(1, 0.5, 1, 0.5).expected()[1], counts(*[1, 0.5] * 20).expected()[1]
    assert few.value == many.value == pytest.approx(2 * 30 / (30 + 40), abs=1e-4)
    assert few.low < few.value < few.high
    assert few.high - few.low > 2 * (many.high - many.low)
    assert (few.voxels, few.groups, few.source) == (160, 4, "slices")
    assert counts(1, 0.5, 1, 0.5).expected()[1] == few  # the same draws


def test_three_right_strokes_are_not_a_promise():
    found = counts(1, 1, 1).expected()[1]
    assert (found.value, found.high) == (1, 1)
    assert found.low < 0.75
    assert found.shown == "1.0 (0.6–1.0)"


def test_too_little_has_no_value_and_says_what_to_do():
    for few in (counts(1, 1), counts(1, 1, 1, size=5)):
        found = few.expected()[1]
        assert (found.value, found.low, found.high, found.shown) == (None, None, None, "")
        assert "another slice" in found.words
    assert counts(background=5).expected() == {}


def test_words_are_rounded_and_say_what_they_rest_on():
    wide = ExpectedDice(value=0.8214, low=0.6012, high=0.9312, voxels=212, groups=3)
    assert wide.words == "0.8 (0.6–0.9) on 212 held-out voxels of 3 strokes"
    narrow = ExpectedDice(value=0.9714, low=0.9512, high=0.9812, voxels=12340, groups=1, source="slices")
    assert narrow.words == "0.97 (0.95–0.98) on 12 340 held-out voxels of 1 slice"


def test_two_models_are_compared_on_the_same_strokes():
    good, bad = counts(1, 0.9, 1, 0.9, 1), counts(0.5, 0.4, 0.6, 0.5, 0.4)
    assert difference(good, bad).low > 0
    assert difference(bad, good).high < 0
    mixed = difference(counts(1, 0.5, 1, 0.6, 0.9), counts(0.6, 1, 0.9, 1, 0.8))
    assert mixed.low < 0 < mixed.high
    assert difference(counts(1, 1), counts(0, 0)) is None  # too few to tell
    assert difference(good, counts(1, 1, 1)) is None  # not the same strokes
