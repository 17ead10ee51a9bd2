"""Half precision, trusted only where it has been held against float32: for this processor, network and shape.

Libraries of kernels have had faults in half precision alone, for single shapes on single processors: the gradient of a
3D convolution whose input is two slices deep was garbage on one of them, different at every call. So a network is run
both ways on generated images before half precision is used, once; the answer is remembered in the user's cache.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch.nn import functional as F

from napari_unetseg.core.io.cache import user_cache
from napari_unetseg.engine.devices import fast_dtype, memory_guard, processor
from napari_unetseg.engine.networks.fused import LAYOUT
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.engine.networks.unets.unet import UNet

Shape = tuple[int, ...]
CACHE_KIND = "precision"
EPS_OF_GRADIENTS, EPS_OF_BIASES, EPS_OF_SCORES = 64, 8, 16
"""How far half precision may lie from float32, in units of its rounding error.

Measured in bfloat16, whose unit is 0.008: gradients of two to four levels differ by 0.1 to 0.4 of their norm (signs of
activations near zero change), garbage by 0.9 or more; scores of bundled models by 0.003 to 0.03 of their spread. Biases
before a normalisation have a gradient of zero, and rounding is all that is computed: they may also differ by their
share of the whole gradient.
"""
MOST_STRIDES = 5
"""Lengths beyond so many strides are looked at as if they had so many: kernels differ where the coarsest image is thin.
It keeps the shapes few and the check short."""
MOST_TRAINED = 2**18
"""Voxels of a batch that is looked at whole; of a larger one, a part."""
POISON = (math.nan, 1e30)
"""What freed memory is filled with before each of two equal runs, so that a kernel that reads it is found out."""
NOTE = "Half precision is not right on this processor ({}) for this network: it was computed in float32."

_used: dict[str, str] = {}
"""Names of the precisions that this process has computed in, by question."""
_recorded: dict[str, str] = {}
"""Those of a recorded run, while it is repeated."""


def training_dtype(network: Network, shape: Shape, device: torch.device) -> torch.dtype:
    """The precision to train in: half where two runs give one and the same gradient, and float32 nearly that.

    On a CPU the two must agree bit for bit; elsewhere sums are taken in any order, and each is held against float32.

    Parameters
    ----------
    shape : (N, C, [Z,] Y, X)
        Of the batches.
    """
    shape = _part_of_batch(shape, architecture_of(network).stride)
    return _chosen("train", network, shape, device, lambda half: _gradients_agree(network, shape, device, half))


def prediction_dtype(network: Network, shape: Shape, device: torch.device) -> torch.dtype:
    """The precision to predict in with `Architecture.prepare`, for tiles of a shape (N, C, [Z,] Y, X)."""
    architecture = architecture_of(network)
    shape = _clipped(shape, architecture.stride)

    def agree(half: torch.dtype) -> bool:
        image = _image(shape).to(device)
        return _scores_agree([architecture.prepare(network, device, d)(image) for d in (half, torch.float32)], half)

    return _chosen("predict", network, shape, device, agree)


def half_precision(network: UNet, shape: Shape, device: torch.device) -> torch.autocast:
    """The context in which a network's features of images (N, C, Y, X) are computed: in half precision, if trusted."""
    shape = _clipped(shape, network.settings.stride)

    def agree(half: torch.dtype) -> bool:
        image, probe = _image(shape).to(device), copy.deepcopy(network).to(device).eval()
        levels = []
        for enabled in (True, False):
            with torch.no_grad(), torch.autocast(device.type, dtype=half, enabled=enabled):
                levels.append(probe.features(image))
        return all(_scores_agree(list(pair), half) for pair in zip(*levels, strict=True))

    dtype = _chosen("features", network, shape, device, agree)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def note_of(dtype: torch.dtype, device: torch.device) -> tuple[str, ...]:
    """What to say of a precision: something only where the device has a half precision that was not trusted."""
    distrusted = dtype == torch.float32 != fast_dtype(device)
    return (NOTE.format(processor(device)),) if distrusted else ()


def choices() -> dict[str, str]:
    """What this process has computed in, by question: for the record of a result that has to be repeated."""
    return dict(_used)


@contextmanager
def repeated(recorded: Mapping[str, str]) -> Iterator[None]:
    """Compute in recorded precisions, see `choices`: what is in the record is not chosen again."""
    _recorded.update(recorded)
    try:
        yield
    finally:
        _recorded.clear()


def _chosen(
    purpose: str, network: Network, shape: Shape, device: torch.device, agree: Callable[[torch.dtype], bool]
) -> torch.dtype:
    asked = json.dumps([purpose, device.type, network.settings.to_json(), shape], sort_keys=True)
    question = f"{purpose} {hashlib.sha256(asked.encode()).hexdigest()[:24]}"
    if question in _recorded:
        dtype: torch.dtype = getattr(torch, _recorded[question])
    else:
        half = fast_dtype(device)
        trusted = half != torch.float32 and _is_trusted(question, device, half, agree)
        dtype = half if trusted else torch.float32
    _used[question] = str(dtype).removeprefix("torch.")
    return dtype


_verdicts: dict[str, bool] = {}


