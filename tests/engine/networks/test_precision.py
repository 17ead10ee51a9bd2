"""Half precision is used only where it is right: held against what the tests compute themselves."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from napari_unetseg.core.io.cache import FOLDER_VARIABLE, user_cache
from napari_unetseg.core.progress import finish
from napari_unetseg.engine.devices import processor
from napari_unetseg.engine.networks import precision
from napari_unetseg.engine.networks.fused import prepare
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
from napari_unetseg.engine.networks.unets.unet_architecture import UNetArchitecture
from napari_unetseg.engine.training.loop import TrainSettings, iter_train

CPU = torch.device("cpu")
PATCH = (2, 1, 32, 32)
LAYOUT = {2: torch.channels_last, 3: torch.channels_last_3d}


@pytest.fixture(autouse=True)
def no_memory(monkeypatch, tmp_path):
    """Nothing is remembered from other tests or runs, and every processor counts as one with bfloat16."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(precision, "_verdicts", {})
    monkeypatch.setattr(precision, "_used", {})
    monkeypatch.setattr(precision, "fast_dtype", lambda _device: torch.bfloat16)
    user_cache.cache_clear()
    yield
    user_cache.cache_clear()


def make_network(dimensions=2, widths=(8, 16), norm="batch", **options) -> UNet:
    torch.manual_seed(0)
    return UNet(UNetSettings(dimensions, 1, 2, widths=widths, norm=norm, **options))


class Spoiled(nn.Module):
    """A convolution with a fault in half precision alone: of its gradient, or of its result."""

    def __init__(self, conv: nn.Module, gradient=lambda g: g, result=lambda r: r) -> None:
        super().__init__()
        self.conv, self.gradient, self.result = conv, gradient, result

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = self.conv(image)
        if not torch.is_autocast_enabled("cpu"):
            return found
        if found.requires_grad:
            found.register_hook(self.gradient)
        return self.result(found)


def spoil(network: UNet, **fault) -> UNet:
    network.down[1][0][0] = Spoiled(network.down[1][0][0], **fault)
    return network


def different_at_each_call(gradient: torch.Tensor) -> torch.Tensor:
    """Garbage in the last bits only: far within what rounding explains, but not the same twice."""
    return gradient * (1 + 0.01 * torch.rand(()))


