"""Model files: one ``.safetensors`` file, weights and card together. Nothing in it is ever executed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import torch
from safetensors.torch import load_file, save

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.catalogue import (
    CARD_KEY,
    CHECKSUM_KEY,
    check_weights,
    find_model,
    read_card,
    weights_sha256,
)
from napari_unetseg.core.volume import MadeBy
from napari_unetseg.engine.networks.architecture import Architecture
from napari_unetseg.engine.networks.network import Network, NetworkSettings
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from napari_unetseg.engine.networks.unets.unet import UNet


@dataclass(frozen=True)
class Model:
    """A network in evaluation mode, in float32 on the CPU, and its card.

    Parameters
    ----------
    sha256 : str
        Of the weights as its file holds them; empty where it is in none.
    """

    network: Network
    card: ModelCard
    sha256: str = ""

    @property
    def maker(self) -> MadeBy:
        """What a result of it records."""
        return MadeBy(name=self.card.name, sha256=self.sha256)

    @property
    def unet(self) -> UNet:
        """The network of a model that is one U-Net; raises `ModelError` for another, such as a pixel classifier."""
        architecture = architecture_of(self.network)
        base = architecture.base(self.network)
        if base is None or base is not self.network:
            raise ModelError(f"{self.card.name} is a {architecture.title}; expected a U-Net.")
        return base


def load_model(model: str | Path) -> Model:
    """Load a bundled model by name, or a model file by path.

    Raises
    ------
    ModelError
        If there is no such model, the file is damaged or a pickle, or weights and architecture disagree.
    """
    path = find_model(model)
    card = read_card(path)
    try:
        architecture = architecture_of(card)
        _check_shapes(path, architecture)
        check_weights(path)
        network = architecture.build()
        network.load_state_dict({name: _full(tensor) for name, tensor in load_file(path).items()})
    except (safetensors.SafetensorError, RuntimeError, SettingsError) as error:
        raise ModelError(f"{path} does not hold the weights of the network that its card describes: {error}") from error
    _check_card(path, card, network.settings)
    return Model(network.eval(), card, weights_sha256(path))


def save_model(path: Path, model: Model, *, half: bool = False) -> Model:
    """Write weights and card to one file, atomically; `half` stores weights as float16 where that is enough.

    Returns
    -------
    Model
        The same, which knows the checksum of its file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    state = _halved(model.network) if half else model.network.state_dict()
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic_path(Path(path)) as temporary:
        # not by `save_file`, which makes a file that only its owner can read
        temporary.write_bytes(_packed(weights, model.card))
    return replace(model, sha256=weights_sha256(path))


def _packed(weights: dict[str, torch.Tensor], card: ModelCard) -> bytes:
    """The file: the length of a JSON header in 8 bytes, the header, the weights.

    Put together here, because `save` writes what is in the metadata in another order each time
    (https://huggingface.co/docs/safetensors/index#format).
    """
    saved: bytes = save(weights)
    start = 8 + int.from_bytes(saved[:8], "little")
    checksum = hashlib.sha256(saved[start:]).hexdigest()
    metadata = {CARD_KEY: card.model_dump_json(), CHECKSUM_KEY: checksum}
    header = json.dumps({"__metadata__": metadata, **json.loads(saved[8:start])}).encode()
    header += b" " * (-len(header) % 8)  # weights begin at a multiple of 8 bytes
    return len(header).to_bytes(8, "little") + header + saved[start:]


def _check_shapes(path: Path, architecture: Architecture[Any]) -> None:
    """Raise `ModelError` where the weights' shapes are not those of the network, before either takes memory."""
    with torch.device("meta"):
        described = {name: tuple(tensor.shape) for name, tensor in architecture.build().state_dict().items()}
    with safetensors.safe_open(path, framework="pt") as file:
        stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a dict
    for name in (*described, *stored):
        if described.get(name) != stored.get(name):
            raise ModelError(
                f"{path} does not hold the weights of the network that its card describes: {name} is "
                f"{_words(stored.get(name))}; expected {_words(described.get(name))}."
            )


def _words(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "not there"
    return " × ".join(map(str, shape)) or "one number"


def _full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def round_as_saved(network: Network) -> None:
    """Round weights as `save_model` does with `half`: what is predicted now and from the file is the same."""
    network.load_state_dict(_halved(network))


def _halved(network: Network) -> dict[str, torch.Tensor]:
    needs_float32 = architecture_of(network).needs_float32
    return {
        name: tensor.half() if tensor.is_floating_point() and not needs_float32(name) else tensor
        for name, tensor in network.state_dict().items()
    }


def _check_card(path: Path, card: ModelCard, settings: NetworkSettings) -> None:
    outputs = {channel for structure in card.structures for channel in structure.channels}
    if settings.dimensions != card.dimensions or settings.inputs != len(card.channels):
        raise ModelError(f"{path}: its card and its network disagree on dimensions or input channels.")
    for structure in card.structures:
        if structure.seed_channel not in (None, *structure.channels):
            raise ModelError(
                f"{path}: cores of {structure.name} are output {structure.seed_channel}, which is none of its."
            )
    if not card.is_start and outputs != set(range(1, settings.outputs)):
        raise ModelError(f"{path}: its structures use outputs {sorted(outputs)} of {settings.outputs - 1}.")
