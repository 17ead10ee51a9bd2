"""What the child process works out: the core's figures, Dice per slice, the worst slice, and scores on paint alone."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.progress import finish
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.plugin.metrics.job import compare
from napari_unetseg.plugin.metrics.report import summary
from napari_unetseg.service.metric_jobs import SliceScores, measure, score

DEFAULTS = MetricSettings()
CELL = Structure(label=1, name="cell", colour="#e69f00")


def labels(array, **more):
    return Labels(np.asarray(array, np.uint8), Grid((2.0, 1.0, 1.0), "µm"), **more)


@pytest.fixture
def reference():
    array = np.zeros((4, 6, 6), np.uint8)
    array[0:3, 1:5, 1:5] = 1
    return labels(array, structures=(CELL,))


def test_figures_are_the_core_s_and_dice_is_told_for_each_slice(reference):
    predicted = reference.array.copy()
    predicted[1, 1:3] = 0
    report = finish(score(labels(predicted), reference, False, DEFAULTS))
    assert report.evaluation == evaluate(labels(predicted), reference)
    assert report.rows[0]["name"] == "cell"
    assert report.slices.of(1) == pytest.approx([1, 2 / 3, 1, np.nan], nan_ok=True)
    assert report.slices.worst(1) == 1


def test_of_equally_bad_slices_the_worst_has_most_wrong_voxels():
    slices = SliceScores((5,), np.array([[0.5], [0.0], [np.nan], [0.0]]), np.array([[9], [2], [0], [3]]))
    assert slices.worst(5) == 3


def test_a_structure_in_no_slice_has_no_worst_one():
    assert SliceScores((5,), np.full((2, 1), np.nan), np.zeros((2, 1), int)).worst(5) is None


def test_paint_is_scored_where_it_is_known(reference):
    """Paint: one plane, background 1 and cell 2; the prediction is right there but for one pixel, wrong elsewhere."""
    paint = np.zeros((4, 6, 6), np.uint8)
    paint[1] = reference.array[1] + 1
    predicted = np.ones((4, 6, 6), np.uint8)
    predicted[1] = reference.array[1]
    predicted[1, 0, 0] = 1
    report = finish(score(labels(predicted, structures=(CELL,)), labels(paint), True, DEFAULTS))
    (row,) = report.rows
    assert (row["name"], row["dice"], row["precision"]) == ("cell", pytest.approx(32 / 33), pytest.approx(16 / 17))
    assert row["sensitivity"] == 1
    assert report.slices.worst(1) == 1


def test_objects_are_a_structure_for_paint_and_for_slices(reference):
    objects = reference.array.copy()
    objects[objects > 0] = 7
    predicted = replace(labels(objects, structures=(CELL,)), are_objects=True)
    report = finish(score(predicted, labels(reference.array + 1), True, DEFAULTS))
    assert [row["dice"] for row in report.rows] == [1.0]
    report = finish(score(predicted, reference, False, DEFAULTS))
    assert report.evaluation.objects.matched == 1
    assert report.slices.of(1).tolist()[:3] == [1, 1, 1]
    assert "1 of 1 matched, F1 1.000" in summary(report)


def test_means_are_told_in_words(reference):
    predicted = reference.array.copy()
    predicted[predicted == 1] = 2
    both = labels(np.maximum(predicted, 0))
    with pytest.warns(UserWarning, match="No label occurs in both"):
        told = summary(finish(score(both, reference, False, DEFAULTS)))
    assert told == "Mean Dice 0, mean IoU (mIoU) 0, Dice weighted by volume 0."


def test_without_a_reference_structures_or_objects_are_measured(reference):
    (row,) = finish(measure(reference, None, False)).rows
    assert (row["volume"], row["parts"]) == (3 * 16 * 2.0, 1)
    array = reference.array.copy()
    array[3, 0, 0], array[2] = 1, 0
    rows = finish(measure(labels(array, structures=(CELL,)), None, True)).rows
    assert sorted(row["volume"] for row in rows) == [2.0, 2 * 16 * 2.0]


def test_errors_are_told_apart():
    predicted, reference = np.array([0, 1, 1, 1, 2, 0]), np.array([0, 1, 0, 2, 2, 2])
    assert compare(predicted, reference, None).tolist() == [0, 0, 1, 3, 0, 2]
    assert compare(predicted, reference, 1).tolist() == [0, 0, 1, 1, 0, 0]
    assert compare(predicted, reference, 2).tolist() == [0, 0, 0, 2, 0, 2]


def test_advice_is_given_where_most_of_a_structure_is_missed(reference):
    predicted = np.zeros_like(reference.array)
    predicted[0, 1, 1:5] = 1
    (advice,) = finish(score(labels(predicted), reference, False, DEFAULTS)).advice
    assert (advice.structures, advice.settings["structure_weight"]) == ((1,), 5)
    assert "8% of it is found" in advice.text