FAULTS = {
    "different at each call": different_at_each_call,
    "the wrong size": lambda g: 4 * g,
    "of a wrong sign": lambda g: -g,
    "zero": torch.zeros_like,
    "not finite": lambda g: g * float("inf"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_spoiled_gradient_is_found_out(fault):
    assert precision.training_dtype(spoil(make_network(), gradient=FAULTS[fault]), PATCH, CPU) == torch.float32


class FaultyConvolution(nn.Conv2d):
    """A layer with a fault in half precision alone, of its gradient."""

    gradient = staticmethod(torch.zeros_like)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = super().forward(image)
        if torch.is_autocast_enabled("cpu"):
            found.register_hook(self.gradient)
        return found


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_a_fault_behind_dead_units_is_found_out(fault):
    """No gradient reaches it now, and one will when the units come to life."""
    network = make_network(norm="none")
    layer = nn.Conv2d(8, 16, 3, padding=1) if fault is None else FaultyConvolution(8, 16, 3, padding=1)
    layer.gradient = FAULTS.get(fault)
    nn.init.constant_(layer.bias, -1e4)
    network.down[1][0][0] = layer
    expected = torch.bfloat16 if fault is None else torch.float32
    assert precision.training_dtype(network, PATCH, CPU) == expected


def reads_what_nobody_wrote() -> torch.dtype:
    """The precision for a network with a layer whose gradient holds what lay in freed memory."""
    network = make_network()
    network.down[1][0][0] = FaultyConvolution(8, 16, 3, padding=1)
    network.down[1][0][0].gradient = lambda g: g + torch.empty(50_000)[-1].to(g)
    return precision.training_dtype(network, PATCH, CPU)


def test_a_layer_that_reads_memory_which_nobody_wrote_is_found_out():
    """In a process of its own: where thousands of tests have freed memory, not all of it is filled."""
    script = "import test_precision as t; print(t.reads_what_nobody_wrote())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "torch.float32", done.stderr


def test_a_right_gradient_is_trusted():
    assert precision.training_dtype(make_network(), PATCH, CPU) == torch.bfloat16


class Patches:
    """The same blobs at every step."""

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(step)
        image = torch.randn(2, 1, 32, 32, generator=generator)
        return image, (image[:, 0] > 0).long()


def test_training_with_a_spoiled_operation_is_that_of_float32_and_says_so():
    trained = finish(iter_train(spoil(make_network(), gradient=FAULTS["zero"]), Patches(), TrainSettings(6, half=True)))
    exact = finish(iter_train(spoil(make_network()), Patches(), TrainSettings(6)))
    assert trained.notes == (precision.NOTE.format(processor(CPU)),)
    assert exact.notes == ()
    for one, other in zip(trained.network.parameters(), exact.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_fresh_refiner_s_head_of_zeros_hides_no_fault():
    network = spoil(make_network(), gradient=FAULTS["zero"])
    nn.init.zeros_(network.head.weight)
    assert precision.training_dtype(network, PATCH, CPU) == torch.float32
    assert not network.head.weight.any()  # the network itself is left alone


def test_spoiled_features_are_found_out():
    shape = (1, 1, 40, 24)
    with precision.half_precision(make_network(), shape, CPU):
        assert torch.is_autocast_enabled("cpu")
    with precision.half_precision(spoil(make_network(norm="none"), result=lambda r: 2 * r), shape, CPU):
        assert not torch.is_autocast_enabled("cpu")


def test_a_spoiled_prediction_is_found_out(monkeypatch):
    shape = (1, 1, 40, 24)
    assert precision.prediction_dtype(make_network(), shape, CPU) == torch.bfloat16

    def spoiled(network, device, dtype):
        fast = prepare(network, device, dtype)
        return (lambda image: fast(image).roll(1, -1)) if dtype == torch.bfloat16 else fast

    monkeypatch.setattr(UNetArchitecture, "prepare", lambda _self, *asked: spoiled(*asked))
    assert precision.prediction_dtype(make_network(norm="none"), shape, CPU) == torch.float32


def gradients(network: UNet, image: torch.Tensor, classes: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    network = copy.deepcopy(network)
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        scores = network(image)
    nn.functional.cross_entropy(scores.float(), classes).backward()
    return torch.cat([weights.grad.flatten() for weights in network.parameters()])


@pytest.mark.parametrize("depth", range(1, 10))
@pytest.mark.parametrize("dimensions", [2, 3])
def test_what_is_trusted_is_right_at_every_depth(dimensions, depth):
    """Depths of the coarsest image; a 3D convolution over two slices is where one processor's kernels were wrong."""
    network = make_network(dimensions, widths=(8, 16, 16, 32)).to(memory_format=LAYOUT[dimensions])
    shape = (2, 1, 8 * depth, *(16,) * (dimensions - 1))
    dtype = precision.training_dtype(network, shape, CPU)
    image = torch.randn(shape).contiguous(memory_format=LAYOUT[dimensions])
    classes = (nn.functional.avg_pool3d if dimensions == 3 else nn.functional.avg_pool2d)(image, 3, 1, 1)[:, 0] > 0
    exact = gradients(network, image, classes.long(), torch.float32)
    first, second = (gradients(network, image, classes.long(), dtype) for _ in range(2))
    assert torch.equal(first, second)
    assert (first - exact).norm() < 0.4 * exact.norm()


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("depth", [1, 2, 3, 5, 9])
def test_what_is_trusted_predicts_right_at_every_depth(dimensions, depth):
    network = make_network(dimensions, widths=(8, 16, 16, 32)).eval()
    shape = (1, 1, 8 * depth, *(16,) * (dimensions - 1))
    dtype = precision.prediction_dtype(network, shape, CPU)
    image = torch.randn(shape)
    with torch.inference_mode():
        found, exact = prepare(network, CPU, dtype)(image).float(), network(image)
    assert (found - exact).norm() < 0.2 * (exact - exact.mean()).norm()


def test_a_verdict_is_remembered_by_the_next_process(monkeypatch):
    network = make_network()
    precision.training_dtype(network, PATCH, CPU)
    precision._verdicts.clear()  # as another process has none
    monkeypatch.setattr(precision, "gradients_agree", lambda *_: pytest.fail("It was looked at again."))
    assert precision.training_dtype(network, PATCH, CPU) == torch.bfloat16


@pytest.mark.parametrize("other", ["shape", "settings", "threads"])
def test_another_shape_network_or_number_of_threads_is_looked_at_itself(monkeypatch, other):
    precision.training_dtype(make_network(), PATCH, CPU)
    looked_at = []
    monkeypatch.setattr(precision, "gradients_agree", lambda *_: not looked_at.append("again"))
    if other == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    shape = (2, 1, 16, 32) if other == "shape" else PATCH
    precision.training_dtype(make_network(widths=(8, 24)) if other == "settings" else make_network(), shape, CPU)
    assert looked_at == ["again"]


def test_a_repeated_run_never_chooses_again(monkeypatch):
    network = make_network()
    precision.training_dtype(network, PATCH, CPU)
    recorded = precision.choices()
    assert list(recorded.values()) == ["bfloat16"]
    monkeypatch.setattr(precision, "fast_dtype", lambda _device: torch.float32)  # as on a processor without bfloat16
    with precision.repeated(recorded):
        assert precision.training_dtype(network, PATCH, CPU) == torch.bfloat16
    assert precision.training_dtype(network, PATCH, CPU) == torch.float32


def test_without_half_precision_nothing_is_looked_at_or_said(monkeypatch):
    monkeypatch.setattr(precision, "fast_dtype", lambda _device: torch.float32)
    monkeypatch.setattr(precision, "gradients_agree", lambda *_: pytest.fail("There is nothing to look at."))
    assert precision.training_dtype(make_network(), PATCH, CPU) == torch.float32
    assert precision.note_of(torch.float32, CPU) == ()


def test_large_batches_are_looked_at_in_part():
    assert precision._part_of_batch((2, 1, 32, 64, 64), (8, 8, 8)) == (2, 1, 32, 64, 64)
    assert precision._part_of_batch((8, 1, 32, 64, 64), (8, 8, 8)) == (1, 1, 32, 64, 64)
    assert precision._part_of_batch((2, 3, 12, 256, 256), (8, 8, 8)) == (1, 3, 16, 40, 40)
