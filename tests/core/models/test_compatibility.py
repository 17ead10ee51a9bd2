"""Volumes that fit a model are shown to it as it was trained; others are refused with one clear line."""

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.models.card import ModelCard, VoxelSize
from napari_unetseg.core.models.compatibility import map_input
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Structure, Volume
from napari_unetseg.errors import ModelError, SettingsError

PLAIN = SegmentSettings()
VOTE = SegmentSettings(vote=True)


def card(dimensions=3, channels=("grey",), spacing=None):
    return ModelCard(
        name="test", title="Test", description="", version="1", dimensions=dimensions, architecture={"kind": "unet"},
        channels=channels, voxel_size=spacing and VoxelSize(spacing=spacing, unit="µm"),
        structures=(Structure(label=1, name="cell", colour="#ff0000", channels=(1,)),),
        patch=(16, 32, 32), halo=(8, 8, 8),
    )  # fmt: skip


def volume(shape=(1, 8, 20, 30), channels=(), **grid):
    return Volume(np.zeros(shape), Grid(**grid), channels)


def ratios(fitted):
    return tuple(axis.ratio for axis in fitted.grid)


def test_a_3d_model_refuses_a_2d_image():
    with pytest.raises(ModelError, match="needs a stack"):
        map_input(card(), volume((1, 1, 20, 30)), PLAIN)


def test_a_start_to_learn_from_finds_nothing_and_says_so():
    with pytest.raises(ModelError, match="test is a start to learn from"):
        map_input(card().model_copy(update={"structures": ()}), volume(), PLAIN)


def test_colour_becomes_grey_by_luminance_and_it_is_said():
    fitted = map_input(card(2), volume((3, 1, 20, 30), ("red", "green", "blue")), PLAIN)
    np.testing.assert_allclose(fitted.mix, [[0.299, 0.587, 0.114]])
    assert any("luminance" in note for note in fitted.notes)


@pytest.mark.parametrize(("model", "image"), [(("grey",), ("DAPI", "GFP")), (("a", "b"), ("DAPI",))])
def test_other_channels_are_named_and_refused(model, image):
    with pytest.raises(ModelError, match=f"{', '.join(image)}.*--channel"):
        map_input(card(channels=model), volume((len(image), 8, 20, 30), image), PLAIN)


def test_the_voxel_size_sets_the_grid():
    fitted = map_input(card(spacing=(1.0, 0.5, 0.5)), volume(spacing=(2000, 500, 250), unit="nm"), PLAIN)
    assert ratios(fitted) == (2.0, 1.0, 0.5)
    assert [axis.network_length for axis in fitted.grid] == [16, 20, 15]
    assert any("Resampled" in note for note in fitted.notes)


def test_nearly_the_same_voxel_size_is_not_resampled():
    fitted = map_input(card(spacing=(1, 1, 1)), volume(spacing=(1.1, 0.9, 1.0), unit="µm"), PLAIN)
    assert ratios(fitted) == (1, 1, 1)
    assert fitted.notes == ()


def test_an_unknown_voxel_size_is_taken_as_it_is_and_it_is_said():
    fitted = map_input(card(spacing=(1, 1, 1)), volume(), PLAIN)
    assert ratios(fitted) == (1, 1, 1)
    assert "not known" in fitted.notes[0]


def test_a_voxel_size_far_off_is_refused():
    with pytest.raises(ModelError, match="spacing"):
        map_input(card(spacing=(1, 1, 1)), volume(spacing=(1, 1, 1), unit="mm"), PLAIN)


def test_slices_of_a_2d_model_are_never_resampled_along_z():
    fitted = map_input(card(2, spacing=(1, 1, 1)), volume(spacing=(40, 2, 2), unit="µm"), PLAIN)
    assert ratios(fitted) == (1, 2, 2)


def test_voting_needs_a_2d_model_and_nearly_cubic_voxels():
    cubic, flat = {"spacing": (1.2, 1, 1), "unit": "µm"}, {"spacing": (4, 1, 1), "unit": "µm"}
    assert map_input(card(2), volume(**cubic), VOTE).orthogonal_planes
    refused = map_input(card(2), volume(**flat), VOTE)
    assert not refused.orthogonal_planes
    assert "along z only" in refused.notes[0]
    assert not map_input(card(3), volume(**cubic), VOTE).orthogonal_planes
    assert not map_input(card(2), volume((1, 1, 9, 9), **cubic), VOTE).orthogonal_planes


def test_voting_makes_z_as_fine_as_y():
    fitted = map_input(card(2, spacing=(1, 1, 1)), volume(spacing=(3, 2, 2), unit="µm"), VOTE)
    assert ratios(fitted) == (3, 2, 2)


def test_a_scale_comes_on_top_of_the_voxel_size_and_leaves_slices_of_a_2d_model_alone():
    half = SegmentSettings(scale=0.5)
    assert ratios(map_input(card(spacing=(1.0, 0.5, 0.5)), volume(spacing=(2000, 500, 250), unit="nm"), half)) == (
        1.0, 0.5, 0.25,
    )  # fmt: skip
    assert ratios(map_input(card(), volume(), half)) == (0.5, 0.5, 0.5)
    assert ratios(map_input(card(2), volume(), half)) == (1.0, 0.5, 0.5)
    assert ratios(map_input(card(2), volume(), SegmentSettings(scale=0.5, vote=True))) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("scale", [0, -1, 0.01, 17, float("nan")])
def test_a_scale_out_of_range_is_refused(scale):
    with pytest.raises(SettingsError, match=f"scale from 0.0625 to 16; got {scale}"):
        SegmentSettings(scale=scale)
