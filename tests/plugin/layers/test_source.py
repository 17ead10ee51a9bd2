"""Layers become volumes with the right place and unit, and labels lie exactly on their layer."""

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image
from napari.layers import Labels as LabelsLayer

from napari_unetseg.core.grid import Grid, ScannerFrame
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.plugin.layers.layer_data import labels_layer, volume_layers
from napari_unetseg.plugin.layers.source import METADATA, LayerSource, labels_of, volume_of

NUCLEUS = Structure(label=1, name="nucleus", colour="#e69f00")
GOLGI = Structure(label=2, name="golgi", colour="#56b4e9")


def world_corners(layer, data_shape):
    """World positions of the first and last voxel."""
    last = np.array(data_shape) - 1
    return np.array([layer.data_to_world(0 * last), layer.data_to_world(last)])


def test_spacing_unit_and_origin_are_the_layer_s():
    layer = Image(np.zeros((7, 5, 6)), scale=(2, 0.5, 0.25), translate=(1, 2, 3), units=("um", "um", "um"), name="n")
    volume = volume_of(layer)
    assert volume.grid == Grid((2.0, 0.5, 0.25), "µm", (1.0, 2.0, 3.0))
    assert (volume.array.shape, volume.name) == ((1, 7, 5, 6), "n")


@pytest.mark.parametrize(
    ("units", "spacing", "unit"),
    [
        (("nm", "nm", "nm"), (2, 3, 4), "nm"),
        (("mm", "um", "um"), (2000, 3, 4), "µm"),
        (("inch", "inch", "inch"), (50800, 76200, 101600), "µm"),
        (("pixel", "um", "um"), (2, 3, 4), "pixel"),
        (("s", "um", "um"), (2, 3, 4), "pixel"),
    ],
)
def test_units_are_brought_to_one_that_we_know(units, spacing, unit):
    grid = LayerSource.of(Image(np.zeros((2, 3, 4)), scale=(2, 3, 4), units=units), "ZYX").grid
    assert grid.unit == unit
    assert grid.spacing == pytest.approx(spacing)


def test_a_scale_that_sits_in_the_affine_counts_as_well():
    affine = np.array([[0, 0, 3, 1], [0, 2, 0, 0], [5, 0, 0, 0], [0, 0, 0, 1]])
    assert LayerSource.of(Image(np.zeros((7, 5, 6)), affine=affine)).grid.spacing == pytest.approx((5, 2, 3))


def test_a_flipped_axis_has_a_spacing_above_zero():
    assert LayerSource.of(Image(np.zeros((7, 5, 6)), scale=(-2, 1, 1))).grid.spacing == (2, 1, 1)


@pytest.mark.parametrize(
    ("shape", "axes", "kwargs"),
    [
        ((5, 6), "YX", {"scale": (2, 3), "translate": (1, 1)}),
        ((7, 5, 6), "ZYX", {"scale": (4, 2, 3), "translate": (7, 8, 9), "rotate": (10, 20, 30)}),
        ((7, 5, 6), "ZYX", {"scale": (4, 2, 3), "rotate": (10, 20, 30), "shear": (0.1, 0, 0.2)}),
        ((7, 5, 6), "ZYX", {"scale": (-4, 2, -3), "translate": (7, 8, 9)}),
        ((7, 5, 6), "ZYX", {"affine": np.diag([2.0, 3, 4, 1]) + np.eye(4, k=1) * 0.1}),
        ((3, 4, 5, 6), "CZYX", {"scale": (1, 4, 2, 3), "translate": (0, 7, 8, 9), "rotate": 30}),
    ],
)  # fmt: skip
def test_labels_lie_on_their_layer_whatever_its_transform(shape, axes, kwargs):
    layer = Image(np.zeros(shape), **kwargs)
    source = LayerSource.of(layer, axes)
    data, attributes = source.labels(Labels(np.ones(source.shape[1:], np.uint8)), "l")
    made = LabelsLayer(data, **attributes)
    spatial = made.ndim
    assert np.allclose(world_corners(made, data.shape), world_corners(layer, shape)[:, -spatial:])
    assert made.units == layer.units[-spatial:]


def test_labels_of_a_time_point_appear_at_that_time_only():
    layer = Image(np.zeros((5, 4, 8, 8)), scale=(10, 2, 1, 1), translate=(100, 0, 0, 0), units=("s", "um", "um", "um"))
    source = LayerSource.of(layer, "TZYX", time=3)
    data, attributes = source.labels(Labels(np.ones((4, 8, 8), np.uint8)), "l")
    made = LabelsLayer(data, **attributes)
    assert data.shape == (1, 4, 8, 8)
    assert made.data_to_world((0, 1, 0, 0)) == pytest.approx((130, 2, 0, 0))
    assert [str(unit) for unit in made.units] == ["second", "micrometer", "micrometer", "micrometer"]


