from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.scores import METRICS, StructureScore
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.errors import InputError, SettingsError, UnetsegError

from .oracles import boundary_dice, monai_overlap, monai_surfaces
from .shapes import blobs, distorted, voronoi

GRID = Grid((3.0, 1.5, 1.0), "mm")


def structure(label: int, name: str) -> Structure:
    return Structure(label=label, name=name, colour="#ff0000")


def line(*values: int, dtype: str = "u4") -> np.ndarray:
    return np.array(values, dtype).reshape(1, 1, -1)


@pytest.fixture(scope="module")
def pair() -> tuple[Labels, Labels]:
    reference = blobs((10, 24, 26), 3, seed=1)
    return Labels(distorted(reference, 2), GRID), Labels(reference, GRID)


@pytest.fixture(scope="module")
def scores(pair) -> tuple[StructureScore, ...]:
    return evaluate(*pair).structures


@pytest.mark.parametrize("label", [1, 2, 3])
def test_every_figure_agrees_with_the_oracles(pair, scores, label):
    predicted, reference = (labels.array == label for labels in pair)
    score, voxel, tolerance = scores[label - 1], math.prod(GRID.spacing), 3.0
    expected = monai_overlap(predicted, reference) | monai_surfaces(predicted, reference, GRID.spacing, tolerance)
    expected |= {
        "boundary_dice": boundary_dice(predicted, reference, GRID.spacing, tolerance),
        "volume": predicted.sum() * voxel,
        "reference_volume": reference.sum() * voxel,
        "volume_difference": (predicted.sum() - int(reference.sum())) * voxel,
        "volume_difference_percent": 100 * (predicted.sum() / reference.sum() - 1),
    }
    assert score.label == label
    for name, value in expected.items():
        assert getattr(score, name) == pytest.approx(value, rel=1e-5), name
    assert set(METRICS) == set(expected) | {"parts", "reference_parts", "small_recall", "large_recall"}


def test_a_single_slice_is_an_image_with_areas():
    reference = blobs((1, 40, 50), 2, seed=3)
    predicted = distorted(reference[0], 4)[None]
    evaluation = evaluate(Labels(predicted, GRID), Labels(reference, GRID))
    masks = predicted[0] == 1, reference[0] == 1
    score = evaluation.structures[0]
    assert (evaluation.dimensions, evaluation.tolerance) == (2, 1.5)
    assert score.volume == masks[0].sum() * 1.5
    for name, value in monai_surfaces(*masks, GRID.spacing[1:], 1.5).items():
        assert getattr(score, name) == pytest.approx(value, rel=1e-5), name


def test_absent_in_both_has_no_figures_and_counts_in_no_mean():
    names = (structure(1, "found"), structure(2, "absent"))
    evaluation = evaluate(Labels(line(1, 1, 0)), Labels(line(1, 0, 0), structures=names))
    found, absent = evaluation.structures
    assert (found.name, absent.name) == ("found", "absent")
    assert all(math.isnan(getattr(absent, name)) for name in ("dice", "iou", "precision", "sensitivity", "nsd", "assd"))
    assert (absent.volume, absent.parts, absent.reference_parts, absent.specificity) == (0, 0, 0, 1)
    assert evaluation.mean_dice == found.dice == 2 / 3


def test_absent_from_the_prediction():
    missed = evaluate(Labels(line(0, 0, 0)), Labels(line(0, 4, 0))).structures[0]
    assert (missed.dice, missed.iou, missed.sensitivity, missed.nsd, missed.boundary_dice) == (0, 0, 0, 0, 0)
    assert missed.hausdorff == missed.hausdorff95 == missed.assd == math.inf
    assert math.isnan(missed.precision)
    assert missed.volume_difference_percent == -100


def test_absent_from_the_reference():
    extra = evaluate(Labels(line(0, 4, 0)), Labels(line(0, 0, 0))).structures[0]
    assert (extra.dice, extra.iou, extra.precision, extra.nsd, extra.boundary_dice) == (0, 0, 0, 0, 0)
    assert extra.hausdorff == extra.hausdorff95 == extra.assd == math.inf
    assert math.isnan(extra.sensitivity)
    assert math.isnan(extra.volume_difference_percent)
    assert extra.specificity == 2 / 3


def test_empty_volumes_give_no_rows_and_no_mean():
    evaluation = evaluate(Labels(line(0, 0)), Labels(line(0, 0)))
    assert evaluation.structures == ()
    assert math.isnan(evaluation.mean_dice)
    assert math.isnan(evaluation.foreground_dice)
    assert evaluation.to_dict()["mean_dice"] is None


def test_one_voxel():
    score = evaluate(Labels(np.ones((1, 1, 1), np.uint8)), Labels(np.ones((1, 1, 1), np.uint8))).structures[0]
    assert (score.dice, score.hausdorff, score.nsd, score.boundary_dice, score.parts) == (1, 0, 1, 1, 1)
    assert math.isnan(score.specificity)  # no voxel is outside the reference


