from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.models.advice import Advice, AdviceRules, Found, advise, follow, found_by_size
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.volume import Labels, Structure

AXON = (Structure(label=1, name="axon", colour="#ff0000"),)


def square(*places: tuple[slice, slice]) -> Labels:
    array = np.zeros((1, 60, 60), np.uint8)
    for place in places:
        array[0][place] = 1
    return Labels(array, structures=AXON)


REFERENCE = square((slice(10, 30), slice(10, 30)))


def test_a_perfect_result_needs_no_advice():
    assert advise(evaluate(REFERENCE, REFERENCE)) == []


@pytest.mark.parametrize(("found", "weight"), [(10, 2), (6, 3), (2, 5)])
def test_mostly_background_wants_more_weight(found, weight):
    predicted = square((slice(10, 10 + found), slice(10, 30)))
    (advice,) = advise(evaluate(predicted, REFERENCE))
    assert (advice.structure, advice.setting, advice.value) == (1, "structure_weight", weight)
    assert "axon" in advice.text
    assert f"{found / 20:.0%} of it is found" in advice.text


def test_a_good_whole_with_a_poor_boundary_wants_a_boundary_term():
    predicted = square((slice(12, 30), slice(12, 30)))
    (advice,) = advise(evaluate(predicted, REFERENCE))
    assert (advice.setting, advice.value) == ("boundary_weight", 0.5)
    assert "boundary" in advice.text


def test_a_boundary_that_is_a_voxel_off_but_within_the_tolerance_needs_no_advice():
    """Boundary Dice of small structures is low by nature: the surface Dice has a say as well."""
    predicted = square((slice(11, 31), slice(10, 30)))
    score = evaluate(predicted, REFERENCE).structures[0]
    assert score.boundary_dice < 0.7 < score.nsd
    assert advise(evaluate(predicted, REFERENCE)) == []


def test_missed_small_parts_want_several_scales():
    large = [(slice(2, 14), slice(2, 14)), (slice(2, 14), slice(20, 32))]
    small = [(slice(40, 42), slice(2, 4)), (slice(40, 42), slice(20, 22))]
    predicted, reference = square(*large), square(*large, *small)
    found = found_by_size(predicted, reference)
    assert found == {1: Found(small=0, large=1)}
    assert [advice.setting for advice in advise(evaluate(predicted, reference), found)] == ["several_scales"]
    assert advise(evaluate(predicted, reference)) == []


def test_few_parts_have_no_sizes():
    assert found_by_size(REFERENCE, REFERENCE) == {}


def test_rules_can_be_moved():
    predicted = square((slice(12, 30), slice(12, 30)))
    assert advise(evaluate(predicted, REFERENCE), rules=replace(AdviceRules(), good_dice=0.99)) == []


def test_advice_becomes_settings():
    settings = FineTuneSettings(minutes=2, seed=7, boundary_weight=0.8)
    advice = [
        Advice(1, "", "structure_weight", 2.0),
        Advice(2, "", "structure_weight", 5.0),
        Advice(3, "", "structure_weight", 3.0),
        Advice(3, "", "boundary_weight", 0.5),
        Advice(1, "", "several_scales", 1.0),
    ]
    expected = replace(settings, structure_weight=5.0, several_scales=True)
    assert follow(settings, advice) == expected
    assert follow(settings, advice).several_scales is True
    assert follow(settings, []) == settings
    assert follow(FineTuneSettings(steps=0), advice[:1]).structure_weight == 2


def test_nothing_is_said_of_what_the_reference_lacks():
    assert advise(evaluate(REFERENCE, square())) == []
