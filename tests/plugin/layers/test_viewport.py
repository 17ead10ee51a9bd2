"""Where the screen is, in the terms of a layer, and moving it."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_unetseg.plugin.layers.viewport import (
    axis_in_view,
    index_on_screen,
    move_along,
    move_to_slice,
    shows_slices,
    slice_on_screen,
)


@pytest.fixture
def viewer():
    return ViewerModel()


def test_sliders_are_told_in_a_layer_s_own_indices(viewer):
    layer = viewer.add_labels(np.zeros((8, 6, 5), np.uint8), scale=(2, 1, 1), translate=(10, 0, 0))
    viewer.dims.set_point(0, 16)
    assert index_on_screen(viewer, layer, "Z") == 3
    assert index_on_screen(viewer, layer, "T") == 0
    assert index_on_screen(viewer, layer, "T", "TYX") == 3
    viewer.add_image(np.zeros((40, 6, 5)))
    viewer.dims.set_point(0, 39)
    assert index_on_screen(viewer, layer, "Z") == 7  # beyond its end, its last


def test_a_move_keeps_to_the_layer_and_to_what_is_in_view(viewer):
    layer = viewer.add_labels(np.zeros((8, 6, 5), np.uint8), scale=(2, 1, 1))
    move_to_slice(viewer, layer, 5)
    assert (viewer.dims.point[0], slice_on_screen(viewer, layer)) == (10, 5)
    viewer.dims.order = (1, 0, 2)
    assert (slice_on_screen(viewer, layer), shows_slices(viewer), axis_in_view(viewer, layer)) == (None, False, "Y")
    move_to_slice(viewer, layer, 1)
    assert viewer.dims.point[0] == 10
    move_along(viewer, layer, "Y", 4)
    assert viewer.dims.point[1] == 4


def test_slices_are_seen_in_their_own_orientation_alone(viewer):
    viewer.add_labels(np.zeros((3, 8, 6, 5), np.uint8))
    assert shows_slices(viewer)
    viewer.dims.ndisplay = 3
    assert not shows_slices(viewer)
    viewer.dims.ndisplay = 2
    viewer.dims.order = (0, 2, 1, 3)
    assert not shows_slices(viewer)


def test_a_picture_without_z_has_no_slice(viewer):
    layer = viewer.add_labels(np.zeros((6, 5), np.uint8))
    assert (slice_on_screen(viewer, layer), index_on_screen(viewer, layer, "Z")) == (None, 0)
    move_to_slice(viewer, layer, 3)
