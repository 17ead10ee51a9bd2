"""Training images are looked at all over, and the same way each time."""

import torch
from training.looks import LOOKS, looks_of

from napari_unetseg.core.models.appearance import look_of
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.training.patches import Case


def case(seed, *shape):
    image = torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed)) ** (1 + seed / 20)
    return Case(image, torch.zeros(shape, dtype=torch.int8))


def test_each_of_few_cases_is_looked_at_several_times_and_many_are_spread():
    few = [case(seed, 20, 30) for seed in range(2)]
    looks = looks_of(few)
    assert len(looks) == LOOKS
    assert set(looks) == {look_of(Volume(one.image.numpy()[:, None])) for one in few}
    assert looks.count(looks[0]) == LOOKS // 2
    assert len(set(looks_of([case(seed, 9, 9) for seed in range(2 * LOOKS)]))) == LOOKS


def test_slices_and_places_of_a_stack_differ_and_come_again():
    stack = [case(0, 12, 600, 40)]
    looks = looks_of(stack)
    assert len(set(looks)) > LOOKS // 2
    assert looks_of(stack) == looks
