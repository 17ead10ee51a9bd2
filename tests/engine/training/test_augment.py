import dataclasses
import math

import pytest
import torch

from napari_unetseg.core.annotations.sparse_labels import IGNORE
from napari_unetseg.engine.training.augment import Augmentation, augment, move, recolour

STRONG = Augmentation(
    flip_axes=(0, 1, 2), turn_planes=((1, 2),), rotation=30, scale=(0.8, 1.25), elastic=2, warp_share=1, contrast=0.5,
    brightness=0.2, gamma=0.5, inversion=0.5, noise=0.2, blur=1.5, low_resolution=2, share=1,
)  # fmt: skip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_batch(*size: int, count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.rand(count, 1, *size, generator=generator(1))
    return image, (4 * image[:, 0]).long()


def test_the_defaults_change_nothing():
    image, labels = make_batch(5, 6, 7)
    same_image, same_labels = augment(image, labels, (5, 6, 7), Augmentation(), generator())
    torch.testing.assert_close(same_image, image)
    assert torch.equal(same_labels, labels)


@pytest.mark.parametrize("size", [(8, 9), (9, 9), (6, 8, 8)])
def test_flips_and_turns_are_exact_and_move_labels_along(size):
    _, labels = make_batch(*size, count=8)
    planes = ((len(size) - 2, len(size) - 1),) if size[-1] == size[-2] else ()
    how = Augmentation(flip_axes=tuple(range(len(size))), turn_planes=planes)
    moved, classes = move(labels[:, None].float(), labels, size, how, generator())
    torch.testing.assert_close(moved[:, 0], classes.float())
    assert torch.equal(classes.flatten(1).sort()[0], labels.flatten(1).sort()[0])
    assert not torch.equal(classes, labels)


def test_quarter_turns_can_be_left_out_where_things_lie_one_way_round():
    _, labels = make_batch(9, 9, count=8)
    how = Augmentation(turn_planes=((0, 1),), quarter_turns=False)
    _, classes = move(labels[:, None].float(), labels, (9, 9), how, generator())
    assert torch.equal(classes, labels)


def test_image_and_labels_stay_together_under_every_warp():
    """Labels are the sign of a smooth image: wherever the moved image is clear of 0, the moved labels agree."""
    z, y, x = (torch.linspace(-3, 3, n) for n in (16, 24, 24))
    smooth = torch.sin(z)[:, None, None] + torch.sin(y)[None, :, None] + torch.cos(x)[None, None]
    image, labels = smooth.expand(6, 1, -1, -1, -1), (smooth > 0).long().expand(6, -1, -1, -1)
    moved, classes = move(image, labels, (12, 16, 16), STRONG, generator())
    clear = moved[:, 0].abs() > 0.35
    assert clear.float().mean() > 0.5
    known = classes != IGNORE
    assert torch.equal(classes[clear & known], (moved[:, 0] > 0).long()[clear & known])


def test_what_lies_outside_the_crop_is_unknown():
    image, labels = make_batch(16, 16)
    how = Augmentation(scale=(0.5, 0.5), warp_share=1)
    _, classes = move(image, labels, (16, 16), how, generator())
    assert (classes[:, :3] == IGNORE).all()
    assert (classes[:, 5:11, 5:11] != IGNORE).all()


def test_magnification_makes_things_larger():
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    labels[:, 12:20, 12:20] = 1
    how = Augmentation(scale=(2, 2), warp_share=1)
    _, classes = move(labels[:, None].float(), labels, (32, 32), how, generator())
    assert int((classes == 1).sum()) == 16 * 16


def test_unknown_labels_stay_unknown():
    image, labels = make_batch(12, 12)
    labels[:, ::2] = IGNORE
    _, classes = move(image, labels, (12, 12), Augmentation(flip_axes=(0, 1)), generator())
    assert int((classes == IGNORE).sum()) == int((labels == IGNORE).sum())


def test_axes_of_unequal_spacing_are_never_mixed():
    """Each z slice holds its own number; in-plane warps must leave it there."""
    slices = torch.arange(8.0)[:, None, None].expand(1, 1, 8, 24, 24)
    how = dataclasses.replace(STRONG, flip_axes=(1, 2), scale=(1, 1))
    moved, _ = move(slices, slices[:, 0].long(), (8, 16, 16), how, generator())
    torch.testing.assert_close(moved, slices[..., :16, :16].contiguous())


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_patches(seed):
    image, labels = make_batch(12, 16, 16)
    one, other, third = (augment(image, labels, (8, 12, 12), STRONG, generator(s)) for s in (seed, seed, seed + 1))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert not torch.equal(one[0], third[0])


def test_every_change_of_intensity_stays_finite_and_keeps_the_shape():
    image, _ = make_batch(9, 10, 11)
    for batch in (image, torch.zeros_like(image), 1e4 * image):
        changed = recolour(batch, STRONG, generator())
        assert changed.shape == batch.shape
        assert torch.isfinite(changed).all()


def test_inversion_swaps_dark_and_bright():
    image, _ = make_batch(10, 10)
    torch.testing.assert_close(recolour(image, Augmentation(inversion=1), generator()), 1 - image)


def test_noise_has_the_drawn_size():
    how = Augmentation(noise=0.2, share=1)
    deviations = [float(recolour(torch.zeros(1, 1, 64, 64), how, generator(s)).std()) for s in range(40)]
    assert max(deviations) < 0.22
    assert sum(deviations) / 40 == pytest.approx(0.1, abs=0.03)


def test_blur_keeps_a_constant_image_and_the_sum_of_a_spot():
    how = Augmentation(blur=1.5, share=1)
    constant = torch.full((2, 1, 9, 9, 9), 0.7)
    torch.testing.assert_close(recolour(constant, how, generator()), constant)
    spot = torch.zeros(1, 1, 21, 21)
    spot[..., 10, 10] = 1
    blurred = [recolour(spot, how, generator(s)) for s in range(6)]
    assert [float(image.sum()) for image in blurred] == pytest.approx([1] * 6, abs=1e-4)
    assert min(float(image.max()) for image in blurred) < 0.3


def test_reach_covers_the_smallest_magnification():
    assert Augmentation(scale=(0.5, 2)).reach == 2
    assert Augmentation(scale=(1, 2)).reach == 1
    assert math.isclose(Augmentation(scale=(0.8, 1)).reach, 1.25)
