"""The teacher is heard where nobody painted, and only about what it knows."""

import pytest
import torch
from torch.nn import functional as F

from napari_unetseg.core.annotations.sparse_labels import IGNORE
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
from napari_unetseg.engine.training.distillation import DistillationBatches, DistillationLoss
from napari_unetseg.engine.training.losses import painted_loss
from napari_unetseg.engine.training.patches import Batches, BatchSettings, Case


def make_target():
    """Classes (2, 4, 4), the upper half unknown, and a teacher's probabilities of two outputs."""
    classes = torch.full((2, 4, 4), IGNORE)
    classes[:, 2:] = 1
    opinion = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0)).softmax(1)
    return torch.cat([classes[:, None].float(), opinion], dim=1)


def test_unknown_voxels_follow_the_teacher_and_painted_ones_the_paint():
    target = make_target()
    scores = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    classes, opinion = target[:, 0].long(), target[:, 1:]
    entropy = F.cross_entropy(scores[:, :2], opinion, reduction="none")[:, :2].mean()
    expected = painted_loss(scores, classes) + 0.5 * entropy
    torch.testing.assert_close(DistillationLoss(painted_loss, 0.5)(scores, target), expected)


def test_it_says_nothing_about_a_structure_that_it_does_not_know():
    target = make_target()
    scores = torch.zeros(2, 3, 4, 4, requires_grad=True)
    DistillationLoss(lambda *_: torch.tensor(0.0))(scores, target).backward()
    assert not scores.grad[:, 2].any()
    assert not scores.grad[:, :, 2:].any()
    assert scores.grad[:, :2, :2].any()


def test_where_all_is_painted_only_the_paint_counts():
    target = make_target()
    target[:, 0] = 1
    scores = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        DistillationLoss(painted_loss)(scores, target), painted_loss(scores, target[:, 0].long())
    )


@torch.no_grad()
def test_the_teacher_sees_the_patches_as_they_are_trained_on():
    torch.manual_seed(0)
    teacher = UNet(UNetSettings(2, 1, 2, widths=(4, 8), norm="batch"))
    labels = torch.full((20, 20), IGNORE, dtype=torch.int8)
    labels[5:9, 5:9] = 1
    batches = Batches([Case(torch.rand(1, 20, 20), labels)], BatchSettings((16, 16), batch=2))
    image, target = DistillationBatches(batches, teacher)[3]
    expected_image, expected_labels = batches[3]
    torch.testing.assert_close(image, expected_image)
    assert torch.equal(target[:, 0].long(), expected_labels)
    torch.testing.assert_close(target[:, 1:], teacher.eval()(image).softmax(1))
    assert float(target[:, 1:].sum(1).mean()) == pytest.approx(1)
