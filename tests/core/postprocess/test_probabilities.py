"""The steps that weigh probabilities, and what they may look at: values by hand, and the engine's where it computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unetseg import api
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.postprocess.apply import clean
from napari_unetseg.core.postprocess.context import CleanupContext
from napari_unetseg.core.postprocess.prior import KnownSlices
from napari_unetseg.core.steps import Crf, FillHoles, KeepLargest, Prior, leading_probability_steps
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.engine.inference.crf import refine
from napari_unetseg.errors import InputError, SettingsError

GRID = Grid((2.0, 0.5, 0.5), "µm")
CELL = Structure(label=1, name="cell", colour="#ff0000")
GOLGI = Structure(label=5, name="golgi", colour="#00ff00")


def noisy(shape: tuple[int, int, int] = (4, 24, 24)) -> tuple[Labels, Volume, np.ndarray]:
    """The right half is a cell; a tenth of the labels is wrong, and the image shows what is right."""
    rng = np.random.default_rng(0)
    truth = np.zeros(shape, np.uint8)
    truth[:, :, shape[2] // 2 :] = 1
    wrong = rng.random(shape) < 0.1
    image = (truth + rng.normal(scale=0.05, size=shape))[None].astype(np.float32)
    return Labels(truth ^ wrong, GRID, (CELL,)), Volume(image, GRID), truth


@pytest.mark.parametrize("per_slice", [False, True])
@pytest.mark.parametrize("shape", [(4, 24, 24), (1, 24, 24)])
def test_a_crf_follows_the_image_in_2d_and_3d(shape, per_slice):
    labels, image, truth = noisy(shape)
    result = api.clean(labels, [Crf(per_slice=per_slice)], CleanupContext(image))
    assert (labels.array != truth).mean() > 0.08
    assert (result.array != truth).mean() < 0.03
    assert (result.array.dtype, result.structures, result.grid) == (np.uint8, (CELL,), GRID)


def test_a_crf_respects_the_spacing():
    """Slices far apart do not speak to each other; close ones do."""
    labels, image, _ = noisy((3, 16, 16))
    step = Crf(window=2, smoothness=4.0, appearance=0.0, certainty=0.6)
    far, near = (Grid((size, 1.0, 1.0), "µm") for size in (9.0, 1.0))
    whole = {
        grid: api.clean(replace(labels, grid=grid), [step], CleanupContext(replace(image, grid=grid)))
        for grid in (far, near)
    }
    sliced = api.clean(
        replace(labels, grid=near),
        [step.model_copy(update={"per_slice": True})],
        CleanupContext(replace(image, grid=near)),
    )
    np.testing.assert_array_equal(whole[far].array, sliced.array)
    assert (whole[near].array != sliced.array).any()


def test_a_crf_weighs_the_probabilities_where_they_are_at_hand():
    rng = np.random.default_rng(1)
    soft = rng.dirichlet(np.ones(3), (2, 10, 10)).transpose(3, 0, 1, 2).astype(np.float32)
    image = Volume(rng.normal(size=(1, 2, 10, 10)).astype(np.float32), GRID)
    structures = (CELL, GOLGI)
    labels = Labels(np.array([0, 1, 5], np.uint8)[soft.argmax(axis=0)], GRID, structures)
    step = Crf(contrast=1.0)
    result = api.clean(labels, [step], CleanupContext(image, Volume(soft, GRID)))
    expected = refine(soft, image, step).argmax(axis=0)
    np.testing.assert_array_equal(result.array, np.array([0, 1, 5])[expected])
    without = api.clean(labels, [step], CleanupContext(image))
    assert (without.array != result.array).any()
    # once a step has changed the labels, the probabilities are not theirs any more
    later = api.clean(labels, [KeepLargest(parts=99), step], CleanupContext(image, Volume(soft, GRID)))
    np.testing.assert_array_equal(later.array, without.array)


def test_two_weighings_hand_on_their_probabilities():
    soft = np.array([0.6, 0.4], np.float32).reshape(2, 1, 1, 1)
    prior = Volume(np.array([0.4, 0.6], np.float32).reshape(2, 1, 1, 1))
    labels = Labels(np.zeros((1, 1, 1), np.uint8), structures=(CELL,))
    context = CleanupContext(probabilities=Volume(soft), prior=prior)
    tied = Prior(strength=0.9)
    assert clean(labels, [tied], context).array.item() == 0  # 0.6 · 0.4^0.9 > 0.4 · 0.6^0.9
    assert clean(labels, [tied, tied], context).array.item() == 1


def test_a_prior_map_keeps_what_is_likely_there():
    array = np.zeros((1, 4, 8), np.uint8)
    array[:, 1:3, :2], array[:, 1:3, 5:7] = 1, 5
    likely = np.full((2, 1, 4, 8), 0.01, np.float32)
    likely[0, ..., :4] = likely[1, ..., :4] = 0.4
    labels = Labels(array, GRID, (CELL, GOLGI))
    context = CleanupContext(prior=Volume(likely, GRID))
    kept = clean(labels, [Prior()], context).array
    np.testing.assert_array_equal(kept, np.where(np.arange(8) < 4, array, 0))
    only_cells = clean(labels, [Prior(structures=(1,))], context).array
    np.testing.assert_array_equal(only_cells, array)
    # 0.9 · 0.98^s against 0.1 · 0.01^s: a weak prior does not take them away
    np.testing.assert_array_equal(clean(labels, [Prior(strength=0.01)], context).array, array)


def test_a_prior_of_painted_slices_takes_away_what_lies_far_from_them():
    painted = np.zeros((9, 30, 30), np.uint8)
    for z in (0, 8):
        painted[z] = 1
        painted[z, 5:15, 5:15] = 2
    array = np.zeros((9, 30, 30), np.uint8)
    array[:, 5:15, 5:15] = 1
    array[4, 22:28, 22:28] = 1
    labels = Labels(array, GRID, (CELL,))
    context = CleanupContext(known=KnownSlices.of(Labels(painted, GRID)))
    result = clean(labels, [Prior(softness=1.0, unit="µm")], context).array
    assert not result[4, 22:28, 22:28].any()
    np.testing.assert_array_equal(result[:, 5:15, 5:15], 1)
    part = clean(replace(labels, array=array[3:6]), [Prior(softness=1.0, unit="µm")], context.cropped(3, 6)).array
    np.testing.assert_array_equal(part, result[3:6])


def test_numbered_objects_are_one_structure_and_grow_each_for_itself():
    _, image, truth = noisy()
    numbers = truth.astype(np.uint16)
    numbers[:, 12:][truth[:, 12:] > 0] = 700
    numbers[:, 5:7, 18:20] = 0
    objects = Labels(numbers, GRID, (CELL,), are_objects=True)
    result = api.clean(objects, [Crf()], CleanupContext(image))
    np.testing.assert_array_equal(result.array > 0, truth > 0)
    assert (result.array[:, 5:7, 18:20] == 1).all()
    assert (result.array[:, 12:][truth[:, 12:] > 0] == 700).all()
    assert result.are_objects
    empty = replace(objects, array=np.zeros_like(numbers))
    assert not api.clean(empty, [Crf()], CleanupContext(image)).array.any()


def test_a_part_is_cleaned_as_in_the_whole():
    labels, image, _ = noisy((5, 16, 16))
    image.array[:, 4] *= 7  # a part must not be judged by its own contrast
    step, context = Crf(per_slice=True, contrast=0.1), CleanupContext(image)
    whole = api.clean(labels, [step], context).array
    part = api.clean(replace(labels, array=labels.array[2:4]), [step], context.cropped(2, 4)).array
    np.testing.assert_array_equal(part, whole[2:4])


def test_the_steps_that_come_first():
    assert leading_probability_steps((Crf(), Prior(), FillHoles(), Crf())) == (Crf(), Prior())
    assert leading_probability_steps((FillHoles(), Crf())) == ()


SMALL = Labels(np.ones((1, 2, 2), np.uint8), structures=(CELL,))
MANY = Labels(np.arange(100, dtype=np.uint8).reshape(1, 10, 10))


@pytest.mark.parametrize(
    ("labels", "step", "context", "error", "message"),
    [
        (SMALL, Crf(), CleanupContext(), SettingsError, "follows the image"),
        (SMALL, Prior(), CleanupContext(), SettingsError, "probability map or painted slices"),
        (SMALL, Prior(), CleanupContext(prior=Volume(np.ones((3, 1, 2, 2)))), InputError, r"got 3 channel\(s\)"),
        (SMALL, Prior(), CleanupContext(prior=Volume(np.full((1, 1, 2, 2), 255))), InputError, "from 0 to 1"),
        (SMALL, Prior(), CleanupContext(prior=Volume(np.ones((1, 1, 2, 3)))), InputError, "shapes differ"),
        (
            SMALL,
            Prior(),
            CleanupContext(known=KnownSlices.of(Labels(np.ones((1, 2, 3), int)))),
            InputError,
            "shapes differ",
        ),
        (SMALL, Prior(unit="µm"), CleanupContext(known=KnownSlices.of(SMALL)), SettingsError, "voxel size"),
        (MANY, Crf(), CleanupContext(Volume(np.ones((1, 1, 10, 10)))), SettingsError, "at most 64 structures"),
    ],
)
def test_bad_input_is_one_clear_line(labels, step, context, error, message):
    with pytest.raises(error, match=message) as caught:
        api.clean(labels, [step], context)
    assert "\n" not in str(caught.value)


def test_core_alone_says_where_to_find_the_engine():
    with pytest.raises(SettingsError, match=r"napari_unetseg\.clean"):
        clean(SMALL, [Crf()], CleanupContext(Volume(np.ones((1, 1, 2, 2)))))
