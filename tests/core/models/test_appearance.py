"""What an image looks like does not depend on how it is stored, and does on what is in it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import load_volume
from napari_unetseg.core.io.samples import list_samples
from napari_unetseg.core.models.appearance import (
    LENGTH,
    VERSION,
    appearance_of_volumes,
    describe_image,
    descriptor_boxes,
)
from napari_unetseg.core.models.catalogue import list_models
from napari_unetseg.core.models.selection import propose_model
from napari_unetseg.core.volume import COLOUR, Volume


def texture(sigma=2.0, shape=(1, 1, 300, 280)):
    noise = np.random.default_rng(0).normal(size=shape)
    return ndimage.gaussian_filter(noise, (0, 0, sigma, sigma)).astype(np.float32)


def dots():
    """Bright dots on a dark ground."""
    image = texture(4.0)
    return np.maximum(image - np.percentile(image, 80), 0)


def far(one, other):
    """The largest difference of numbers that both have; they must have the same."""
    one, other = (np.array(descriptors, float) for descriptors in (one, other))
    assert np.array_equal(np.isnan(one), np.isnan(other))
    return np.nanmax(np.abs(one - other))


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
    descriptors = describe_image(Volume(np.full(shape, fill, np.float32)))
    assert {len(descriptor) for descriptor in descriptors} == {LENGTH}
    assert all(number is None or np.isfinite(number) for descriptor in descriptors for number in descriptor)
    assert all((None in descriptor) for descriptor in descriptors)  # none is so large that it has six octaves


def test_a_small_slice_has_no_coarse_octaves():
    small, large = (describe_image(Volume(texture(shape=(1, 1, side, side))))[0] for side in (40, 500))
    assert None not in large
    assert 0 < small.count(None) < LENGTH / 2
    assert describe_image(Volume(np.zeros((1, 2, 20, 20)))) == describe_image(Volume(np.ones((1, 2, 20, 20))))


def test_a_volume_s_own_slices_and_parts_of_them_make_its_appearance():
    volumes = [Volume(texture(sigma, (1, 9, 70, 60))) for sigma in (1.0, 3.0)]
    appearance = appearance_of_volumes(volumes)
    assert appearance.version == VERSION
    assert appearance.groups == (0,) * 6 + (1,) * 6
    assert set(describe_image(volumes[1])) <= set(appearance.descriptors[6:])
    assert appearance_of_volumes(volumes) == appearance


def test_the_middle_of_three_slices_is_looked_at():
    assert descriptor_boxes((40, 1000, 60)) == [((z, z + 1), (244, 756), (0, 60)) for z in (10, 20, 30)]
    assert descriptor_boxes((1, 5, 5)) == [((0, 1), (0, 5), (0, 5))]


@pytest.mark.parametrize("sample", list_samples(), ids=lambda sample: sample.name)
def test_the_right_model_is_proposed_for_the_samples_without_their_voxel_size(sample):
    volume = replace(load_volume(sample.image), grid=Grid())
    proposal = propose_model(list_models(), volume, describe_image(volume))
    assert proposal.ranked[0].name == sample.model
    assert proposal.is_likely


def test_every_bundled_model_that_finds_something_says_what_its_images_look_like():
    for card in list_models():
        assert (card.appearance is None) == card.is_start
        if card.appearance is not None:
            assert card.appearance.version == VERSION
            assert card.appearance.table.shape == (256, LENGTH)