def _is_trusted(question: str, device: torch.device, half: torch.dtype, agree: Callable[[torch.dtype], bool]) -> bool:
    """Whether half precision is trusted: as this process or an earlier one has found, or as is found now."""
    key = f"{question} {half} {processor(device)} torch {torch.__version__} threads {torch.get_num_threads()}"
    if key not in _verdicts:
        known = user_cache().read(CACHE_KIND, key)
        if known is None:
            with memory_guard(device):
                known = b"right" if agree(half) else b"wrong"
            user_cache().write(CACHE_KIND, key, known)
        _verdicts[key] = known == b"right"
    return _verdicts[key]


def _gradients_agree(network: Network, shape: Shape, device: torch.device, half: torch.dtype) -> bool:
    probe = _probe(network).to(device)
    image, classes = _image(shape).to(device), _classes(shape, network.settings.outputs).to(device)
    runs = [_gradients(probe, image, classes, half, poison) for poison in POISON]
    if device.type == "cpu" and not all(torch.equal(a, b) for a, b in zip(*runs, strict=True)):
        return False
    return all(_gradient_agrees(run, _gradients(probe, image, classes, torch.float32), half) for run in runs)


def _probe(network: Network) -> Network:
    """A copy in which no weights are all zero, as a fresh refiner's head is: that would hide every other gradient."""
    probe = copy.deepcopy(network).requires_grad_(True).train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in probe.parameters():
            if weights.dim() > 1 and not weights.any():
                weights.copy_(torch.randn(weights.shape, generator=generator) / math.sqrt(weights[0].numel()))
    return probe


def _gradients(
    network: Network, image: torch.Tensor, classes: torch.Tensor, dtype: torch.dtype, poison: float | None = None
) -> list[torch.Tensor]:
    """Gradients of the cross-entropy, by parameter; the network's running statistics are left alone."""
    network = copy.deepcopy(network)
    if poison is not None:
        _fill_free_memory(poison, image.device)
    with torch.autocast(image.device.type, dtype=dtype, enabled=dtype != torch.float32):
        scores = network(image.contiguous(memory_format=LAYOUT[image.dim() - 2]))
    size = scores.shape[2:]
    F.cross_entropy(scores.float(), classes[:, *(slice(length) for length in size)]).backward()  # type: ignore[no-untyped-call]
    return [weights.grad for weights in network.parameters() if weights.grad is not None]


def _gradient_agrees(half: Sequence[torch.Tensor], full: Sequence[torch.Tensor], dtype: torch.dtype) -> bool:
    """Whether the error of each parameter's gradient is within what rounding explains."""
    count = sum(gradient.numel() for gradient in full)
    whole = float(sum(gradient.square().sum() for gradient in full)) ** 0.5

    def agrees(a: torch.Tensor, b: torch.Tensor) -> bool:
        allowed = EPS_OF_GRADIENTS * float(b.norm())
        if b.dim() == 1:
            allowed += EPS_OF_BIASES * whole * (b.numel() / count) ** 0.5
        return float((a.float() - b).norm()) <= torch.finfo(dtype).eps * allowed

    return all(agrees(a, b) for a, b in zip(half, full, strict=True))


def _scores_agree(pair: Sequence[torch.Tensor], dtype: torch.dtype) -> bool:
    """Whether half precision lies near float32, beside the spread of its scores over the image."""
    half, full = (scores.float() for scores in pair)
    spread = full - full.mean(dim=tuple(range(2, full.dim())), keepdim=True)
    allowed = EPS_OF_SCORES * torch.finfo(dtype).eps * spread.norm()
    return bool((half - full).norm() <= allowed + 1e-6 * full.norm())


def _fill_free_memory(value: float, device: torch.device) -> None:
    """Leave a value in memory that is freed again, in blocks of many sizes."""
    blocks = [torch.full((2**power,), value, device=device) for power in range(8, 22) for _ in range(2)]
    del blocks


def _image(shape: Shape) -> torch.Tensor:
    """Blobs and noise, of mean 0 and deviation about 1, the same at every call."""
    return _blobs(shape, seed=0) + 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


def _classes(shape: Shape, outputs: int) -> torch.Tensor:
    """Blobs of classes (N, [Z,] Y, X)."""
    return _blobs((shape[0], outputs, *shape[2:]), seed=2).argmax(dim=1)


def _blobs(shape: Shape, seed: int) -> torch.Tensor:
    coarse = [max(1, length // 4) for length in shape[2:]]
    noise = torch.randn((*shape[:2], *coarse), generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, shape[2:], mode="nearest")


def _clipped(shape: Shape, stride: Shape) -> Shape:
    """The shape with its lengths in whole strides, one sample, and nothing longer than the check looks at."""
    strides = (min(MOST_STRIDES, math.ceil(length / step)) for length, step in zip(shape[2:], stride, strict=True))
    return (1, shape[1], *(count * step for count, step in zip(strides, stride, strict=True)))


def _part_of_batch(shape: Shape, stride: Shape) -> Shape:
    """The batch itself where it is small; else one sample of it, and of that a part where it is still large."""
    if shape[0] * math.prod(shape[2:]) <= MOST_TRAINED:
        return shape
    return (1, *shape[1:]) if math.prod(shape[2:]) <= MOST_TRAINED else _clipped(shape, stride)
