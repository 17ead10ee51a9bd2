from __future__ import annotations

import numpy as np
import pytest
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage
from skimage.metrics import hausdorff_distance

from napari_unetseg.core.metrics import surface
from napari_unetseg.core.metrics.surface import score_surfaces, surface_distances, surface_voxels

from .oracles import boundary_dice, itk_hausdorff, monai_surfaces
from .shapes import blobs, distorted

SPACINGS_3D = [(1.0, 1.0, 1.0), (3.0, 0.7, 0.7), (0.28, 0.127, 0.127)]
SPACINGS_2D = [(1.0, 1.0), (0.5, 1.3)]


def masks(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    labels = blobs(shape, 2, seed)
    return distorted(labels, seed + 1) == 1, labels == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [*(((14, 22, 18), s) for s in SPACINGS_3D), *(((40, 33), s) for s in SPACINGS_2D)],
)
@pytest.mark.parametrize("transform", [True, False], ids=["by transforms", "by tree and shifts"])
def test_agrees_with_monai_and_scipy(shape, spacing, seed, transform, monkeypatch):
    monkeypatch.setattr(surface, "TREE_BELOW", 0 if transform else 1)
    monkeypatch.setattr(surface, "MOST_SHIFTS", 0 if transform else 1000)
    predicted, reference = masks(shape, seed)
    tolerance = max(spacing)
    score = score_surfaces(predicted, reference, spacing, tolerance)
    for name, value in monai_surfaces(predicted, reference, spacing, tolerance).items():
        assert getattr(score, name) == pytest.approx(value, rel=1e-5), name
    assert score.boundary_dice == pytest.approx(boundary_dice(predicted, reference, spacing, tolerance), rel=1e-6)


@pytest.mark.parametrize("spacing", SPACINGS_3D)
def test_hausdorff_agrees_with_simpleitk(spacing):
    predicted, reference = masks((12, 20, 16), 5)
    expected = itk_hausdorff(predicted, reference, spacing)
    assert score_surfaces(predicted, reference, spacing, 1.0).hausdorff == pytest.approx(expected, rel=1e-5)


def test_hausdorff_agrees_with_scikit_image():
    predicted, reference = masks((12, 20, 16), 6)
    expected = hausdorff_distance(surface_voxels(predicted), surface_voxels(reference))
    assert score_surfaces(predicted, reference, (1, 1, 1), 1.0).hausdorff == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("spacing", SPACINGS_3D)
def test_hausdorff_is_within_a_voxel_of_deepminds(spacing):
    """DeepMind puts the surface on voxel corners: each surface is at most half a diagonal from ours."""
    predicted, reference = masks((12, 20, 16), 7)
    distances = surface_distance.compute_surface_distances(reference, predicted, spacing)
    expected = surface_distance.compute_robust_hausdorff(distances, 100)
    diagonal = np.linalg.norm(spacing)
    assert score_surfaces(predicted, reference, spacing, 1.0).hausdorff == pytest.approx(expected, abs=diagonal)


@pytest.mark.parametrize("spacing", SPACINGS_3D)
def test_averages_are_near_deepminds_on_a_smooth_shape(spacing):
    """Corners weighed by area, or voxels counted: on a smooth surface the difference is half a voxel."""
    z, y, x = (np.indices((40, 60, 60)).T * spacing).T
    middle = np.array((40, 60, 60)) * spacing / 2
    radius = middle.min() * 0.8
    squared = (z - middle[0]) ** 2 + (y - middle[1]) ** 2
    reference = squared + (x - middle[2]) ** 2 < radius**2
    predicted = squared + (x - middle[2] - 3 * spacing[2]) ** 2 < (0.95 * radius) ** 2
    tolerance = max(spacing)
    score = score_surfaces(predicted, reference, spacing, tolerance)
    distances = surface_distance.compute_surface_distances(reference, predicted, spacing)
    both = surface_distance.compute_average_surface_distance(distances)
    assert score.assd == pytest.approx(np.mean(both), abs=max(spacing) / 2)
    assert score.hausdorff95 == pytest.approx(
        surface_distance.compute_robust_hausdorff(distances, 95), abs=max(spacing)
    )
    lower, upper = (
        surface_distance.compute_surface_dice_at_tolerance(distances, factor * tolerance) for factor in (0.5, 1.5)
    )
    assert lower < score.nsd < upper


