"""The network that predicts gives what the network that was trained gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.engine.networks.fused import FusedUNet, prepare
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings

CPU = torch.device("cpu")
ANISOTROPIC = {"pools": ((1, 2, 2), (3, 2, 2)), "kernels": ((1, 3, 3), (3, 3, 3), (3, 5, 3))}
KINDS = {
    "batch": UNetSettings(3, 1, 3, (4, 8, 16), norm="batch", conv_bias=False),
    "instance": UNetSettings(2, 2, 3, (4, 8, 16), norm="instance"),
    "group": UNetSettings(2, 1, 2, (8, 16), norm="group", conv_bias=False),
    "widened early": UNetSettings(3, 3, 2, (4, 8), norm="batch", widen_early=True, up_halves=False, up_bias=False),
    "anisotropic": UNetSettings(3, 1, 2, (4, 6, 8), norm="batch", **ANISOTROPIC),
}


def network(kind):
    """Random weights, with running statistics that folding would show if it got them wrong."""
    torch.manual_seed(0)
    result = UNet(kind).eval()
    for module in result.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 3)
    return result


def images(kind, batch=1, times=(5, 6, 3)):
    size = [step * count for step, count in zip(kind.stride, times, strict=False)]
    return torch.randn(batch, kind.inputs, *size, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
@pytest.mark.parametrize("chunk", [None, 1, 1000])
@pytest.mark.parametrize("name", KINDS)
def test_the_result_is_the_same(name, chunk):
    slow, image = network(KINDS[name]), images(KINDS[name], batch=2)
    kept = image.clone()
    fast = FusedUNet(slow, chunk=chunk)
    torch.testing.assert_close(fast(image), slow(image), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(image, kept, rtol=0, atol=0)


@torch.inference_mode()
@settings(deadline=None, max_examples=15)
@given(st.tuples(st.integers(1, 20), st.integers(1, 4), st.integers(1, 4)))
def test_chunks_meet_without_a_seam_at_any_size(times):
    slow, image = network(KINDS["batch"]), images(KINDS["batch"], times=times)
    torch.testing.assert_close(FusedUNet(slow, chunk=1)(image), slow(image), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_an_unpadded_network_gives_the_same_in_the_middle():
    """20 pixels are cut from each side of 60; two in front make its poolings fall where they fall without padding."""
    slow = network(UNetSettings(2, 1, 2, (4, 8, 16), padded=False, norm="batch"))
    image = torch.randn(1, 1, 60, 60, generator=torch.Generator().manual_seed(1))
    expected = slow(image)
    assert expected.shape[2:] == (20, 20)
    padded = FusedUNet(slow)(torch.nn.functional.pad(image, (2, 2, 2, 2)))
    torch.testing.assert_close(padded[..., 22:42, 22:42], expected, rtol=1e-4, atol=1e-5)


def test_preparing_leaves_the_network_as_it_is():
    slow = network(KINDS["batch"])
    before = {name: value.clone() for name, value in slow.state_dict().items()}
    fast = prepare(slow, CPU, torch.bfloat16)
    assert {parameter.dtype for parameter in fast.parameters()} == {torch.bfloat16}
    assert not any(isinstance(module, torch.nn.BatchNorm3d) for module in fast.modules())
    for name, value in slow.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("shape", [(1, 1, 16, 40, 40), (1, 1, 2, 8, 16), (2, 1, 16, 24, 24)])
def test_in_float32_no_convolution_unfolds_the_image(shape):
    """PyTorch's own one takes 4 bytes for each value of the kernel and voxel, and many times as long."""
    network = prepare(UNet(UNetSettings(3, 1, 2, (4, 8), norm="none")), torch.device("cpu"), torch.float32)
    with torch.inference_mode(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        network(torch.zeros(shape))
    names = {event.key for event in seen.key_averages()}
    assert "aten::mkldnn_convolution" in names
    assert "aten::slow_conv3d_forward" not in names
