import torch

from napari_unetseg.engine.networks.padding import grow_to_multiple, mirror_pad


def test_borders_are_mirrored_without_repeating_the_border_voxel():
    row = torch.arange(4.0).view(1, 1, 1, 4)
    assert mirror_pad(row, [(0, 0), (2, 1)]).flatten().tolist() == [2, 1, 0, 1, 2, 3, 2]


def test_where_it_is_too_thin_the_border_is_repeated():
    row = torch.tensor([5.0, 6.0]).view(1, 1, 1, 2)
    assert mirror_pad(row, [(0, 0), (2, 0)]).flatten().tolist() == [5, 5, 5, 6]


def test_nothing_to_pad_gives_the_image_itself():
    image = torch.rand(1, 2, 3, 4, 5)
    assert mirror_pad(image, [(0, 0)] * 3) is image


def test_growing_leaves_the_beginning_where_it_is():
    image = torch.rand(2, 1, 5, 8)
    grown = grow_to_multiple(image, (4, 4))
    assert grown.shape == (2, 1, 8, 8)
    assert torch.equal(grown[:, :, :5], image)
    assert torch.equal(grown[:, :, 5:], image[:, :, [3, 2, 1]])
