import pytest
import torch

from napari_unetseg.core.annotations.sparse_labels import IGNORE
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.patches import Batches, BatchSettings, Case, crop_at


def make_case(*size: int, weight: float = 1.0, value: float = 0.0) -> Case:
    labels = torch.zeros(size, dtype=torch.int8)
    return Case(torch.full((1, *size), value), labels, weight)


def test_a_batch_has_the_patch_size_even_from_smaller_images():
    batches = Batches([make_case(5, 30, 40)], BatchSettings((8, 16, 16), batch=3))
    image, labels = batches[0]
    assert image.shape == (3, 1, 8, 16, 16)
    assert labels.shape == (3, 8, 16, 16)
    assert labels.dtype == torch.long
    assert ((labels == IGNORE).sum(1) == 3).all()  # 5 of 8 slices are there


def test_a_step_gives_the_same_batch_whenever_it_is_asked_for():
    case = Case(torch.rand(1, 40, 40), torch.randint(3, (40, 40)))
    settings = BatchSettings((16, 16), augmentation=Augmentation(flip_axes=(0, 1), noise=0.2), seed=4)
    one, other = Batches([case], settings), Batches([case], settings)
    one[0]
    torch.testing.assert_close(one[7], other[7])
    assert not torch.equal(one[7][0], one[8][0])


def test_rare_classes_are_drawn_when_focused():
    labels = torch.zeros(100, 100, dtype=torch.int8)
    labels[80, 15] = 1
    case = Case(torch.zeros(1, 100, 100), labels)
    seen = sum(bool((Batches([case], BatchSettings((16, 16), 8, focus=1.0))[s][1] == 1).any()) for s in range(3))
    unfocused = Batches([case], BatchSettings((16, 16), 8, focus=0.0))
    assert seen == 3
    assert float((unfocused[0][1] == 1).float().sum(dim=(1, 2)).mean()) < 0.5


def test_sparse_paint_is_always_in_a_focused_patch():
    labels = torch.full((20, 64, 64), IGNORE)
    labels[3, 10:13, 50:55] = 0
    labels[17, 40, 8:12] = 1
    batches = Batches([Case(torch.zeros(1, 20, 64, 64), labels)], BatchSettings((8, 16, 16), 16, focus=1.0))
    for step in range(4):
        _, drawn = batches[step]
        assert (drawn != IGNORE).flatten(1).any(1).all()


def test_a_case_without_any_known_voxel_is_drawn_as_unknown():
    case = Case(torch.zeros(1, 20, 20), torch.full((20, 20), IGNORE))
    _, labels = Batches([case], BatchSettings((8, 8), focus=1.0))[0]
    assert (labels == IGNORE).all()


def test_cases_are_drawn_by_their_weight():
    cases = [
        make_case(20, 20, weight=3, value=0.0),
        make_case(20, 20, weight=1, value=1.0),
        make_case(20, 20, weight=0, value=9.0),
    ]
    image, _ = Batches(cases, BatchSettings((8, 8), batch=400))[0]
    drawn = image.amax(dim=(1, 2, 3))
    assert float(drawn.max()) == 1
    assert float(drawn.mean()) == pytest.approx(0.25, abs=0.07)


def test_crops_are_mirrored_outside_and_unknown_there():
    case = Case(torch.arange(5.0)[None], torch.arange(5))
    image, labels = crop_at(case, [-2], [9])
    assert image[0].tolist() == [2, 1, 0, 1, 2, 3, 4, 3, 2]
    assert labels.tolist() == [-1, -1, 0, 1, 2, 3, 4, -1, -1]


def test_zooming_out_sees_more_of_the_image():
    image = torch.linspace(0, 1, 64).expand(1, 64, 64).contiguous()
    case = Case(image, torch.zeros(64, 64, dtype=torch.int8))
    how = Augmentation(scale=(0.5, 0.5), warp_share=1)
    wide, labels = Batches([case], BatchSettings((16, 16), 8, augmentation=how))[0]
    inside = (labels != IGNORE).flatten(1).all(1)
    assert inside.any()
    span = wide[inside].amax(dim=(1, 2, 3)) - wide[inside].amin(dim=(1, 2, 3))
    assert span.tolist() == pytest.approx([30 / 63] * int(inside.sum()), abs=0.02)


def test_where_patches_lie_and_how_they_vary_can_be_given():
    """A placement is asked for the next place only when the last crop is cut, so both draw from one generator."""
    case = Case(torch.arange(36.0).reshape(1, 6, 6), torch.zeros(6, 6, dtype=torch.int8))
    drawn = []

    def corners(generator):
        for start in ([0, 0], [4, 4]):
            drawn.append("place")
            yield 0, start

    def vary(crops, generator):
        images, labels = [], []
        for image, classes in crops:
            drawn.append("vary")
            images.append(-image)
            labels.append(classes)
        return torch.stack(images), torch.stack(labels)

    image, labels = Batches([case], BatchSettings((2, 2)), corners, vary)[0]
    assert drawn == ["place", "vary", "place", "vary"]
    assert image.tolist() == [[[[0, -1], [-6, -7]]], [[[-28, -29], [-34, -35]]]]
    assert labels.shape == (2, 2, 2)
