import math

import numpy as np
import pytest
import torch
from training.synthetic_shapes import CLASSES, shapes_stack
from training.tasks import HeadsLoss, Task, joined

from napari_unetseg.core.annotations.sparse_labels import IGNORE
from napari_unetseg.engine.training.losses import painted_loss
from napari_unetseg.engine.training.patches import Case


def test_each_task_keeps_its_share_and_its_own_classes():
    image = torch.zeros(1, 2, 2)
    one = Task("one", 0.25, 2, [Case(image, torch.tensor([[0, 1], [IGNORE, 1]]), weight) for weight in (1, 3)])
    other = Task("other", 0.75, 3, [Case(image, torch.tensor([[0, 1], [2, IGNORE]]))])
    cases = joined([one, other])
    assert [case.weight for case in cases] == [0.0625, 0.1875, 0.75]
    assert cases[1].labels.tolist() == [[0, 1], [IGNORE, 1]]
    assert cases[2].labels.tolist() == [[2, 3], [4, IGNORE]]


def test_the_loss_of_a_patch_is_that_among_the_outputs_of_its_task():
    scores = torch.randn(3, 5, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.full((3, 4, 4), IGNORE)
    labels[0, :2] = 1
    labels[1, 1:] = 3
    labels[1, 0] = 2
    expected = painted_loss(scores[:1, :2], labels[:1]) / 3
    expected = expected + painted_loss(scores[1:2, 2:], torch.where(labels[1:2] < 0, IGNORE, labels[1:2] - 2)) / 3
    loss = HeadsLoss((2, 3))(scores, labels)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert not scores.grad[0, 2:].any()
    assert not scores.grad[1, :2].any()
    assert not scores.grad[2].any()


def test_the_loss_of_nothing_known_is_zero():
    scores = torch.randn(2, 5, 3, 3, requires_grad=True)
    loss = HeadsLoss((2, 3))(scores, torch.full((2, 3, 3), IGNORE))
    loss.backward()
    assert loss.item() == 0
    assert not scores.grad.any()


@pytest.mark.parametrize("seed", [3, 5])
def test_generated_shapes_are_finite_reproducible_and_differ_in_brightness(seed):
    stack, again = (shapes_stack((12, 48, 48), np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(stack.image, again.image)
    assert stack.image.shape == stack.objects.shape == (12, 48, 48)
    assert np.isfinite(stack.image).all()
    assert 1 < len(np.unique(stack.objects)) <= CLASSES
    means = [stack.image[stack.objects == value].mean() for value in np.unique(stack.objects)]
    assert max(means) - min(means) > 0.02 * stack.image.std()
    assert not math.isclose(means[0], means[1])
