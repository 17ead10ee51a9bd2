import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_unetseg.core.annotations.sparse_labels import IGNORE
from napari_unetseg.engine.training.losses import boundary_weights, class_weights, painted_loss

SHAPE = (2, 4, 6, 6)  # batch, z, y, x


def make_paint(share: float, classes: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(classes, SHAPE, generator=generator)
    target[torch.rand(SHAPE, generator=generator) >= share] = IGNORE
    return target


def make_scores(seed: int = 1) -> torch.Tensor:
    return torch.randn(SHAPE[0], 3, *SHAPE[1:], generator=torch.Generator().manual_seed(seed))


def loss_and_gradient(scores, target, **options):
    scores = scores.clone().requires_grad_()
    loss = painted_loss(scores, target, **options)
    loss.backward()
    return loss.detach(), scores.grad


@pytest.mark.parametrize("outside", [1e6, math.inf, math.nan])
def test_what_lies_outside_the_paint_changes_neither_loss_nor_gradient(outside):
    target = make_paint(0.1)
    scores = make_scores()
    changed = torch.where((target == IGNORE)[:, None], torch.tensor(outside), scores)
    loss, gradient = loss_and_gradient(scores, target)
    other_loss, other_gradient = loss_and_gradient(changed, target)
    torch.testing.assert_close(loss, other_loss, rtol=0, atol=0)
    torch.testing.assert_close(gradient, other_gradient, rtol=0, atol=0)
    unknown = (target == IGNORE)[:, None].expand_as(gradient)
    assert not gradient[unknown].any()
    assert gradient[~unknown].any()


def test_weight_zero_is_the_same_as_unknown():
    target = make_paint(1.0)
    weights = (make_paint(0.2, seed=3) != IGNORE).float()
    masked = torch.where(weights > 0, target, IGNORE)
    for by_weight, by_mask in zip(
        loss_and_gradient(make_scores(), target, weights=weights), loss_and_gradient(make_scores(), masked), strict=True
    ):
        torch.testing.assert_close(by_weight, by_mask)


def test_the_size_of_the_gradient_does_not_depend_on_how_sparse_the_paint_is():
    """The same voxel pattern, repeated over all or over a part of the batch, gives the same total gradient."""
    pattern, scores = make_paint(1.0)[:1], make_scores()[:1]
    dense_target, dense_scores = pattern.expand(8, -1, -1, -1), scores.expand(8, -1, -1, -1, -1)
    sparse_target = dense_target.clone()
    sparse_target[1:] = IGNORE
    dense_loss, dense = loss_and_gradient(dense_scores, dense_target)
    sparse_loss, sparse = loss_and_gradient(dense_scores, sparse_target)
    torch.testing.assert_close(dense_loss, sparse_loss)
    torch.testing.assert_close(dense.sum(0), sparse.sum(0))


@given(factor=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_a_common_factor_of_the_weights_does_not_count(factor):
    target, weights = make_paint(0.5), torch.rand(SHAPE, generator=torch.Generator().manual_seed(5))
    one, _ = loss_and_gradient(make_scores(), target, weights=weights)
    other, _ = loss_and_gradient(make_scores(), target, weights=weights * factor)
    torch.testing.assert_close(one, other)


def test_cross_entropy_agrees_with_torch():
    target, class_weights = make_paint(0.4), torch.tensor([1.0, 3.0, 0.5])
    loss = painted_loss(make_scores(), target, class_weights=class_weights, dice_share=0)
    torch.testing.assert_close(loss, F.cross_entropy(make_scores(), target, class_weights, ignore_index=IGNORE))


def test_soft_dice_by_hand():
    """Probabilities (0.8, 0.2) at a voxel of class 0 and (0.4, 0.6) at one of class 1."""
    scores = torch.tensor([[0.8, 0.4], [0.2, 0.6]]).log()[None, :, None]
    loss = painted_loss(scores, torch.tensor([[[0, 1]]]), dice_share=1)
    by_hand = 1 - (2 * 0.8 / (1.2 + 1) + 2 * 0.6 / (0.8 + 1)) / 2
    assert float(loss) == pytest.approx(by_hand, abs=1e-6)


def test_nothing_painted_gives_no_loss_and_no_gradient():
    loss, gradient = loss_and_gradient(make_scores(), torch.full(SHAPE, IGNORE))
    assert loss == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("voxels", [1, 20], ids=["one voxel", "one class"])
def test_one_class_only_is_defined_and_pulls_towards_it(voxels):
    target = torch.full(SHAPE, IGNORE)
    target.view(-1)[:voxels] = 2
    loss, gradient = loss_and_gradient(make_scores(), target)
    assert 0 < loss < 10
    painted = (target == 2)[:, None].expand_as(gradient)
    by_class = gradient.movedim(1, 0)[:, target == 2]
    assert torch.isfinite(gradient).all()
    assert (by_class[2] < 0).all()
    assert (by_class[:2] > 0).all()
    assert not gradient[~painted].any()


def test_a_perfect_prediction_costs_nothing():
    target = make_paint(1.0)
    scores = 100.0 * F.one_hot(target, 3).movedim(-1, 1)
    assert float(painted_loss(scores, target)) == pytest.approx(0, abs=1e-6)


def test_half_precision_scores_are_summed_in_float32():
    target = torch.zeros(1, 64, 64, 64, dtype=torch.long)
    scores = torch.zeros(1, 2, 64, 64, 64, dtype=torch.bfloat16)
    loss = painted_loss(scores, target)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(0.5 * math.log(2) + 0.5 * (1 - 2 / 3), abs=1e-4)


def test_voxels_near_a_painted_boundary_get_their_share():
    """Two columns on either side of where classes 0 and 1 meet are near it; unknown voxels hide a boundary."""
    target = torch.zeros(1, 8, 10, dtype=torch.long)
    target[:, :, 5:] = 1
    weights = boundary_weights(target, 0.6)
    near = torch.zeros(8, 10)
    near[:, 3:7] = 1
    assert float((weights[0] * near).sum() / weights.sum()) == pytest.approx(0.6 + 0.4 * 0.4)  # 4 of 10 have theirs
    assert float(weights.sum()) == pytest.approx(80)
    assert weights[0][near == 0].unique().tolist() == pytest.approx([0.4])
    torch.testing.assert_close(boundary_weights(target, 1.0)[0] > 0, near > 0)
    target[:, :, 3:7] = IGNORE
    torch.testing.assert_close(boundary_weights(target, 0.6), (target != IGNORE).float())


def test_boundaries_are_looked_for_within_slices_only():
    target = torch.zeros(1, 2, 4, 4, dtype=torch.long)
    target[:, 1] = 1
    assert torch.equal(boundary_weights(target, 1.0), torch.ones(1, 2, 4, 4))


def test_a_heavier_structure_pulls_harder():
    target = torch.tensor([[[0, 1]]])
    _, plain = loss_and_gradient(torch.zeros(1, 2, 1, 2), target, dice_share=0.0)
    weights = class_weights(2, 4.0, torch.device("cpu"))
    _, weighted = loss_and_gradient(torch.zeros(1, 2, 1, 2), target, class_weights=weights, dice_share=0.0)
    ratio = weighted[0, 1, 0].abs() / plain[0, 1, 0].abs()
    assert ratio.tolist() == pytest.approx([2 / 5, 8 / 5])  # shares 1/2 and 1/2 become 1/5 and 4/5
