"""Intensities are measured once and applied part by part; nothing strange in an image reaches a network."""

import numpy as np
import pytest

from napari_unetseg.core.models import normalisation
from napari_unetseg.core.models.card import Normalisation
from napari_unetseg.core.models.normalisation import count_not_finite, normaliser, sampled
from napari_unetseg.core.volume import Volume

WINDOW = Normalisation(method="window", low=-100, high=300)


def volume(values, shape=None):
    array = np.asarray(values)
    return Volume(array.reshape(shape or (1, 1, 1, -1)))


def test_percentiles_become_zero_and_one_and_nothing_is_clipped():
    image = volume(np.arange(101, dtype=np.uint8))
    result = normaliser(image, Normalisation(low=10, high=90))(image.array)
    np.testing.assert_allclose(result.ravel(), (np.arange(101) - 10) / 80, atol=1e-6)
    assert result.dtype == np.float32


def test_zscore_gives_mean_zero_and_deviation_one():
    image = Volume(np.random.default_rng(0).normal(7, 3, (2, 4, 20, 20)))
    result = normaliser(image, Normalisation(method="zscore"))(image.array)
    np.testing.assert_allclose(result.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(1, 2, 3)), 1, atol=1e-5)


def test_a_window_is_clipped():
    image = volume(np.array([-1000, -100, 100, 300, 3000], dtype=np.int16))
    np.testing.assert_allclose(normaliser(image, WINDOW)(image.array).ravel(), [0, 0, 0.5, 1, 1])


def test_channels_are_measured_one_by_one():
    image = Volume(np.stack([np.arange(100.0), 1000 + 5 * np.arange(100.0)]).reshape(2, 1, 10, 10))
    first, second = normaliser(image, Normalisation())(image.array)
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("method", ["percentile", "zscore"])
@pytest.mark.parametrize("value", [0.0, 0.1, -7e30, 1e300])
def test_a_constant_image_becomes_zero(method, value):
    image = volume(np.full(1000, value))
    result = normaliser(image, Normalisation(method=method))(image.array)
    np.testing.assert_array_equal(result, np.zeros_like(result))


def test_values_that_are_not_finite_become_the_median():
    clean = np.arange(100, dtype=np.float32)
    broken = clean.copy()
    broken[[3, 50, 97]] = np.nan, np.inf, -np.inf
    image = volume(broken)
    result = normaliser(image, Normalisation())(image.array).ravel()
    assert np.isfinite(result).all()
    assert result[3] == result[50] == result[97]
    assert result[3] == pytest.approx(0.5, abs=0.02)
    assert count_not_finite(image) == 3


def test_an_image_without_one_finite_value_becomes_zero():
    image = volume(np.full(20, np.nan))
    np.testing.assert_array_equal(normaliser(image, Normalisation())(image.array), 0)


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.float64])
def test_large_numbers_keep_their_small_differences(dtype):
    image = volume((2**30 + np.arange(101)).astype(dtype))
    result = normaliser(image, Normalisation(low=0, high=100))(image.array).ravel()
    np.testing.assert_allclose(result, np.arange(101) / 100, atol=1e-6)


def test_bool_images_are_zero_and_one():
    image = volume(np.arange(100) % 2 == 1)
    assert set(normaliser(image, Normalisation())(image.array).ravel()) == {0.0, 1.0}


def test_mixing_makes_one_channel_of_three():
    image = Volume(np.random.default_rng(0).integers(0, 255, (3, 1, 8, 8), dtype=np.uint8))
    mix = np.array([normalisation.LUMINANCE])
    grey = Volume(np.tensordot(mix, image.array.astype(float), axes=1))
    expected = normaliser(grey, Normalisation())(grey.array)
    np.testing.assert_allclose(normaliser(image, Normalisation(), mix)(image.array), expected, atol=1e-5)


def test_a_part_is_normalised_as_the_whole_is():
    image = Volume(np.random.default_rng(0).normal(size=(1, 5, 9, 11)))
    apply = normaliser(image, Normalisation())
    np.testing.assert_array_equal(apply(image.array[:, 1:3, :, 4:]), apply(image.array)[:, 1:3, :, 4:])


@pytest.mark.parametrize("shape", [(1, 1, 3000, 3000), (1, 300, 300, 300), (2, 1, 1, 5000)])
def test_large_images_are_measured_on_a_sample(shape):
    sample = sampled(Volume(np.broadcast_to(np.uint8(1), shape)), most=10_000)
    assert sample[0].size <= 12_000
    assert sample[0].size >= 1_000
    assert sample.shape[0] == shape[0]


def test_small_images_are_measured_whole():
    image = np.zeros((1, 3, 10, 10))
    assert sampled(Volume(image), most=300).shape == image.shape
