from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import compute_panoptic_quality
from skimage.metrics import contingency_table

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.objects import THRESHOLDS, contingency, match
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import InputError

from .shapes import voronoi


def score(predicted, reference):
    return match(Labels(predicted), Labels(reference))


def monai_quality(predicted, reference, threshold, metric):
    pair = (torch.from_numpy(array.astype(np.int32)) for array in (predicted, reference))
    return float(compute_panoptic_quality(*pair, metric_name=metric, match_iou_threshold=threshold))


@pytest.mark.parametrize("shape", [(8, 32, 32), (1, 70, 70)])
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_monai(shape, seed):
    reference, predicted = voronoi(shape, 20, 8, seed), voronoi(shape, 20, 8, seed, move=1.0)
    scores = score(predicted, reference)
    quality, recognition = (
        [monai_quality(predicted, reference, t, metric) for t in THRESHOLDS] for metric in ("pq", "rq")
    )
    assert scores.panoptic_quality == pytest.approx(quality[0], abs=1e-5)
    assert scores.f1 == pytest.approx(recognition[0], abs=1e-5)
    assert scores.mean_panoptic_quality == pytest.approx(np.mean(quality), abs=1e-5)
    assert scores.mean_f1 == pytest.approx(np.mean(recognition), abs=1e-5)
    assert scores.mean_f1 < scores.f1


def test_contingency_agrees_with_scikit_image():
    one, other = voronoi((3, 30, 30), 12, 6, 0), voronoi((3, 30, 30), 12, 6, 1)
    np.testing.assert_array_equal(contingency([(one, other)]).toarray(), contingency_table(one, other).toarray())


def test_contingency_of_numbers_with_gaps():
    one, other = np.array([[[5, 5, 0]]], np.uint32), np.array([[[2**31, 7, 7]]], np.uint32)
    assert contingency([(one, other)]).toarray().tolist() == [[0, 1, 0], [0, 1, 1]]


def line(*values):
    return np.array(values, np.uint16).reshape(1, 1, -1)


def test_a_split_by_hand():
    scores = score(line(1, 1, 1, 2, 2, 2, 0, 3), line(4, 4, 4, 4, 4, 4, 0, 5))
    assert (scores.splits, scores.merges) == (1, 0)
    assert (scores.predicted, scores.reference, scores.matched) == (3, 2, 1)  # halves have an IoU of 0.5, not above
    assert scores.f1 == 2 * 1 / 5
    assert scores.panoptic_quality == 1 / 2.5
    assert scores.mean_f1 == pytest.approx(scores.f1)


def test_a_merge_by_hand():
    scores = score(line(4, 4, 4, 4, 4, 4, 0, 5), line(1, 1, 1, 2, 2, 2, 0, 3))
    assert (scores.splits, scores.merges) == (0, 1)


def test_a_speck_splits_nothing():
    scores = score(line(*[1] * 19, 2), line(*[1] * 20))
    assert scores.splits == 0
    assert scores.matched == 1
    assert scores.panoptic_quality == pytest.approx(0.95 / 1.5)


def test_equal_objects_under_other_numbers_are_perfect():
    objects = voronoi((4, 30, 30), 15, 5, 3)
    scores = score(objects.astype(np.uint32) * 1_000_003, objects)
    assert scores.f1 == scores.panoptic_quality == scores.mean_f1 == scores.mean_panoptic_quality == 1
    assert scores.splits == scores.merges == 0


def test_without_objects_nothing_applies():
    nothing = np.zeros((2, 3, 4), np.uint8)
    scores = score(nothing, nothing)
    assert np.isnan([scores.f1, scores.panoptic_quality, scores.mean_f1, scores.mean_panoptic_quality]).all()
    assert (scores.predicted, scores.reference, scores.splits) == (0, 0, 0)


@pytest.mark.parametrize("swap", [False, True])
def test_objects_in_one_alone_score_zero(swap):
    pair = [line(0, 0, 0), line(1, 0, 2)]
    scores = score(*(pair[::-1] if swap else pair))
    assert (scores.f1, scores.panoptic_quality, scores.matched) == (0, 0, 0)


def test_thousands_of_objects():
    objects = np.kron(np.arange(1, 4097, dtype=np.uint16).reshape(16, 16, 16), np.ones((2, 4, 4), np.uint16))
    scores = match(Labels(np.roll(objects, 1, axis=1)), Labels(objects))
    assert (scores.predicted, scores.reference, scores.matched) == (4096, 4096, 4096)
    assert scores.panoptic_quality == pytest.approx(3 / 5)


def test_objects_on_different_grids_are_refused():
    with pytest.raises(InputError, match="spacings differ"):
        match(Labels(line(1), Grid((2, 1, 1), "µm")), Labels(line(1), Grid((1, 1, 1), "µm")))