def test_by_hand_two_voxels_apart():
    predicted, reference = np.zeros((2, 1, 5), bool), np.zeros((2, 1, 5), bool)
    predicted[0, 0, 0] = reference[0, 0, 3] = True
    score = score_surfaces(predicted, reference, (2.0, 1.0, 0.5), 1.0)
    assert (score.hausdorff, score.hausdorff95, score.assd) == (1.5, 1.5, 1.5)
    assert (score.nsd, score.boundary_dice, score.parts, score.reference_parts) == (0, 0, 1, 1)
    assert score_surfaces(predicted, reference, (2.0, 1.0, 0.5), 1.5).nsd == 1


def test_by_hand_a_square_that_is_one_pixel_too_wide():
    predicted, reference = np.zeros((5, 6), bool), np.zeros((5, 6), bool)
    reference[1:4, 1:4] = True  # eight surface pixels around one inside
    predicted[1:4, 1:5] = True  # ten around two
    score = score_surfaces(predicted, reference, (1.0, 1.0), 0.0)
    # pixels at distance 0: of the prediction's ten all but three in the new column and none else; of the reference's
    # eight all but the middle of its last column, which the prediction has inside, one away from its surface
    assert score.nsd == (7 + 7) / 18
    assert score.assd == pytest.approx((3 + 1) / 18)
    assert score.hausdorff == 1


def test_same_masks_are_at_distance_zero():
    mask = masks((10, 12, 14), 3)[0]
    score = score_surfaces(mask, mask, (2.0, 1.0, 1.0), 0.0)
    assert (score.hausdorff, score.hausdorff95, score.assd, score.nsd, score.boundary_dice) == (0, 0, 0, 1, 1)
    assert score.parts == score.reference_parts == ndimage.label(mask, np.ones((3, 3, 3)))[1]


@pytest.mark.parametrize("swap", [False, True])
def test_absent_in_one_is_infinitely_far(swap):
    pair = [np.zeros((3, 4, 5), bool), np.ones((3, 4, 5), bool)]
    score = score_surfaces(*(pair[::-1] if swap else pair), (1, 1, 1), 1)
    assert score.hausdorff == score.hausdorff95 == score.assd == np.inf
    assert score.nsd == score.boundary_dice == 0
    assert (score.parts, score.reference_parts) == ((1, 0) if swap else (0, 1))


MASKS = npst.arrays(bool, st.tuples(*[st.integers(1, 6)] * 3))


@given(MASKS)
@settings(max_examples=60, deadline=None)
def test_surface_is_what_erosion_removes(mask):
    np.testing.assert_array_equal(surface_voxels(mask), mask & ~ndimage.binary_erosion(mask))


@given(st.data(), st.sampled_from(SPACINGS_3D))
@settings(max_examples=40, deadline=None)
def test_both_ways_to_measure_agree(data, spacing):
    one = data.draw(MASKS.filter(np.any))
    other = data.draw(npst.arrays(bool, one.shape).filter(np.any))
    found = []
    for tree_below in (0, 2.1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(surface, "TREE_BELOW", tree_below)
            found.append(np.concatenate(surface_distances(one, other, spacing)))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_recall_is_told_for_small_and_large_parts():
    """Two parts of 16 pixels and three of 1: of the five, the smaller three count as small."""
    reference = np.zeros((20, 20), bool)
    reference[0:4, 0:4] = reference[0:4, 8:12] = True
    reference[10, [0, 4, 8]] = True
    predicted = reference.copy()
    predicted[0:4, 8:10], predicted[10, [0, 4]] = False, False
    assert surface.recall_by_size(predicted, reference) == (5, 1 / 3, 1 / 2)
    assert surface.recall_by_size(reference[:4], reference[:4]) == (2, None, None)
