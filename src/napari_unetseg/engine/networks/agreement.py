"""Agreement of half precision with float32: a network is run both ways on generated images, whole and by layers.

Layers are run alone as well, because their faults can hide in a network: behind units that are dead, or because a
kernel that reads memory which nobody wrote happened to find there what an equal run had left.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from napari_unetseg.engine.networks.fused import LAYOUT
from napari_unetseg.engine.networks.network import Network

Shape = tuple[int, ...]
Gradients = list[torch.Tensor]

EPS_OF_LAYERS, EPS_OF_GRADIENTS, EPS_OF_BIASES, EPS_OF_SCORES = 8, 64, 8, 16
"""How far half precision may lie from float32, in units of its rounding error.

Measured in bfloat16, whose unit is 0.008: gradients of single layers differ by 0.002 to 0.005 of their norm, those of
two to four levels by 0.1 to 0.4 (signs of activations near zero change), garbage by 0.9 or more; scores of bundled
models by 0.003 to 0.03 of their spread. Biases before a normalisation have a gradient of zero, and rounding is all that
is computed: they may also differ by their share of the whole gradient.
"""
POISON = (math.nan, 1e30, 0.0)
"""What freed memory is filled with before each of some equal runs, so that a kernel that reads it is found out."""


def gradients_agree(network: Network, shape: Shape, device: torch.device, half: torch.dtype) -> bool:
    """Whether half precision gives nearly the gradients of float32, and on a CPU the same ones at every run.

    Parameters
    ----------
    network : Network
        It is left as it is.
    shape : (N, C, [Z,] Y, X)
        Of the batch.
    device : torch.device
    half : torch.dtype
    """
    probe = _probe(network).to(device)
    image = generated_image(shape).to(device, memory_format=LAYOUT[len(shape) - 2])
    if not all(_layer_agrees(layer, seen, half) for layer, seen in _layers(probe, image)):
        return False
    classes = _classes(shape, network.settings.outputs).to(device)
    runs = [_gradients(probe, image, classes, half, poison) for poison in POISON]
    full = _gradients(probe, image, classes, torch.float32)
    return _are_equal(runs) and all(_network_agrees(run, full, half) for run in runs)


def scores_agree(pair: Sequence[torch.Tensor], dtype: torch.dtype) -> bool:
    """Whether half precision lies near float32, beside the spread of its scores over the image."""
    half, full = (scores.float() for scores in pair)
    spread = full - full.mean(dim=tuple(range(2, full.dim())), keepdim=True)
    allowed = EPS_OF_SCORES * torch.finfo(dtype).eps * spread.norm()
    return bool((half - full).norm() <= allowed + 1e-6 * full.norm())


def fill_free_memory(value: float, device: torch.device) -> None:
    """Leave a value in memory that is freed again, in blocks of many sizes."""
    blocks = [torch.full((2**power,), value, device=device) for power in range(8, 22) for _ in range(2)]
    del blocks


def generated_image(shape: Shape) -> torch.Tensor:
    """Blobs and noise, of mean 0 and deviation about 1, the same at every call."""
    return _blobs(shape, seed=0) + 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


def _probe(network: Network) -> Network:
    """A copy in which no weights are all zero, as a fresh refiner's head is: that would hide every other gradient."""
    probe = copy.deepcopy(network).requires_grad_(True).train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in probe.parameters():
            if weights.dim() > 1 and not weights.any():
                weights.copy_(torch.randn(weights.shape, generator=generator) / math.sqrt(weights[0].numel()))
    return probe


def _layers(network: Network, image: torch.Tensor) -> list[tuple[nn.Module, torch.Tensor]]:
    """Layers with weights of their own that differ in kind or in the shape of what they see, each with what it sees."""
    found: dict[str, tuple[nn.Module, torch.Tensor]] = {}

    def note(layer: nn.Module, args: tuple[object, ...], result: object) -> None:
        if len(args) == 1 and isinstance(args[0], torch.Tensor) and isinstance(result, torch.Tensor):
            found.setdefault(f"{layer} {tuple(args[0].shape)}", (layer, args[0]))

    network = copy.deepcopy(network)
    hooks = [layer.register_forward_hook(note) for layer in network.modules() if layer._parameters]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return list(found.values())


