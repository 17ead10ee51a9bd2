from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unetseg.core.postprocess.prior import KnownSlices, apply_prior, prior_from_slices, with_background
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import InputError, SettingsError


def disc(radius: float, size: int = 41) -> np.ndarray:
    y, x = np.indices((size, size)) - size // 2
    return (y**2 + x**2 <= radius**2).astype(int)


def known(classes: np.ndarray, places: tuple[int, ...], axis: int = 0) -> KnownSlices:
    return KnownSlices(np.moveaxis(classes, axis, 0)[list(places)], places, axis, classes.shape)


def test_between_two_discs_lies_one_of_middle_size():
    classes = np.full((11, 41, 41), -1)
    classes[0], classes[10] = disc(5), disc(15)
    prior = prior_from_slices(known(classes, (0, 10)), [1], (2.0, 1.0, 1.0), softness=1.0)
    np.testing.assert_allclose(prior.sum(axis=0), 1, atol=1e-5)
    for place, radius in ((0, 5), (5, 10), (10, 15)):
        assert np.sum(prior[1, place] > 0.5) == pytest.approx(disc(radius).sum(), rel=0.05)
    np.testing.assert_array_equal(prior[1, [0, 10]] > 0.5, classes[[0, 10]] > 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_and_beyond_the_ends(axis):
    classes = np.moveaxis(np.stack([disc(6)] * 7), 0, axis)
    prior = prior_from_slices(known(classes, (3,), axis), [1], (1, 1, 1), 0.5)
    np.testing.assert_array_equal(prior[1] > 0.5, classes > 0)


def test_softness_is_physical():
    classes = disc(10)[None]
    row = [prior_from_slices(known(classes, (0,)), [1], (1, s, s), softness=2.0 * s)[1, 0, 20] for s in (1.0, 0.25)]
    np.testing.assert_allclose(row[0], row[1], rtol=1e-4)
    hard = prior_from_slices(known(classes, (0,)), [1], (1, 1, 1), softness=0.1)[1, 0, 20]
    assert hard[20] == pytest.approx(1)
    assert hard[0] == pytest.approx(0, abs=1e-6)
    assert prior_from_slices(known(classes, (0,)), [1], (1, 1, 1), softness=1.0)[1, 0, 20, 29] == pytest.approx(
        0.73, abs=0.15
    )


def test_a_structure_that_ends_between_slices_fades_out():
    classes = np.stack([disc(8), *[np.full((41, 41), -1)] * 9, np.zeros((41, 41), int)])
    sizes = (prior_from_slices(known(classes, (0, 10)), [1, 2], (1, 1, 1), 1.0)[1] > 0.5).sum(axis=(1, 2))
    assert sizes[0] == disc(8).sum()
    assert (np.diff(sizes) <= 0).all()
    assert sizes[10] == 0


def test_bayes_rule_by_hand():
    probabilities = np.array([0.6, 0.4], np.float32).reshape(2, 1, 1, 1)
    prior = np.array([0.2, 0.8], np.float32).reshape(2, 1, 1, 1)
    np.testing.assert_allclose(apply_prior(probabilities, prior).ravel(), [0.12 / 0.44, 0.32 / 0.44], rtol=1e-5)
    np.testing.assert_allclose(apply_prior(probabilities, prior, 0.0), probabilities)


def test_a_prior_that_excludes_everything_changes_nothing():
    probabilities = np.array([1.0, 0.0], np.float32).reshape(2, 1, 1, 1)
    np.testing.assert_array_equal(apply_prior(probabilities, probabilities[::-1]), probabilities)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_part_of_the_volume_has_the_prior_of_the_whole(axis):
    classes = np.stack([disc(4, 15), *[np.full((15, 15), -1)] * 8, disc(6, 15)]).swapaxes(0, axis)
    whole = known(classes, (0, 9), axis)
    part = prior_from_slices(replace(whole, part=(2, 7)), [1], (2, 1, 1), 1.0)
    np.testing.assert_allclose(part, prior_from_slices(whole, [1], (2, 1, 1), 1.0)[:, 2:7], atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_painted_slices_are_found_in_any_orientation_and_stray_strokes_left_out(axis):
    painted = np.zeros((20, 20, 20), np.uint8)
    for place, value in ((3, 2), (12, 3)):
        plane = np.moveaxis(painted, axis, 0)[place]
        plane[:] = 1
        plane[5:9, 5:9] = value
    painted[16, 16, 16] = 2
    found = KnownSlices.of(Labels(painted))
    assert (found.axis, found.places, found.shape) == (axis, (3, 12), (20, 20, 20))
    assert found.planes.max(axis=(1, 2)).tolist() == [1, 2]
    assert found.planes[0, 6, 6] == 1


def test_background_is_what_the_structures_leave():
    alone = np.array([[0.5, 0.0], [0.25, 0.0]], np.float16).reshape(2, 1, 1, 2)
    np.testing.assert_allclose(with_background(alone, 2).squeeze(), [[0.25, 1], [0.5, 0], [0.25, 0]])
    rounded = np.array([[0.5, 0.0], [0.3, 0.0]]).reshape(2, 1, 1, 2)
    np.testing.assert_allclose(with_background(rounded, 1).squeeze(), [[0.625, 1], [0.375, 0]])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: apply_prior(np.ones((2, 1, 1, 1)), np.ones((2, 1, 1, 2))), InputError),
        (lambda: apply_prior(np.ones((2, 1, 1, 1)), np.ones((2, 1, 1, 1)), -1), SettingsError),
        (lambda: known(np.zeros((2, 3, 3)), ()), SettingsError),
        (lambda: KnownSlices.of(Labels(np.zeros((2, 3, 3), np.uint8))), InputError),
        (lambda: prior_from_slices(known(np.zeros((2, 3, 3)), (0,)), [1], (1, 1, 1), 0), SettingsError),
        (lambda: with_background(np.ones((4, 1, 1, 1)), 2), InputError),
        (lambda: with_background(np.full((2, 1, 1, 1), 255.0), 1), InputError),
        (lambda: with_background(np.full((2, 1, 1, 1), np.nan), 1), InputError),
    ],
)
def test_bad_input_is_one_clear_line(call, error):
    with pytest.raises(error, match="Expected"):
        call()
