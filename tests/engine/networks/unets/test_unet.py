"""The networks have the published shapes and counts, and the padded default takes any size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings, settings_for_spacing, unet3d_2016, unet_2015
from napari_unetseg.errors import SettingsError


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def shapes(settings: UNetSettings, size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes after every block, without computing anything."""
    with torch.device("meta"):
        network = UNet(settings)
        seen = []
        for module in [*network.down, *network.pool, *network.up, *network.merge, network.head]:
            module.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[1:])))
        network(torch.empty(1, settings.inputs, *size))
    return seen


def test_unet_2015_has_the_published_count_and_every_row_of_the_shape_table():
    assert parameters(UNet(unet_2015())) == 31_030_658
    assert shapes(unet_2015(), (572, 572)) == [
        (64, 568, 568), (64, 284, 284), (128, 280, 280), (128, 140, 140), (256, 136, 136), (256, 68, 68),
        (512, 64, 64), (512, 32, 32), (1024, 28, 28),
        (512, 56, 56), (512, 52, 52), (256, 104, 104), (256, 100, 100), (128, 200, 200), (128, 196, 196),
        (64, 392, 392), (64, 388, 388), (2, 388, 388),
    ]  # fmt: skip


def test_unet3d_2016_has_the_published_count_and_shapes():
    assert parameters(UNet(unet3d_2016())) == 19_069_955
    table = shapes(unet3d_2016(), (116, 132, 132))
    assert table[-1] == (3, 28, 44, 44)
    assert [row[0] for row in table] == [64, 64, 128, 128, 256, 256, 512, 512, 256, 256, 128, 128, 64, 3]


def test_3d_unet_widens_before_pooling():
    network = UNet(unet3d_2016())
    assert [(block[0][0].out_channels, block[1][0].out_channels) for block in network.down] == [
        (32, 64), (64, 128), (128, 256), (256, 512),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(571, 572), (60, 60)])
def test_unpadded_refuses_sizes_that_do_not_fit(size):
    with torch.device("meta"):
        network = UNet(unet_2015())
        with pytest.raises(SettingsError, match="unpadded"):
            network(torch.empty(1, 1, *size))


@given(size=st.tuples(*[st.integers(1, 21)] * 3), norm=st.sampled_from(["none", "batch", "group"]))
@settings(max_examples=12, deadline=None)
def test_padded_keeps_any_size(size, norm):
    network = UNet(UNetSettings(3, 2, 3, widths=(4, 8, 8), norm=norm)).eval()
    with torch.inference_mode():
        out = network(torch.rand(1, 2, *size))
    assert out.shape == (1, 3, *size)
    assert out.isfinite().all()


@pytest.mark.parametrize(
    ("spacing", "kernels_z", "pools_z"),
    [((1, 1, 1), [3, 3, 3, 3], [2, 2, 2]), ((3, 1, 1), [1, 3, 3, 3], [1, 2, 2]), ((10, 1, 1), [1, 1, 1, 3], [1, 1, 1])],
)
def test_kernels_and_poolings_follow_the_spacing(spacing, kernels_z, pools_z):
    plan = settings_for_spacing(spacing, 1, 2, (4, 8, 8, 8))
    assert [k[0] for k in plan.kernels] == kernels_z
    assert [p[0] for p in plan.pools] == pools_z
    assert all(k[1:] == (3, 3) for k in plan.kernels)
    assert all(p[1:] == (2, 2) for p in plan.pools)


def test_settings_go_through_json():
    plan = settings_for_spacing((3, 1, 1), 1, 2, (4, 8, 8))
    assert UNetSettings.from_json(plan.to_json()) == plan
    with pytest.raises(SettingsError, match="does not know"):
        UNetSettings.from_json({"colour": "blue"})


@pytest.mark.parametrize(
    "wrong", [{"dimensions": 4}, {"widths": (8,)}, {"pools": ((2, 2),)}, {"kernels": ((2, 2),) * 4}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(SettingsError, match="Expected"):
        UNetSettings(**wrong)


def test_every_weight_gets_a_gradient():
    network = UNet(UNetSettings(2, 1, 2, widths=(4, 8, 8), norm="instance"))
    network(torch.rand(2, 1, 24, 24)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


FIELDS = {
    "plain": UNetSettings(2, 1, 2, widths=(2, 2, 2), norm="none"),
    "two levels": UNetSettings(3, 1, 2, widths=(2, 2), norm="none"),
    "anisotropic": UNetSettings(
        3, 1, 2, (2, 2, 2), pools=((1, 2, 2), (3, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 5, 3)), norm="none"
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_its_field_of_view_is_how_far_any_voxel_sees(name):
    """Sums for maxima, and weights above 0: then the gradient is wherever a change would show."""
    settings = FIELDS[name]
    network, field = UNet(settings), architecture_of(settings).field_of_view
    average = torch.nn.AvgPool2d if settings.dimensions == 2 else torch.nn.AvgPool3d
    network.pool = torch.nn.ModuleList(average(step) for step in settings.pools)
    with torch.no_grad():
        for weights in network.parameters():
            weights.fill_(0.01).add_(0.5 / weights[0].numel())
    size = [step * -(-(2 * reach + step) // step) for reach, step in zip(field, settings.stride, strict=True)]
    size = [length + 2 * step for length, step in zip(size, settings.stride, strict=True)]
    for axis, step in enumerate(settings.stride):
        middle, seen = [length // 2 for length in size], []
        for offset in range(step):
            image = torch.ones(1, 1, *size, requires_grad=True)
            place = [*middle[:axis], middle[axis] // step * step + offset, *middle[axis + 1 :]]
            network(image)[(0, 1, *place)].backward()
            where = torch.nonzero(image.grad[0, 0])[:, axis] - place[axis]
            seen.append(int(where.abs().max()))
        assert max(seen) == field[axis]
