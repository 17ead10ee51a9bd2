import numpy as np
import pytest
from scipy import ndimage

from napari_unetseg.core.postprocess.instances import separate_objects


def ball(shape, centre, radius, spacing=(1.0, 1.0, 1.0)):
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return sum(((a - c) * s) ** 2 for a, c, s in zip(axes, centre, spacing, strict=True)) <= radius**2


def touching_balls(shape, centres, radius, spacing=(1.0, 1.0, 1.0)):
    mask = np.any([ball(shape, c, radius, spacing) for c in centres], axis=0)
    seeds = np.any([ball(shape, c, radius / 2, spacing) for c in centres], axis=0)
    return mask, seeds


def numbers(objects):
    return sorted(int(n) for n in np.unique(objects) if n)


@pytest.mark.parametrize(
    ("shape", "centres", "spacing"),
    [
        ((1, 40, 60), [(0, 20, 20), (0, 20, 36)], (1, 1, 1)),
        ((30, 40, 60), [(15, 20, 20), (15, 20, 36)], (1, 1, 1)),
        ((12, 40, 60), [(5, 20, 20), (5, 20, 36)], (3, 1, 1)),
        ((16, 40, 40), [(5, 20, 20), (10.3, 20, 20)], (3, 1, 1)),
    ],
    ids=["2D", "3D", "3D, thick slices", "3D, thick slices, above each other"],
)
def test_touching_balls_are_cut_in_the_middle(shape, centres, spacing):
    mask, seeds = touching_balls(shape, centres, 9, spacing)
    objects = separate_objects(mask, seeds, spacing)
    assert objects.dtype == np.uint32
    assert objects.shape == shape
    np.testing.assert_array_equal(objects > 0, mask)
    assert numbers(objects) == [1, 2]
    indices = np.indices(shape)
    distances = [
        np.sqrt(sum(((i - c) * s) ** 2 for i, c, s in zip(indices, centre, spacing, strict=True))) for centre in centres
    ]
    clear = mask & (np.abs(distances[0] - distances[1]) > 2 * max(spacing))
    nearest = np.where(distances[0] < distances[1], 1, 2)
    np.testing.assert_array_equal(objects[clear], nearest[clear])


def test_without_cores_each_connected_part_is_an_object():
    mask, _ = touching_balls((1, 20, 50), [(0, 10, 10), (0, 10, 35)], 6)
    objects = separate_objects(mask, None)
    np.testing.assert_array_equal(objects == 1, ball((1, 20, 50), (0, 10, 10), 6))
    np.testing.assert_array_equal(objects == 2, ball((1, 20, 50), (0, 10, 35), 6))


def test_a_dumbbell_is_one_object_without_cores_and_two_with_them():
    mask, cores = touching_balls((1, 30, 50), [(0, 15, 14), (0, 15, 32)], 9.5)
    assert numbers(separate_objects(mask, None)) == [1]
    assert numbers(separate_objects(mask, cores)) == [1, 2]


def test_a_waist_alone_divides_where_the_cores_are_not_told_apart():
    mask, _ = touching_balls((1, 30, 50), [(0, 15, 14), (0, 15, 32)], 9.5)
    assert numbers(separate_objects(mask, mask)) == [1, 2]


def test_what_is_long_or_rough_is_not_cut_where_it_has_no_waist():
    _, y, x = np.indices((1, 60, 60))
    ellipse = ((y - 30) / 8) ** 2 + ((x - 30) / 25) ** 2 <= 1
    rough = ellipse & (ndimage.binary_erosion(ellipse) | (np.random.default_rng(0).random(ellipse.shape) > 0.3))
    assert numbers(separate_objects(ellipse, ellipse)) == [1]
    assert numbers(separate_objects(rough, rough, minimum=10)) == [1]


def test_a_part_without_a_core_is_an_object_of_its_own():
    mask, seeds = touching_balls((1, 20, 50), [(0, 10, 10), (0, 10, 35)], 6)
    seeds[..., 25:] = False
    assert numbers(separate_objects(mask, seeds)) == [1, 2]


def test_cores_outside_the_mask_do_not_count():
    mask = ball((1, 20, 20), (0, 10, 10), 5)
    objects = separate_objects(mask, np.ones_like(mask))
    np.testing.assert_array_equal(objects, mask)


def test_small_objects_are_dropped_and_the_rest_is_numbered_without_gaps():
    mask = np.zeros((1, 10, 30), bool)
    mask[0, 1:3, 1:3] = True  # 4 voxels
    mask[0, 1:6, 10:15] = True  # 25
    mask[0, 1:9, 20:28] = True  # 64
    assert np.bincount(separate_objects(mask, None).ravel())[1:].tolist() == [4, 25, 64]
    assert np.bincount(separate_objects(mask, None, minimum=25).ravel())[1:].tolist() == [25, 64]
    assert np.bincount(separate_objects(mask, None, minimum=26).ravel())[1:].tolist() == [64]


def test_a_speck_of_a_core_does_not_cut_an_object():
    mask = ball((1, 40, 40), (0, 20, 20), 15)
    seeds = ball((1, 40, 40), (0, 20, 17), 7)
    seeds[0, 20, 30] = True
    assert numbers(separate_objects(mask, seeds, minimum=30)) == [1]


def test_a_mask_without_an_outside_is_divided_by_its_cores():
    full = np.ones((1, 20, 40), bool)
    cores = ball(full.shape, (0, 10, 8), 6) | ball(full.shape, (0, 10, 31), 6)
    np.testing.assert_array_equal(separate_objects(full, full), full)
    objects = separate_objects(full, cores)
    assert objects.all()
    assert (objects[0, 10, 8], objects[0, 10, 31]) == (1, 2)


@pytest.mark.parametrize("shape", [(1, 5, 5), (4, 5, 6), (1, 1, 1)])
def test_an_empty_mask_gives_no_objects(shape):
    nothing = np.zeros(shape, bool)
    objects = separate_objects(nothing, nothing)
    assert not objects.any()
    assert objects.dtype == np.uint32


def test_the_input_is_not_changed():
    mask, seeds = touching_balls((1, 20, 40), [(0, 10, 10), (0, 10, 20)], 7)
    before = mask.copy(), seeds.copy()
    separate_objects(mask, seeds, minimum=3)
    np.testing.assert_array_equal(mask, before[0])
    np.testing.assert_array_equal(seeds, before[1])
