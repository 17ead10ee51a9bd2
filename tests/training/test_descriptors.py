"""Training images are looked at all over, and the same way each time."""

import torch
from training.descriptors import PLACES, appearance_of_cases

from napari_unetseg.core.models.appearance import describe_image
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.training.patches import Case


def case(seed, *shape):
    image = torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed)) ** (1 + seed / 20)
    return Case(image, torch.zeros(shape, dtype=torch.int8))


def test_each_of_few_cases_is_looked_at_several_times_whole_and_in_part():
    few = [case(seed, 40, 50) for seed in range(2)]
    found = appearance_of_cases(few)
    assert len(found.descriptors) == 2 * PLACES
    assert set(found.descriptors[::2]) == {describe_image(Volume(one.image.numpy()[:, None]))[0] for one in few}
    assert len(set(found.descriptors[1::2])) > PLACES // 2
    assert found.groups == (0,) * PLACES + (1,) * PLACES


def test_many_cases_are_spread_and_places_of_a_single_stack_are_groups():
    assert set(appearance_of_cases([case(seed, 9, 9) for seed in range(2 * PLACES)]).groups) == set(
        range(0, 2 * PLACES, 2)
    )
    stack = [case(0, 12, 600, 40)]
    found = appearance_of_cases(stack)
    assert len(set(found.descriptors)) > PLACES // 2
    assert found.groups[:4] == (0, 0, 1, 1)
    assert appearance_of_cases(stack) == found