def _layer_agrees(layer: nn.Module, seen: torch.Tensor, half: torch.dtype) -> bool:
    """The same of one layer alone, whose input and output's gradient are noise, so that no part of it is zero."""
    image = _noise_like(seen, seed=0)
    runs = [_gradients_of_layer(layer, image, half, poison) for poison in POISON]
    full = _gradients_of_layer(layer, image, torch.float32)
    allowed = EPS_OF_LAYERS * torch.finfo(half).eps
    near = ((a.float() - b).norm() <= allowed * b.norm() for run in runs for a, b in zip(run, full, strict=True))
    return _are_equal(runs) and all(near)


def _gradients_of_layer(
    layer: nn.Module, image: torch.Tensor, dtype: torch.dtype, poison: float | None = None
) -> Gradients:
    """Gradients of the weights, then of the image."""
    layer.zero_grad()
    image = image.detach().requires_grad_()
    result = _forward(layer, image, dtype, poison)
    noise = _noise_like(result.detach(), seed=1)
    if poison is not None:
        fill_free_memory(poison, image.device)
    result.backward(noise)  # type: ignore[no-untyped-call]
    return [tensor.grad for tensor in (*layer.parameters(), image) if tensor.grad is not None]


def _gradients(
    network: Network, image: torch.Tensor, classes: torch.Tensor, dtype: torch.dtype, poison: float | None = None
) -> Gradients:
    """Gradients of the cross-entropy, by parameter; the network's running statistics are left alone."""
    network = copy.deepcopy(network)
    scores = _forward(network, image, dtype, poison)
    size = scores.shape[2:]
    F.cross_entropy(scores.float(), classes[:, *(slice(length) for length in size)]).backward()  # type: ignore[no-untyped-call]
    return [weights.grad for weights in network.parameters() if weights.grad is not None]


def _forward(module: nn.Module, image: torch.Tensor, dtype: torch.dtype, poison: float | None) -> torch.Tensor:
    """What a network or layer gives."""
    if poison is not None:
        fill_free_memory(poison, image.device)
    with torch.autocast(image.device.type, dtype=dtype, enabled=dtype != torch.float32):
        result: torch.Tensor = module(image)
    return result


def _are_equal(runs: Sequence[Gradients]) -> bool:
    """Bit for bit; asked of a CPU alone: elsewhere sums are taken in any order."""
    first = runs[0]
    return first[0].device.type != "cpu" or all(
        torch.equal(a, b) for run in runs for a, b in zip(first, run, strict=True)
    )


def _network_agrees(half: Gradients, full: Gradients, dtype: torch.dtype) -> bool:
    """Whether the error of each parameter's gradient is within what rounding explains."""
    count = sum(gradient.numel() for gradient in full)
    whole = float(sum(gradient.square().sum() for gradient in full)) ** 0.5

    def agrees(a: torch.Tensor, b: torch.Tensor) -> bool:
        allowed = EPS_OF_GRADIENTS * float(b.norm())
        if b.dim() == 1:
            allowed += EPS_OF_BIASES * whole * (b.numel() / count) ** 0.5
        return float((a.float() - b).norm()) <= torch.finfo(dtype).eps * allowed

    return all(agrees(a, b) for a, b in zip(half, full, strict=True))


def _noise_like(tensor: torch.Tensor, seed: int) -> torch.Tensor:
    """Standard normal noise, in the layout, precision and on the device of a tensor."""
    noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(seed))
    return torch.empty_like(tensor).copy_(noise)


def _classes(shape: Shape, outputs: int) -> torch.Tensor:
    """Blobs of classes (N, [Z,] Y, X)."""
    return _blobs((shape[0], outputs, *shape[2:]), seed=2).argmax(dim=1)


def _blobs(shape: Shape, seed: int) -> torch.Tensor:
    coarse = [max(1, length // 4) for length in shape[2:]]
    noise = torch.randn((*shape[:2], *coarse), generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, shape[2:], mode="nearest")
