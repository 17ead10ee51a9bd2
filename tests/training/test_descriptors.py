"""Training images are looked at all over, and the same way each time."""

import torch
from training.descriptors import DESCRIPTORS, descriptors_of

from napari_unetseg.core.models.appearance import describe_image
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.training.patches import Case


def case(seed, *shape):
    image = torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed)) ** (1 + seed / 20)
    return Case(image, torch.zeros(shape, dtype=torch.int8))


def test_each_of_few_cases_is_looked_at_several_times_and_many_are_spread():
    few = [case(seed, 20, 30) for seed in range(2)]
    descriptors = descriptors_of(few)
    assert len(descriptors) == DESCRIPTORS
    assert set(descriptors) == {describe_image(Volume(one.image.numpy()[:, None])) for one in few}
    assert descriptors.count(descriptors[0]) == DESCRIPTORS // 2
    assert len(set(descriptors_of([case(seed, 9, 9) for seed in range(2 * DESCRIPTORS)]))) == DESCRIPTORS


def test_slices_and_places_of_a_stack_differ_and_come_again():
    stack = [case(0, 12, 600, 40)]
    descriptors = descriptors_of(stack)
    assert len(set(descriptors)) > DESCRIPTORS // 2
    assert descriptors_of(stack) == descriptors
