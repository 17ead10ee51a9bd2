"""Axes are guessed as a user would, and arrays come back to the axes that they came from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetseg.errors import InputError
from napari_unetseg.plugin.layers.axes import CHOICES, choices_of, from_spatial, guess_axes, kept_axes, to_volume

SIZES = {"T": 2, "C": 3, "Z": 4, "Y": 5, "X": 6}
ALL_AXES = [axes for choices in CHOICES.values() for axes in choices]


@pytest.mark.parametrize(
    ("shape", "names", "axes"),
    [
        ((512, 512), (), "YX"),
        ((30, 512, 512), ("-3", "-2", "-1"), "ZYX"),
        ((3, 512, 512), (), "CYX"),
        ((1, 512, 512), (), "ZYX"),
        ((3, 512, 512), ("z", "y", "x"), "ZYX"),
        ((30, 512, 512), ("time", "y", "x"), "TYX"),
        ((20, 30, 512, 512), (), "TZYX"),
        ((2, 30, 512, 512), (), "CZYX"),
        ((30, 2, 512, 512), (), "ZCYX"),
        ((20, 2, 512, 512), ("t", "c", "y", "x"), "TCYX"),
        ((20, 2, 30, 512, 512), (), "TCZYX"),
        ((20, 30, 2, 512, 512), (), "TZCYX"),
        ((20, 30, 512, 512), ("q", "z", "y", "x"), "TZYX"),
    ],
)
def test_axes_are_guessed_by_name_then_by_length(shape, names, axes):
    assert guess_axes(shape, names) == axes


@pytest.mark.parametrize("ndim", [1, 6])
def test_a_layer_of_too_few_or_too_many_axes_is_refused(ndim):
    with pytest.raises(InputError, match="2 to 5 axes"):
        choices_of(ndim)


@pytest.mark.parametrize("axes", ALL_AXES)
def test_every_voxel_lands_where_its_axes_say(axes):
    array = np.arange(np.prod([SIZES[a] for a in axes])).reshape([SIZES[a] for a in axes])
    volume = to_volume(array, axes, time=1)
    assert volume.shape == tuple(SIZES[a] if a in axes else 1 for a in "CZYX")
    index = {"T": 1, "C": 2, "Z": 3, "Y": 4, "X": 5}
    expected = array[tuple(index[a] for a in axes)]
    assert volume[tuple(index[a] if a in axes else 0 for a in "CZYX")] == expected


def test_a_view_is_given_not_a_copy():
    array = np.zeros((2, 3, 4))
    assert np.shares_memory(to_volume(array, "CYX"), array)


@given(axes=st.sampled_from(ALL_AXES))
def test_a_result_comes_back_to_the_layer_s_axes(axes):
    shape = tuple(SIZES[a] if a in axes else 1 for a in "ZYX")
    spatial = np.arange(np.prod(shape)).reshape(shape)
    back = from_spatial(spatial, axes, SIZES["C"])
    kept = kept_axes(axes)
    assert back.shape == tuple(1 if a == "T" else SIZES[a] for a in kept)
    for channel in range(SIZES["C"] if "C" in kept else 1):
        volume = to_volume(back, kept)
        assert np.array_equal(volume[channel], spatial)
