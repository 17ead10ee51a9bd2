"""Surfaces through probabilities: balls and discs whose size is known, and labels that have the last word."""

import numpy as np
import pytest

from napari_unetseg.core.geometry.isosurface import covered_size, sharpened, structure_field, surface_size
from napari_unetseg.errors import InputError

FINE = 8


def covered(radius: float, centre: tuple[float, ...], size: int = 24) -> np.ndarray:
    """The share of each voxel that a ball (in 2D a disc) covers, from a grid that is eight times as fine."""
    at = [(np.arange(size * FINE) + 0.5) / FINE - 0.5 - c for c in centre]
    squares = sum(a**2 for a in np.meshgrid(*at, indexing="ij", sparse=True))
    shape = [side for _ in centre for side in (size, FINE)]
    return (squares <= radius**2).reshape(shape).mean(axis=tuple(range(1, 2 * len(centre), 2)))


@pytest.mark.parametrize("radius", [5.3, 7.0, 9.1])
def test_of_a_ball_both_errors_are_smaller_than_those_of_its_labels(radius):
    soft = covered(radius, (11.3, 11.7, 12.1))
    mask = soft > 0.5
    volume, area = 4 / 3 * np.pi * radius**3, 4 * np.pi * radius**2
    fine = covered_size(sharpened(mask, soft), (1, 1, 1))
    assert fine == pytest.approx(volume, rel=2e-3)
    assert abs(fine - volume) < abs(np.count_nonzero(mask) - volume)
    assert abs(surface_size(soft, (1, 1, 1)) - area) < abs(surface_size(mask, (1, 1, 1)) - area) / 3
    assert surface_size(soft, (1, 1, 1)) == pytest.approx(area, rel=0.02)


def test_blurred_edges_and_a_haze_do_not_add_up():
    """As a network's are: an edge that is four voxels wide, and 2 % all around."""
    radius, centre = 8.0, (11.3, 11.7, 12.1)
    at = np.stack(np.meshgrid(*(np.arange(24) - c for c in centre), indexing="ij"))
    soft = 0.02 + 0.96 / (1 + np.exp(np.linalg.norm(at, axis=0) - radius))
    volume = 4 / 3 * np.pi * radius**3
    assert covered_size(sharpened(soft > 0.5, soft), (1, 1, 1)) == pytest.approx(volume, rel=0.01)
    assert surface_size(soft, (1, 1, 1)) == pytest.approx(4 * np.pi * radius**2, rel=0.02)
    assert soft.sum() > 1.2 * volume


def test_of_a_ring_the_hole_counts():
    soft = covered(9.2, (11.4, 11.8)) - covered(3.1, (11.4, 11.8))
    size = covered_size(sharpened(soft > 0.5, soft), (0.5, 2.0))
    assert size == pytest.approx(np.pi * (9.2**2 - 3.1**2), rel=2e-3)
    assert surface_size(soft, (1, 1)) == pytest.approx(2 * np.pi * (9.2 + 3.1), rel=0.02)


def test_spacing_scales_both():
    soft = covered(5.0, (11.5, 11.5, 11.5))
    assert covered_size(soft, (2, 2, 2)) == pytest.approx(8 * covered_size(soft, (1, 1, 1)))
    assert surface_size(soft, (2, 2, 2)) == pytest.approx(4 * surface_size(soft, (1, 1, 1)))


def test_nothing_has_no_size():
    assert surface_size(np.zeros((3, 4, 5)), (1, 1, 1)) == surface_size(np.full((4, 5), 0.5), (1, 1)) == 0
    assert covered_size(np.zeros((3, 4)), (1, 1)) == 0
    assert covered_size(np.ones((3, 4)), (1, 1)) == 12


def test_a_structure_ends_where_another_is_as_likely():
    soft = np.array([[[0.2, 0.1, 0.0]], [[0.5, 0.45, 0.2]], [[0.3, 0.45, 0.8]]])
    assert structure_field(soft, 1) == pytest.approx(np.array([[0.6, 0.5, 0.2]]))
    assert structure_field(soft, 2) == pytest.approx(np.array([[0.4, 0.5, 0.8]]))
    assert structure_field(soft[1:2], 1) == pytest.approx(soft[1])


def test_labels_say_what_is_inside():
    """A voxel that clean-up has taken away, and one that it has filled in, are as in the labels."""
    field, mask = np.array([0.9, 0.8, 0.3, 0.7]), np.array([True, False, True, True])
    assert sharpened(mask, field).tolist() == pytest.approx([0.9, 0, 1, 0.7])


@pytest.mark.parametrize(("values", "label", "words"), [
    (np.zeros((2, 3)), 2, "2 channels"), (np.full((2, 3), 255.0), 1, "from 0 to 1"),
    (np.full((1, 3), np.nan), 1, "from 0 to 1"), (np.full((1, 3), -0.5), 1, "from 0 to 1"),
])  # fmt: skip
def test_what_are_no_probabilities(values, label, words):
    with pytest.raises(InputError, match=words):
        structure_field(values, label)
