import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_unetseg.engine.networks.pixel.filters import DEEP, FLAT, Filters, FilterSettings
from napari_unetseg.errors import SettingsError


def features(image, **settings):
    """Features by (scale, kind) of the middle slice's middle pixel."""
    settings = FilterSettings(**settings)
    z, y, x = (length // 2 for length in image.shape)
    found = Filters(settings)(torch.as_tensor(image, dtype=torch.float32)[None, None])
    return found[0, :, z, y, x].numpy()


def ramp(shape, axis):
    return np.moveaxis(
        np.broadcast_to(np.arange(shape[axis], dtype=float), np.moveaxis(np.empty(shape), axis, -1).shape), -1, axis
    )


def test_a_constant_image_has_its_value_and_no_change():
    smooth, *change = features(np.full((5, 40, 40), 3.0), flat=(2.0,), deep=())[1:]
    assert smooth == pytest.approx(3)
    assert change == pytest.approx([0] * 4, abs=1e-2)


@pytest.mark.parametrize("axis", [1, 2])
def test_the_gradient_in_the_slice_is_the_slope_times_the_scale(axis):
    found = features(5 * ramp((1, 61, 61), axis) / 10, flat=(2.0, 4.0), deep=())
    assert found[[2, 2 + FLAT]] == pytest.approx([1, 2], rel=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_gradient_in_space_is_the_same_along_every_axis(axis):
    found = features(ramp((41, 61, 61), axis), flat=(1.0,), deep=(2.0,))
    assert found[1 + FLAT + 1] == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_largest_curvature_in_space_is_that_of_a_parabola(axis):
    found = features((ramp((41, 61, 61), axis) - 20) ** 2 / 2, flat=(1.0,), deep=(2.0,))
    assert found[1 + FLAT + 2 : 1 + FLAT + 5] == pytest.approx([0, 0, 4], abs=2e-2)


def test_slices_far_apart_are_seen_through_their_distance():
    """A slope of 1 a slice, with slices 4 pixels apart, is 1/4 a pixel."""
    found = features(ramp((41, 61, 61), 0), flat=(1.0,), deep=(4.0,), depth=4.0)
    assert found[1 + FLAT + 1] == pytest.approx(1, rel=1e-2)


def test_smoothing_is_that_of_scipy():
    image = np.random.default_rng(0).random((9, 30, 31))
    found = Filters(FilterSettings(flat=(1.5,), deep=(1.5,)))(torch.tensor(image, dtype=torch.float32)[None, None])[0]
    flat = ndimage.gaussian_filter(image, (0, 1.5, 1.5), radius=(0, 5, 5))
    deep = ndimage.gaussian_filter(image, 1.5, radius=5)
    np.testing.assert_allclose(found[1], flat, atol=1e-5)
    np.testing.assert_allclose(found[1 + FLAT], deep, atol=1e-5)


def test_curvatures_are_the_eigenvalues_of_the_hessian():
    image = torch.randn(1, 1, 15, 20, 20, generator=torch.Generator().manual_seed(0))
    found = Filters(FilterSettings(flat=(1.0,), deep=(2.0,)))(image)[0, 1 + FLAT :]
    assert len(found) == DEEP
    smallest, middle, largest = found[2:5]
    assert (smallest <= middle + 1e-5).all()
    assert (middle <= largest + 1e-5).all()


def test_one_slice_of_many_is_the_same_as_that_slice_of_all():
    image = torch.randn(1, 1, 31, 16, 17, generator=torch.Generator().manual_seed(0))
    bank = Filters(FilterSettings(deep=(1.0, 2.0)))
    torch.testing.assert_close(bank(image, slice(15, 16))[:, :, 0], bank(image)[:, :, 15])


def test_what_lies_beyond_the_halo_changes_nothing():
    settings = FilterSettings(flat=(1.0, 2.0), deep=(2.0,), depth=2.0)
    reach, _, plane = settings.halo
    near = torch.randn(1, 1, 2 * reach + 1, 40, 40, generator=torch.Generator().manual_seed(0))
    far = torch.nn.functional.pad(near, (0, 0, 0, 0, 3, 3), value=9.0)
    bank = Filters(settings)
    torch.testing.assert_close(bank(near, slice(reach, reach + 1)), bank(far, slice(reach + 3, reach + 4)))
    assert plane == 8


def test_features_turn_and_mirror_with_the_image():
    image = torch.randn(1, 1, 9, 20, 20, generator=torch.Generator().manual_seed(0))
    bank = Filters(FilterSettings(flat=(2.0,), deep=(2.0,)))
    torch.testing.assert_close(bank(image.flip(-1)), bank(image).flip(-1), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(bank(image.rot90(1, (-2, -1))), bank(image).rot90(1, (-2, -1)), atol=1e-4, rtol=1e-3)


def test_each_channel_is_filtered_on_its_own():
    image = torch.randn(1, 2, 5, 12, 12, generator=torch.Generator().manual_seed(0))
    one, two = FilterSettings(1, (1.0,), (1.0,)), FilterSettings(2, (1.0,), (1.0,))
    assert two.outputs == 2 * one.outputs
    found = Filters(two)(image)
    torch.testing.assert_close(found[:, 0::2], Filters(one)(image[:, :1]))


@pytest.mark.parametrize("wrong", [{"depth": 0.0}, {"flat": (0.0,)}, {"channels": 0}])
def test_numbers_must_be_above_0(wrong):
    with pytest.raises(SettingsError, match="above 0"):
        FilterSettings(**wrong)


@pytest.mark.parametrize("shape", [(2, 700), (700, 2), (385, 512)])
def test_long_axes_are_filtered_in_bands_as_they_would_be_whole(shape, monkeypatch):
    settings = FilterSettings(flat=(1.0, 16.0), deep=())
    image = torch.rand((1, 1, 1, *shape), generator=torch.Generator().manual_seed(0))
    banded = Filters(settings)(image)
    monkeypatch.setattr("napari_unetseg.engine.networks.pixel.filters.WHOLE", max(shape))
    assert torch.allclose(banded, Filters(settings)(image), atol=1e-3)  # a deviation is the root of a small difference
