"""Rows are rated by limits: worst figure first, narrow misses apart, distances in any unit."""

import json
import math

import pytest

from napari_unetseg.core.metrics.limits import PRESETS, Limit, Rating, Verdict, find_limits, judge
from napari_unetseg.errors import InputError, SettingsError

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
    single = {name: limits for name, limits in PRESETS.items() if name != "clinical"}
    values = {name: {limit.metric: (limit.value, limit.unit) for limit in limits} for name, limits in single.items()}
    assert values == {
        "planning": {"dice": (0.85, ""), "hausdorff": (5, "mm")},
        "volumetry": {"dice": (0.8, ""), "iou": (0.75, "")},
        "detection": {"sensitivity": (0.95, "")},
    }


CLINICAL = PRESETS["clinical"]
GOOD = {"dice": 0.86, "iou": 0.81, "sensitivity": 0.96, "specificity": 0.91, "hausdorff": 4.0, "unit": "mm"}


@pytest.mark.parametrize(
    ("metric", "acceptable", "missed"),
    [
        ("dice", 0.76, 0.74), ("iou", 0.71, 0.69), ("sensitivity", 0.91, 0.89), ("specificity", 0.86, 0.84),
        ("hausdorff", 9.9, 10.1),
    ],
)  # fmt: skip
def test_the_clinical_table_has_two_levels(metric, acceptable, missed):
    assert judge(GOOD, CLINICAL) == Verdict(MET, (), passed=True)
    verdict = judge(GOOD | {metric: acceptable}, CLINICAL)
    assert (verdict.rating, verdict.passed, verdict.word) == (NARROWLY, True, "acceptable")
    verdict = judge(GOOD | {metric: missed}, CLINICAL)
    assert (verdict.rating, verdict.passed, verdict.word) == (MISSED, False, "missed")
    assert [limit.metric for limit in verdict.missed] == [metric]


def test_a_narrow_miss_of_a_single_level_is_no_pass():
    verdict = judge({"dice": 0.8, "unit": "mm"}, PRESETS["planning"])
    assert (verdict.rating, verdict.passed, verdict.word) == (NARROWLY, False, "nearly")
    assert str(verdict) == "≈ dice above 0.85"
    assert judge({"unit": "mm"}, PRESETS["planning"]).passed is None


def test_second_levels_go_into_other_units():
    assert CLINICAL[-1].rating(9_900, "µm") is NARROWLY
    assert CLINICAL[-1].rating(10_100, "µm") is MISSED


TOML = """
[[limits]]
metric = "dice"
value = 0.9
acceptable = 0.8

[[limits]]
metric = "hausdorff95"
value = 300
unit = "um"
"""
JSON = {"limits": [{"metric": "dice", "value": 0.9, "acceptable": 0.8},
                   {"metric": "hausdorff95", "value": 300, "unit": "µm"}]}  # fmt: skip


def test_a_file_holds_limits(tmp_path):
    (tmp_path / "a.toml").write_text(TOML)
    (tmp_path / "a.json").write_text(json.dumps(JSON))
    expected = (Limit("dice", 0.9, acceptable=0.8), Limit("hausdorff95", 300, "µm"))
    assert find_limits(str(tmp_path / "a.toml")) == find_limits(str(tmp_path / "a.json")) == expected
    assert find_limits("Clinical") == CLINICAL


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "JSON"), ("[" * 50_000, "JSON"), ("\xff", "JSON"), ("5", "file"), ("{}", "limits: Field required"),
        ('{"limits": []}', "at least 1"),
        ('{"limits": [{"metric": "dice", "value": 85}]}', "below 1"),
        ('{"limits": [{"metric": "dice", "value": NaN}]}', "finite"),
        ('{"limits": [{"metric": "dice", "value": "0.9"}]}', "valid number"),
        ('{"limits": [{"metric": "volume", "value": 0.9}]}', "limits.0.metric"),
        ('{"limits": [{"metric": "hausdorff", "value": 5}]}', "needs a unit"),
        ('{"limits": [{"metric": "dice", "value": 0.8, "acceptable": 0.9}]}', "less strict"),
        ('{"limits": [{"metric": "hausdorff", "value": 8, "unit": "mm", "acceptable": 5}]}', "less strict"),
        ('{"limits": [{"metric": "dice", "value": 0.8}, {"metric": "dice", "value": 0.7}]}', "twice"),
        ('{"limits": [{"metric": "dice", "value": 0.8, "colour": "red"}]}', "colour"),
        (" " * 200_000, "100000 bytes"),
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        find_limits(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_neither_a_set_nor_a_file():
    with pytest.raises(SettingsError, match=r"clinical, planning, volumetry, detection, or a file .json or .toml"):
        find_limits("strict")
    with pytest.raises(InputError, match="cannot be read"):
        find_limits("none.toml")