def test_macro_and_weighted_means_by_hand():
    evaluation = evaluate(Labels(line(1, 1, 1, 0, 2)), Labels(line(1, 1, 1, 2, 2)))
    assert [score.dice for score in evaluation.structures] == [1, 2 / 3]
    assert evaluation.mean_dice == pytest.approx((1 + 2 / 3) / 2)
    assert evaluation.weighted_mean("dice") == pytest.approx((3 * 1 + 2 * 2 / 3) / 5)
    assert evaluation.foreground_dice == 8 / 9


def test_unknown_voxels_change_nothing():
    reference, predicted = line(1, 1, 2, 2, 0, 0), line(1, 2, 2, 1, 0, 1)
    known = line(1, 1, 1, 0, 1, 0).astype(bool)
    evaluation = evaluate(Labels(predicted), Labels(reference), known=known)
    other = evaluate(Labels(np.where(known, predicted, 9)), Labels(np.where(known, reference, 5)), known=known)
    first, second = evaluation.structures
    assert (first.dice, first.sensitivity, first.specificity, first.volume) == (2 / 3, 1 / 2, 1, 1)
    assert (second.dice, second.precision, second.specificity) == (2 / 3, 1 / 2, 2 / 3)
    assert [(s.dice, s.volume) for s in other.structures[:2]] == [(s.dice, s.volume) for s in evaluation.structures]
    assert math.isnan(first.hausdorff)
    assert first.parts is None


def test_overlap_alone_leaves_surfaces_out(pair, scores):
    fast = evaluate(*pair, MetricSettings(surfaces=False)).structures[0]
    assert fast.dice == scores[0].dice
    assert math.isnan(fast.assd)


def test_tolerance_decides_surface_dice(pair):
    strict, lenient = (evaluate(*pair, MetricSettings(tolerance=t)) for t in (0.0, 100.0))
    assert strict.structures[0].nsd < lenient.structures[0].nsd == 1
    assert lenient.tolerance == 100


def test_objects_are_one_structure_and_are_matched():
    reference, predicted = voronoi((4, 30, 30), 9, 6, 1), voronoi((4, 30, 30), 9, 6, 1, move=0.7)
    names = (structure(1, "nucleus"),)
    evaluation = evaluate(Labels(predicted), Labels(reference, structures=names, are_objects=True))
    masks = predicted > 0, reference > 0
    (foreground,) = evaluation.structures
    assert (foreground.label, foreground.name) == (1, "nucleus")
    assert foreground.dice == pytest.approx(monai_overlap(*masks)["dice"])
    assert evaluation.objects is not None
    assert evaluation.objects.reference == len(np.unique(reference)) - 1
    assert len(evaluate(Labels(predicted), Labels(reference)).structures) == evaluation.objects.reference
    assert evaluate(Labels(predicted), Labels(reference), MetricSettings(objects=True)).objects == evaluation.objects


def test_very_many_labels_are_taken_for_objects():
    many = np.arange(300, dtype=np.uint16).reshape(3, 10, 10)
    evaluation = evaluate(Labels(many), Labels(many))
    assert evaluation.objects is not None
    assert evaluation.objects.matched == 299
    assert len(evaluate(Labels(many), Labels(many), MetricSettings(objects=False)).structures) == 299


def test_json_says_every_figure_and_the_unit(pair):
    record = json.loads(json.dumps(evaluate(*pair).to_dict(), allow_nan=False))
    assert record["unit"] == "mm"
    assert record["structures"][0].keys() == {"label", "name", *METRICS}
    assert record["mean_dice"] == record["mean"]["dice"]
    assert record["structures"][0]["label"] == 1
    missed = evaluate(Labels(line(0, 0, 0)), Labels(line(0, 4, 0))).to_dict()["structures"][0]
    assert missed["hausdorff"] is None


@pytest.mark.parametrize("label", [200, 70_000, 2**32 + 1, 2**63 - 1])
def test_huge_label_numbers(label):
    array = line(0, label, label, 1, dtype="u8")
    evaluation = evaluate(Labels(array), Labels(np.roll(array, 1)))
    assert [score.label for score in evaluation.structures] == [1, label]
    assert evaluation.structures[1].dice == 1 / 2
    assert evaluation.structures[1].name == f"structure {label}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Labels(line(1, 2).astype(float)),
        lambda: Labels(line(-1, 2, dtype="i4")),
        lambda: Labels(np.zeros((0, 3, 3), np.uint8)),
        lambda: Labels(line(1), Grid((0, 1, 1))),
        lambda: Labels(line(1), Grid((1, math.nan, 1))),
        lambda: evaluate(Labels(line(1, 2)), Labels(line(1, 2, 3))),
        lambda: evaluate(Labels(line(1)), Labels(line(1)), known=np.ones((1, 1, 2), bool)),
        lambda: MetricSettings(tolerance=-1),
        lambda: MetricSettings(tolerance=math.nan),
    ],
)
def test_bad_input_is_one_clear_line(make):
    with pytest.raises((InputError, SettingsError)) as caught:
        make()
    assert isinstance(caught.value, UnetsegError)
    assert str(caught.value).startswith("Expected")
    assert "\n" not in str(caught.value)
