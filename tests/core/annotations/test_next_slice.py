import numpy as np
import pytest

from napari_unetseg.core.annotations.next_slice import SliceUncertainty, UncertaintyMap, next_slice


def painted_at(*slices, length=9):
    return np.isin(np.arange(length), slices)


def test_uncertainty_is_summed_over_rows_and_columns_of_each_predicted_class():
    labels = np.array([[0, 0, 1], [0, 2, 2]], np.uint8)
    uncertainty = np.array([[51, 0, 102], [0, 255, 204]], np.uint8)
    summary = SliceUncertainty.of(labels, uncertainty)
    assert summary.rows.tolist() == [[0.2, 0], [0.4, 0], [0, 1.8]]
    assert summary.columns == pytest.approx(np.array([[0.2, 0, 0], [0, 0, 0.4], [0, 1, 0.8]]))


def test_a_volume_has_its_uncertainty_along_each_axis():
    uncertainties = UncertaintyMap((3, 2, 2))
    uncertainties.put(
        0, SliceUncertainty.of(np.array([[0, 0], [0, 1]], np.uint8), np.array([[255, 0], [0, 255]], np.uint8))
    )
    uncertainties.put(2, SliceUncertainty.of(np.zeros((2, 2), np.uint8), np.array([[0, 255], [0, 0]], np.uint8)))
    assert uncertainties.along(0).tolist() == [[1, 1], [0, 0], [1, 0]]
    assert uncertainties.along(1).tolist() == [[2, 0], [0, 1]]
    assert uncertainties.along(2).tolist() == [[1, 0], [1, 1]]
    uncertainties.put(2, SliceUncertainty.of(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)))
    assert uncertainties.along(0)[2].tolist() == [0, 0]


def test_even_uncertainty_is_met_by_spreading_over_the_volume():
    slices = [4]
    for _ in range(2):
        slices.append(next_slice(np.ones((9, 1)), painted_at(*slices)))
    assert slices == [4, 1, 7]


def test_the_side_with_more_uncertainty_is_next():
    uncertainty = np.ones((9, 1))
    uncertainty[7] = 2
    assert next_slice(uncertainty, painted_at(4)) == 7


def test_an_uncertain_slice_at_the_far_end_draws_the_next_towards_itself():
    uncertainty = np.ones((30, 1))
    uncertainty[29] = 100
    assert next_slice(uncertainty, painted_at(0, length=30)) == 29
    assert next_slice(np.ones((30, 1)), painted_at(0, length=30)) == 20


def test_a_small_class_counts_as_much_as_a_large_one():
    uncertainty = np.full((9, 2), [1000.0, 0.0])
    uncertainty[[2, 6], 1] = 0.1, 1
    assert next_slice(uncertainty, painted_at(4)) == 6


def test_without_predictions_the_paint_is_spread():
    assert next_slice(np.zeros((9, 1)), painted_at(0)) == 5


def test_without_paint_the_middle_of_the_uncertainty_is_next():
    uncertainty = np.zeros((9, 1))
    uncertainty[2:7] = 1
    assert next_slice(uncertainty, painted_at()) == 4


def test_where_everything_is_painted_there_is_no_next():
    assert next_slice(np.ones((3, 1)), painted_at(0, 1, 2, length=3)) is None