def test_only_the_time_point_and_channel_that_are_asked_for_are_computed():
    computed = []

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"])
        t, c = block_info[None]["chunk-location"][:2]
        return np.full((1, 1, 4, 8, 8), 10 * t + c, np.uint8)

    lazy = da.map_blocks(
        block, chunks=((1,) * 3, (1,) * 2, (4,), (8,), (8,)), dtype=np.uint8, meta=np.empty(0, np.uint8)
    )
    source = LayerSource.of(Image(lazy, contrast_limits=(0, 255)), "TCZYX", time=2, channel=1)
    computed.clear()
    volume = source.volume()
    assert (volume.array == 21).all()
    assert volume.array.shape == (1, 4, 8, 8)
    assert {location[0] for location in computed} == {2}


def test_a_level_of_a_multiscale_layer_covers_the_same_place():
    layer = Image([np.zeros((8, 16, 16)), np.zeros((4, 8, 8))], multiscale=True, scale=(2, 1, 1), translate=(5, 0, 0))
    source = LayerSource.of(layer, "ZYX", level=1)
    assert source.grid.spacing == (4, 2, 2)
    data, attributes = source.labels(Labels(np.ones((4, 8, 8), np.uint8)), "l")
    made = LabelsLayer(data, **attributes)
    outer = lambda shape: [np.full(3, -0.5), np.array(shape) - 0.5]  # noqa: E731
    for coarse, fine in zip(outer((4, 8, 8)), outer((8, 16, 16)), strict=True):
        assert np.allclose(made.data_to_world(coarse), layer.data_to_world(fine))


def test_rgb_is_a_colour_volume_without_its_alpha():
    picture = np.arange(4 * 5 * 4, dtype=np.uint8).reshape(4, 5, 4)
    volume = volume_of(Image(picture, rgb=True))
    assert volume.is_colour
    assert np.array_equal(volume.array[:, 0], np.moveaxis(picture[..., :3], -1, 0))


def test_structures_are_named_in_the_features_and_shown_in_their_colours():
    labels = Labels(np.array([[[0, 1, 2]]], np.uint8), structures=(NUCLEUS, GOLGI))
    data, attributes, _ = labels_layer(labels)
    layer = LabelsLayer(data, **attributes)
    assert layer.features.set_index("index")["name"].to_dict() == {0: "background", 1: "nucleus", 2: "golgi"}
    assert layer.get_color(2) == pytest.approx(np.array([0x56, 0xB4, 0xE9, 255]) / 255, abs=1e-3)


def test_objects_are_named_after_their_structure_and_keep_their_own_colours():
    labels = Labels(np.array([[[0, 1, 3]]], np.uint16), structures=(NUCLEUS,), are_objects=True)
    data, attributes, _ = labels_layer(labels)
    layer = LabelsLayer(data, **attributes)
    assert layer.features["name"].tolist() == ["background", "nucleus", "nucleus", "nucleus"]
    assert not np.allclose(layer.get_color(1), layer.get_color(3))


def test_labels_of_a_layer_are_a_copy_with_its_structures():
    labels = Labels(np.array([[[0, 1, 2]]], np.uint8), Grid((1.0, 2.0, 3.0), "µm"), (NUCLEUS, GOLGI))
    layer = LabelsLayer(*(lambda data, attributes, _: (data,))(*labels_layer(labels)), **labels_layer(labels)[1])
    back = labels_of(layer)
    assert (back.grid, back.structures, back.are_objects) == (labels.grid, labels.structures, False)
    back.array[:] = 9
    assert layer.data.max() == 2


def test_the_orientation_of_a_file_is_kept_as_long_as_its_layer_stays_in_place():
    frame = ScannerFrame(((0, 0, 1, 5), (0, 1, 0, 6), (2, 0, 0, 7), (0, 0, 0, 1)), ("L", "P", "S"))
    grid = Grid((2.0, 1.0, 1.0), "mm", (7.0, 6.0, 5.0), frame)
    data, attributes, _ = labels_layer(Labels(np.ones((3, 4, 5), np.uint8), grid))
    layer = LabelsLayer(data, **attributes)
    assert labels_of(layer).grid.scanner == frame
    layer.scale = (3, 1, 1)
    assert labels_of(layer).grid == Grid((3.0, 1.0, 1.0), "mm", (7.0, 6.0, 5.0))


def test_channels_of_a_volume_become_layers_of_their_own():
    from napari_unetseg.core.volume import Volume

    volume = Volume(
        np.arange(48, dtype=np.uint16).reshape(2, 2, 3, 4), Grid((2.0, 1.0, 1.0), "µm"), ("dapi", "gfp"), "e"
    )
    layers = volume_layers([volume])
    assert [attributes["name"] for _, attributes, _ in layers] == ["e: dapi", "e: gfp"]
    for index, (data, attributes, kind) in enumerate(layers):
        assert kind == "image"
        assert np.array_equal(data, volume.array[index])
        assert attributes["scale"] == (2, 1, 1)


def test_time_points_become_a_leading_axis():
    from napari_unetseg.core.volume import Volume

    volumes = [Volume(np.full((1, 1, 3, 4), t, np.uint8), Grid((1.0, 0.5, 0.5), "µm")) for t in range(3)]
    ((data, attributes, _),) = volume_layers(volumes)
    assert data.shape == (3, 3, 4)
    assert data[:, 0, 0].tolist() == [0, 1, 2]
    assert attributes["axis_labels"] == ("t", "y", "x")
    assert Image(data, **attributes).metadata[METADATA]["grid"].unit == "µm"
