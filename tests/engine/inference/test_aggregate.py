"""Ones in, ones out; probabilities become structures, cores and labels as they should."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.geometry.tiles import Needs, blend_weights, plan_tiles
from napari_unetseg.core.volume import Structure
from napari_unetseg.core.voxels import ArraySink
from napari_unetseg.engine.inference.aggregate import Blender, LabelAggregator, Sinks

ONE = (Structure(label=1, name="a", colour="#ff0000", channels=(1,)),)
TWO = (
    Structure(label=1, name="a", colour="#ff0000", channels=(1, 2), seed_channel=2),
    Structure(label=2, name="b", colour="#00ff00", channels=(3,)),
)


class Canvas:
    """An aggregator and the arrays that it writes to."""

    def __init__(self, shape, structures):
        self.classes, self.seeds = np.zeros(shape, np.uint8), np.zeros(shape, bool)
        self.probabilities = np.zeros((len(structures) + 1, *shape), np.float16)
        arrays = (self.classes, self.seeds, self.probabilities)
        self.aggregator = LabelAggregator(structures, Sinks(*map(ArraySink, arrays)))


def blended(shape, size, halo, outputs_of, order=lambda tiles: tiles):
    aggregator = Canvas(shape, ONE)
    tiles = plan_tiles(shape, size, Needs((2, 2, 2), halo), blend=True)
    blender = Blender(aggregator.aggregator, [tile.fills for tile in tiles])
    for tile in order(tiles):
        seen = [np.arange(*span) for span in tile.seen]
        inside = [slice(fill[0] - see[0], fill[1] - see[0]) for fill, see in zip(tile.fills, tile.seen, strict=True)]
        whole = blend_weights(tuple(len(axis) for axis in seen))
        weights = [torch.from_numpy(axis[part]) for axis, part in zip(whole, inside, strict=True)]
        blender.add(tile.fills, outputs_of(tile), weights)
    return aggregator


def sized(tile, values):
    shape = [stop - start for start, stop in tile.fills]
    return torch.tensor(values)[:, None, None, None].expand(-1, *shape).clone()


@settings(deadline=None, max_examples=25)
@given(st.tuples(*[st.integers(1, 23)] * 3), st.tuples(*[st.integers(6, 16)] * 3))
def test_ones_in_ones_out(shape, size):
    aggregator = blended(shape, size, (1, 2, 2), lambda tile: sized(tile, [0.25, 0.75]))
    np.testing.assert_allclose(aggregator.probabilities[0], 0.25, atol=1e-3)
    np.testing.assert_allclose(aggregator.probabilities[1], 0.75, atol=1e-3)
    assert (aggregator.classes == 1).all()


def test_a_blended_image_is_the_image():
    image = torch.rand(1, 13, 21, 17, generator=torch.Generator().manual_seed(0))
    both = torch.cat([1 - image, image])
    aggregator = blended(
        image.shape[1:], (8, 8, 8), (2, 2, 2), lambda tile: both[:, *(slice(*span) for span in tile.fills)].clone()
    )
    np.testing.assert_allclose(aggregator.probabilities[1], image[0], atol=1e-3)
    np.testing.assert_array_equal(aggregator.classes, (image[0] > 0.5).numpy())


@pytest.mark.parametrize("seed", range(3))
def test_tiles_in_any_order_give_the_same_to_the_last_bit(seed):
    image = torch.rand(2, 13, 21, 17, generator=torch.Generator().manual_seed(0)).softmax(0)
    image = image * torch.linspace(0.1, 1, 13)[:, None, None]  # the tiles disagree about nothing, sums still round

    def outputs(tile):
        return image[:, *(slice(*span) for span in tile.fills)] / (1 + sum(span[0] for span in tile.fills))

    shuffled = np.random.default_rng(seed).permutation
    planned = blended(image.shape[1:], (8, 8, 8), (2, 2, 2), outputs)
    mixed = blended(image.shape[1:], (8, 8, 8), (2, 2, 2), outputs, lambda t: [t[i] for i in shuffled(len(t))])
    np.testing.assert_array_equal(mixed.probabilities, planned.probabilities)
    np.testing.assert_array_equal(mixed.classes, planned.classes)


def test_only_a_slab_is_held():
    boxes = [((start, start + 10), (0, 4), (0, 4)) for start in range(0, 91, 5)]
    aggregator = Canvas((100, 4, 4), ONE)
    blender = Blender(aggregator.aggregator, boxes)
    ones = [torch.ones(10), torch.ones(4), torch.ones(4)]
    for box in boxes:
        blender.add(box, torch.ones(2, 10, 4, 4), ones)
        assert blender.sums.shape[1] <= 10
        assert not blender.waiting
    assert (aggregator.probabilities == 1).all()


def test_a_structure_is_the_sum_of_its_outputs_and_its_cores_are_where_the_seed_is_largest():
    outputs = torch.tensor(
        [  # background, a's rim, a's core, b
            [0.40, 0.35, 0.20, 0.05],  # a: together its outputs are more than the background
            [0.30, 0.25, 0.35, 0.10],  # a, a core
            [0.60, 0.05, 0.30, 0.05],  # background, though the seed is a's largest
            [0.10, 0.20, 0.25, 0.45],  # a is 0.45 as b is: the first of equals
            [0.10, 0.10, 0.10, 0.70],  # b
        ]
    ).T.reshape(4, 1, 1, 5)
    aggregator = Canvas((1, 1, 5), TWO)
    aggregator.aggregator.write(((0, 1), (0, 1), (0, 5)), outputs)
    assert aggregator.classes.ravel().tolist() == [1, 1, 0, 1, 2]
    assert aggregator.seeds.ravel().tolist() == [False, True, False, True, False]
    np.testing.assert_allclose(aggregator.probabilities[:, 0, 0, 0], [0.40, 0.55, 0.05], atol=1e-3)


def test_nothing_is_computed_that_has_no_sink():
    classes = np.zeros((1, 1, 5), np.uint8)
    LabelAggregator(TWO, Sinks(ArraySink(classes))).write(((0, 1), (0, 1), (2, 4)), torch.eye(4)[:, None, None, 1:3])
    assert classes.ravel().tolist() == [0, 0, 1, 1, 0]


@pytest.mark.parametrize("outputs", [2, 3, 9])
def test_classes_are_the_argmax(outputs):
    probabilities = torch.rand(outputs, 4, 5, 6, generator=torch.Generator().manual_seed(outputs)).softmax(0)
    structures = tuple(Structure(label=i, name=str(i), colour="#000000", channels=(i,)) for i in range(1, outputs))
    aggregator = Canvas((4, 5, 6), structures)
    aggregator.aggregator.write(((0, 4), (0, 5), (0, 6)), probabilities)
    np.testing.assert_array_equal(aggregator.classes, probabilities.argmax(0))
