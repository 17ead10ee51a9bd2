"""Rows are rated by limits: worst figure first, narrow misses apart, distances in any unit."""

import math

import pytest

from napari_unetseg.plugin.metrics.limits import PRESETS, Limit, Rating, judge

MET, NARROWLY, MISSED = Rating.MET, Rating.NARROWLY_MISSED, Rating.MISSED


@pytest.mark.parametrize(
    ("dice", "rating"), [(1.0, MET), (0.81, MET), (0.8, NARROWLY), (0.73, NARROWLY), (0.71, MISSED), (0.0, MISSED)]
)
def test_a_share_should_be_above_its_limit(dice, rating):
    assert Limit("dice", 0.8).rating(dice, "mm") is rating


@pytest.mark.parametrize(
    ("distance", "unit", "rating"),
    [
        (4.9, "mm", MET), (5.0, "mm", NARROWLY), (5.5, "mm", NARROWLY), (5.6, "mm", MISSED), (math.inf, "mm", MISSED),
        (4900, "µm", MET), (5600, "µm", MISSED), (0.6, "cm", MISSED), (0, "mm", MET),
    ],
)  # fmt: skip
def test_a_distance_should_be_below_its_limit_whatever_the_unit(distance, unit, rating):
    assert Limit("hausdorff", 5, "mm").rating(distance, unit) is rating


def test_a_limit_in_mm_says_nothing_about_pixels_and_none_about_what_does_not_apply():
    assert Limit("hausdorff", 5, "mm").rating(3, "pixel") is None
    assert Limit("hausdorff", 5, "pixel").rating(3, "pixel") is MET
    assert Limit("dice", 0.8).rating(math.nan, "mm") is None
    assert Limit("dice", 0.8).rating(None, "mm") is None


def test_a_row_is_as_good_as_its_worst_figure():
    planning = PRESETS["planning"]
    dice, hausdorff = planning
    row = {"dice": 0.9, "hausdorff": 4.0, "unit": "mm"}
    assert judge(row, planning).rating is MET
    assert judge(row | {"hausdorff": 5.2}, planning) == judge(row | {"hausdorff": 5.4}, planning)
    verdict = judge(row | {"dice": 0.2, "hausdorff": 5.2}, planning)
    assert (verdict.rating, verdict.missed) == (MISSED, (dice, hausdorff))


def test_without_a_figure_or_a_limit_there_is_no_rating():
    assert judge({"volume": 3.0, "unit": "mm"}, PRESETS["planning"]).rating is None
    assert judge({"dice": 0.1, "unit": "mm"}, ()).rating is None


def test_presets_are_those_of_the_literature():
    values = {name: {limit.metric: (limit.value, limit.unit) for limit in limits} for name, limits in PRESETS.items()}
    assert values == {
        "planning": {"dice": (0.85, ""), "hausdorff": (5, "mm")},
        "volumetry": {"dice": (0.8, ""), "iou": (0.75, "")},
        "detection": {"sensitivity": (0.95, "")},
    }
