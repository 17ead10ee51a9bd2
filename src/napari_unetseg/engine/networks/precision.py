"""Half precision, trusted only where it has been held against float32: for this processor, network and shape.

Libraries of kernels have had faults in half precision alone, for single shapes on single processors: the gradient of a
3D convolution whose input is two slices deep was garbage on one of them, different at every call. So a network is held
against float32 before half precision is used, once; the answer is remembered in the user's cache.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from napari_unetseg.core.allocator import give_back
from napari_unetseg.core.io.cache import user_cache
from napari_unetseg.engine.devices import fast_dtype, memory_guard, processor
from napari_unetseg.engine.networks.agreement import (
    fill_free_memory,
    generated_image,
    gradients_agree,
    scores_agree,
)
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.engine.networks.unets.unet import UNet

Shape = tuple[int, ...]
CACHE_KIND = "precision"
CHECK = 2
"""Version of what is asked: verdicts of another one are not taken."""
MOST_STRIDES = 5
"""Lengths beyond so many strides are looked at as if they had so many: kernels differ where the coarsest image is thin.
It keeps the shapes few and the check short."""
MOST_TRAINED = 2**18
"""Voxels of a batch that is looked at whole; of a larger one, a part."""
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
    return _chosen("train", network, shape, device, lambda half: gradients_agree(network, shape, device, half))


def prediction_dtype(network: Network, shape: Shape, device: torch.device) -> torch.dtype:
    """The precision to predict in with `Architecture.prepare`, for tiles of a shape (N, C, [Z,] Y, X)."""
    architecture = architecture_of(network)
    shape = _clipped(shape, architecture.stride)

    def agree(half: torch.dtype) -> bool:
        image = generated_image(shape).to(device)
        fill_free_memory(math.nan, device)
        return scores_agree([architecture.prepare(network, device, d)(image) for d in (half, torch.float32)], half)

    return _chosen("predict", network, shape, device, agree)


def half_precision(network: UNet, shape: Shape, device: torch.device) -> torch.autocast:
    """The context in which a network's features of images (N, C, Y, X) are computed: in half precision, if trusted."""
    shape = _clipped(shape, network.settings.stride)

    def agree(half: torch.dtype) -> bool:
        image, probe = generated_image(shape).to(device), copy.deepcopy(network).to(device).eval()
        levels = []
        fill_free_memory(math.nan, device)
        for enabled in (True, False):
            with torch.no_grad(), torch.autocast(device.type, dtype=half, enabled=enabled):
                levels.append(probe.features(image))
        return all(scores_agree(list(pair), half) for pair in zip(*levels, strict=True))

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
    key = f"{CHECK} {question} {half} {processor(device)} torch {torch.__version__} threads {torch.get_num_threads()}"
    if key not in _verdicts:
        known = user_cache().read(CACHE_KIND, key)
        if known is None:
            with memory_guard(device):
                known = b"right" if agree(half) else b"wrong"
            give_back()  # what was filled to find faults out
            user_cache().write(CACHE_KIND, key, known)
        _verdicts[key] = known == b"right"
    return _verdicts[key]


def _clipped(shape: Shape, stride: Shape) -> Shape:
    """The shape with its lengths in whole strides, one sample, and nothing longer than the check looks at."""
    strides = (min(MOST_STRIDES, math.ceil(length / step)) for length, step in zip(shape[2:], stride, strict=True))
    return (1, shape[1], *(count * step for count, step in zip(strides, stride, strict=True)))


def _part_of_batch(shape: Shape, stride: Shape) -> Shape:
    """The batch itself where it is small; else one sample of it, and of that a part where it is still large."""
    if shape[0] * math.prod(shape[2:]) <= MOST_TRAINED:
        return shape
    return (1, *shape[1:]) if math.prod(shape[2:]) <= MOST_TRAINED else _clipped(shape, stride)
