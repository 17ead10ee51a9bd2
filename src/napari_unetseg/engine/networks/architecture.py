"""The protocol of an architecture: everything that planning, prediction, training, files and export ask of it."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from napari_unetseg.core.models.normalisation import Normaliser
from napari_unetseg.core.voxels import Boxes
from napari_unetseg.engine.networks.network import Network, NetworkSettings
from napari_unetseg.engine.networks.standalone import Standalone

if TYPE_CHECKING:
    from napari_unetseg.engine.networks.unets.unet import UNet

S = TypeVar("S", bound=NetworkSettings)
Scorer = Callable[[int], torch.Tensor]
"""Class scores (outputs, Y, X), before the softmax, of the slice of that number."""
SAMPLE_STRIDES = 4
"""Lengths, in strides, of the image that work and memory are counted on."""


@dataclass(frozen=True)
class Architecture(ABC, Generic[S]):
    """One architecture, with the settings of one network; `registry.architecture_of` gives it.

    A new one is a file: its settings (a frozen dataclass), its network, and a subclass of this, which
    `registry.BUILT_IN` names; `standalone.standalone_source` takes the network out of it for other programs. Axes are
    those of the network, [z,] y, x.

    Parameters
    ----------
    settings : NetworkSettings
    """

    settings: S

    title: ClassVar[str]
    """In the words of messages: ``U-Net``."""
    predicts: ClassVar[Literal["tiles", "slices"]] = "tiles"
    """``tiles``: images go through the prepared network, see `prepare`. ``slices``: a stack is taken slice by slice at
    its own voxel size, see `scorer`."""
    trains_whole: ClassVar[bool] = False
    """Whether fine-tuning to paint goes on with such a network itself, which then is its own `base`."""
    keeps_structures: ClassVar[bool] = False
    """Whether a frozen copy can say, while another learns, what its structures are."""

    @classmethod
    @abstractmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """That of a card's fields; raises `SettingsError` where they do not fit."""

    @abstractmethod
    def build(self) -> Network:
        """A network of random weights."""

    @property
    @abstractmethod
    def stride(self) -> tuple[int, ...]:
        """Multiples at which tiles begin and end, so that every one pools as the whole image does."""

    @property
    @abstractmethod
    def field_of_view(self) -> tuple[int, ...]:
        """Voxels, in each direction along an axis, that a voxel's scores depend on at most: the halo of exact tiles."""

    @abstractmethod
    def bytes_per_voxel(self, dtype: torch.dtype) -> float:
        """Bytes that predicting a tile (or a slice) takes at its peak, for each voxel that it sees."""

    @property
    def depends_on_tile(self) -> bool:
        """Whether a voxel's scores depend on everything in its tile, so that tiles have to be blended."""
        return False

    @property
    def is_padded(self) -> bool:
        """Whether it was trained with padding; else images are mirrored at their border as far as it sees."""
        return True

    @property
    def flops_per_voxel(self) -> float:
        """Floating-point operations for one voxel in one pass."""
        return _flops(self)

    def training_bytes_per_voxel(self, dtype: torch.dtype) -> float:
        """Bytes that one step of training holds for its backward pass, for each voxel of the batch."""
        return _saved_bytes(self) * dtype.itemsize / 4

    def sample(self) -> Network:
        """A network of the same work for each voxel that takes small images."""
        return self.build()

    def prepare(self, network: Network, device: torch.device, dtype: torch.dtype) -> Network:
        """A copy for prediction: images in any float type whose lengths are multiples of the stride, scores in `dtype`.

        Its scores are of the image's size, and are those of `network` but for rounding.
        """
        return Prepared(network, dtype).to(device)

    def scorer(self, network: Network, volume: Boxes, read: Normaliser, device: torch.device) -> Scorer:
        """What gives the scores of a volume's slices, of a network on that device that is predicted in slices.

        It sees along z what is in the volume, and in the plane the whole slice.
        """
        raise TypeError(f"{self.title}: is predicted in {self.predicts}, not in slices.")

    def base(self, network: Network) -> UNet | None:
        """The U-Net with decoder features to look through, which fine-tuning can go on with; None if there is none."""
        return None

    def needs_float32(self, name: str) -> bool:
        """Whether a tensor of that name is too delicate to be stored in half precision."""
        return False

    def standalone(self) -> Standalone | None:
        """The network's source for other programs; None where it cannot be had without this one."""
        return None


class Prepared(Network):
    """A copy of a network that takes images of any float type and computes in its own.

    Parameters
    ----------
    network : Network
        It is left as it is, and shares no weights.
    dtype : torch.dtype
    """

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        super().__init__()
        self.settings, self.dtype = network.settings, dtype
        self.network = copy.deepcopy(network).to(dtype).eval().requires_grad_(False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Class scores (N, outputs, [Z,] Y, X)."""
        scores: torch.Tensor = self.network(image.to(self.dtype))
        return scores


def _sample(architecture: Architecture[Any]) -> tuple[Network, torch.Tensor]:
    """A network and an image (1, inputs, [Z,] Y, X) that take no memory."""
    size = [SAMPLE_STRIDES * step for step in architecture.stride]
    with torch.device("meta"):
        return architecture.sample(), torch.empty(1, architecture.settings.inputs, *size)


@lru_cache
def _flops(architecture: Architecture[Any]) -> float:
    network, image = _sample(architecture)
    with FlopCounterMode(display=False) as counter:
        network(image)
    return float(counter.get_total_flops()) / image[0, 0].numel()


@lru_cache
def _saved_bytes(architecture: Architecture[Any]) -> float:
    """Bytes for each voxel, in float32, that are saved for the backward pass: each tensor once, weights left out."""
    network, image = _sample(architecture)
    weights = {weight.untyped_storage()._cdata for weight in network.parameters()}
    saved: dict[int, torch.UntypedStorage] = {}  # held, so that no number is given twice

    def save(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            saved[storage._cdata] = storage
        return tensor

    with saved_tensors_hooks(save, lambda tensor: tensor):
        scores = network.train()(image)
        nn.functional.cross_entropy(scores, torch.zeros(1, *scores.shape[2:], dtype=torch.long, device="meta"))
    return sum(storage.nbytes() for storage in saved.values()) / image[0, 0].numel()
