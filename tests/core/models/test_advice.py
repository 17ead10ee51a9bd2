from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.models.advice import Advice, AdviceRules, advise, advise_cases, follow
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.volume import Labels, Structure

AXON = (Structure(label=1, name="axon", colour="#ff0000"),)


def square(*places: tuple[slice, slice], grid: Grid = Grid()) -> Labels:  # noqa: B008 - frozen
    array = np.zeros((1, 60, 60), np.uint8)
    for place in places:
        array[0][place] = 1
    return Labels(array, grid, AXON)


REFERENCE = square((slice(10, 30), slice(10, 30)))


def test_a_perfect_result_needs_no_advice():
    assert advise(evaluate(REFERENCE, REFERENCE)) == []


@pytest.mark.parametrize(("found", "weight"), [(10, 2), (6, 3), (2, 5)])
def test_mostly_background_wants_more_weight_half_the_learning_rate_and_longer(found, weight):
    predicted = square((slice(10, 10 + found), slice(10, 30)))
    (advice,) = advise(evaluate(predicted, REFERENCE))
    assert advice.structures == (1,)
    assert advice.settings == {"structure_weight": weight, "learning_rate": 0.5, "minutes": 2}
    assert advice.text.startswith(f"axon: mostly background is predicted there; {found / 20:.0%} of it is found.")


def test_what_is_predicted_everywhere_wants_a_prior():
    """A quarter of what is outside is taken for it: specificity 0.75."""
    array = REFERENCE.array.copy()
    array[0, 40:, :] = 1
    (advice,) = advise(evaluate(replace(REFERENCE, array=array), REFERENCE))
    assert advice.settings == {}
    assert "anatomical prior" in advice.text
    assert "specificity 0.62" in advice.text


def test_a_good_whole_with_blurred_edges_wants_a_boundary_term():
    predicted = square((slice(12, 30), slice(12, 30)))
    (advice,) = advise(evaluate(predicted, REFERENCE))
    assert advice.settings == {"boundary_weight": 0.3}
    assert "edges are blurred" in advice.text


def test_a_good_whole_with_a_far_surface_wants_more_of_it_and_stray_parts_are_told():
    """A spot 25 pixels off: the Dice is 0.99, the diameter of the structure 22.6 pixels."""
    predicted = square((slice(10, 30), slice(10, 30)), (slice(52, 54), slice(12, 14)))
    (advice,) = advise(evaluate(predicted, REFERENCE))
    assert advice.settings == {"boundary_weight": 0.5}
    assert "off by up to 24 pixel" in advice.text
    assert "keep largest" in advice.text


def test_ten_millimetres_are_far_whatever_the_size():
    """One row of 11 pixels of 1 mm sticks out of a block of 40 × 40."""
    block, rod = (slice(0, 40), slice(0, 40)), (slice(40, 51), slice(20, 21))
    millimetres, pixels = (
        (square(block, rod, grid=grid), square(block, grid=grid)) for grid in (Grid((1.0,) * 3, "mm"), Grid((1.0,) * 3))
    )
    (advice,) = advise(evaluate(*millimetres))
    assert "off by up to 11 mm" in advice.text
    assert "keep largest" not in advice.text
    assert advise(evaluate(*pixels)) == []


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
    evaluation = evaluate(predicted, reference)
    (score,) = evaluation.structures
    assert (score.small_recall, score.large_recall) == (0, 1)
    settings = [advice.settings for advice in advise(evaluation)]
    assert {"several_scales": 1} in settings


def test_few_parts_and_numbered_objects_have_no_sizes():
    assert evaluate(REFERENCE, REFERENCE).structures[0].small_recall is None
    objects = np.zeros((1, 20, 20), np.uint8)
    objects[0, ::4, ::4] = np.arange(25).reshape(5, 5)
    labels = Labels(objects, are_objects=True)
    assert evaluate(labels, labels).structures[0].small_recall is None


def test_rules_can_be_moved():
    predicted = square((slice(12, 30), slice(12, 30)))
    assert advise(evaluate(predicted, REFERENCE), replace(AdviceRules(), good_dice=0.99)) == []


def many(found: int) -> Labels:
    """Seven structures in rows of their own, of each of which so many columns are found."""
    array = np.zeros((1, 70, 40), np.uint8)
    for label in range(1, 8):
        array[0, 10 * label - 10 : 10 * label - 4, : found + label] = label
    return Labels(array)


def test_many_structures_with_one_reason_share_a_line():
    (advice,) = advise(evaluate(many(0), many(30)))
    assert advice.structures == (1, 2, 3, 4, 5, 6, 7)
    assert advice.text.startswith("7 structures (structure 1, structure 2, …): mostly background is predicted there; ")
    assert "3% to 19% of it is found" in advice.text
    assert advice.settings["structure_weight"] == 5


def test_many_cases_are_counted():
    bad, good = evaluate(square((slice(10, 12), slice(10, 30))), REFERENCE), evaluate(REFERENCE, REFERENCE)
    (advice,) = advise_cases({"a": bad, "b": good, "c": bad})
    assert advice.text.startswith("axon in 2 of 3 cases: ")
    assert advise_cases({}) == []


def test_advice_becomes_settings():
    settings = FineTuneSettings(minutes=1, seed=7, boundary_weight=0.8)
    advice = [
        Advice((1, 2), "", {"structure_weight": 2.0}),
        Advice((2,), "", {"structure_weight": 5.0, "learning_rate": 0.5, "minutes": 2.0}),
        Advice((3,), "", {"boundary_weight": 0.5}),
        Advice((1,), "", {"several_scales": 1.0}),
        Advice((1,), "", {}),
    ]
    expected = replace(settings, structure_weight=5.0, several_scales=True, learning_rate=0.5, minutes=2)
    assert follow(settings, advice) == expected
    assert follow(settings, advice).several_scales is True
    assert follow(settings, []) == settings
    assert follow(expected, advice) == expected
    assert follow(FineTuneSettings(steps=9), advice[:2]).minutes is None
    assert follow(replace(settings, learning_rate=0.2), advice).learning_rate == 0.2


def test_nothing_is_said_of_what_the_reference_lacks():
    assert advise(evaluate(REFERENCE, square())) == []
