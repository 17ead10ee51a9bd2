"""What an image looks like does not depend on how it is stored, and does on what is in it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_unetseg.core.io.loadsave import load_volume
from napari_unetseg.core.io.samples import list_samples
from napari_unetseg.core.models.appearance import describe_image, descriptor_boxes, descriptor_distances
from napari_unetseg.core.models.catalogue import list_models
from napari_unetseg.core.models.selection import rank_models
from napari_unetseg.core.volume import COLOUR, Grid, Volume


def texture(sigma=2.0, shape=(1, 1, 300, 280)):
    noise = np.random.default_rng(0).normal(size=shape)
    return ndimage.gaussian_filter(noise, (0, 0, sigma, sigma)).astype(np.float32)


def dots():
    """Bright dots on a dark ground."""
    image = texture(4.0)
    return np.maximum(image - np.percentile(image, 80), 0)


def far(one, other):
    return np.abs(np.subtract(one, other)).max()


def test_brightness_and_contrast_do_not_count():
    image = dots()
    assert far(describe_image(Volume(image)), describe_image(Volume(500 * image + 3000))) < 0.01


def test_what_is_bright_and_how_large_it_is_do():
    descriptor = describe_image(Volume(dots()))
    assert far(descriptor, describe_image(Volume(-dots()))) > 1
    assert far(describe_image(Volume(texture(1.0))), describe_image(Volume(texture(4.0)))) > 1
    assert far(descriptor, describe_image(Volume(dots()[..., ::-1, :]))) < 0.3


def test_colour_is_looked_at_by_its_luminance():
    image = texture()
    colour = np.concatenate([image * share for share in (1.0, 0.5, 0.2)])
    assert far(describe_image(Volume(colour, channels=COLOUR)), describe_image(Volume(image))) < 0.01


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 1, 40), (1, 2, 700, 5), (3, 1, 64, 64)])
@pytest.mark.parametrize("fill", [0, 7.5, np.nan])
def test_constant_empty_and_tiny_images_have_a_look_too(shape, fill):
    descriptor = describe_image(Volume(np.full(shape, fill, np.float32)))
    assert len(descriptor) == 15
    assert np.isfinite(descriptor).all()


def test_the_middle_of_three_slices_is_looked_at():
    assert descriptor_boxes((40, 1000, 60)) == [((z, z + 1), (244, 756), (0, 60)) for z in (10, 20, 30)]
    assert descriptor_boxes((1, 5, 5)) == [((0, 1), (0, 5), (0, 5))]


def test_the_nearest_known_look_counts_in_spreads_of_all():
    near, other = [(0.0, 0.0), (10.0, 0.0)], [(4.0, 0.0)]
    spread = np.std([0, 10, 4])
    assert descriptor_distances((1.0, 0.0), [near, other, []]) == pytest.approx(
        [1 / spread / 2**0.5, 3 / spread / 2**0.5, np.inf], rel=1e-3
    )
    assert descriptor_distances((1.0, 0.0), [[], []]) == [np.inf, np.inf]
    assert descriptor_distances((1.0, 0.0), [[(1.0,), ()], [(1.0, 0.0, 0.0)]]) == [np.inf, np.inf]


@pytest.mark.parametrize("sample", list_samples(), ids=lambda sample: sample.name)
def test_the_right_model_is_proposed_for_the_samples_without_their_voxel_size(sample):
    volume = replace(load_volume(sample.image), grid=Grid())
    assert rank_models(list_models(), volume, describe_image(volume))[0].name == sample.model


def test_every_bundled_model_that_finds_something_says_what_its_images_look_like():
    for card in list_models():
        assert (len(card.looks) == 0) == card.is_start
        assert all(len(descriptor) == 15 for descriptor in card.looks)
