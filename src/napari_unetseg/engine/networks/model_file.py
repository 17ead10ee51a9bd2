"""Model files: one ``.safetensors`` file, weights and card together. Nothing in it is ever executed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.catalogue import CARD_KEY, find_model, read_card
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier, PixelClassifierSettings, is_light
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
from napari_unetseg.errors import ModelError, SettingsError


@dataclass(frozen=True)
class Model:
    """A network in evaluation mode, in float32 on the CPU, and its card."""

    network: UNet | PixelClassifier
    card: ModelCard

    @property
    def unet(self) -> UNet:
        """The network of a model that is one U-Net; raises `ModelError` for a light model."""
        if isinstance(self.network, PixelClassifier):
            raise ModelError(f"{self.card.name} is a light model, made by painting; expected a U-Net.")
        return self.network


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
        network = _network(card.architecture)
        network.load_state_dict({name: _full(tensor) for name, tensor in load_file(path).items()})
    except (safetensors.SafetensorError, RuntimeError, SettingsError) as error:
        raise ModelError(f"{path} does not hold the weights of the network that its card describes: {error}") from error
    _check_card(path, card, network.settings)
    return Model(network.eval(), card)


def save_model(path: Path, model: Model, *, half: bool = False) -> None:
    """Write weights and card to one file, atomically; `half` stores most weights as float16.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    weights = {
        name: (tensor.half() if half and _bears_half(model, name) else tensor).detach().cpu().contiguous()
        for name, tensor in model.network.state_dict().items()
    }
    with atomic_path(Path(path)) as temporary:
        # not by `save_file`, which makes a file that only its owner can read
        temporary.write_bytes(save(weights, metadata={CARD_KEY: model.card.model_dump_json()}))


def _full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _bears_half(model: Model, name: str) -> bool:
    """Whether float16 is enough for a tensor. A light model's head undoes the features' scale, so it is not."""
    is_head = isinstance(model.network, PixelClassifier) and name.startswith("head.")
    return model.network.state_dict()[name].is_floating_point() and not is_head


def _network(architecture: dict[str, object]) -> UNet | PixelClassifier:
    """A network with fresh weights; a card that names no kind describes a U-Net."""
    if is_light(architecture):
        return PixelClassifier.from_settings(PixelClassifierSettings.from_json(architecture))
    return UNet(UNetSettings.from_json(architecture))


def _check_card(path: Path, card: ModelCard, settings: UNetSettings | PixelClassifierSettings) -> None:
    outputs = {channel for structure in card.structures for channel in structure.channels}
    if settings.dimensions != card.dimensions or settings.inputs != len(card.channels):
        raise ModelError(f"{path}: its card and its network disagree on dimensions or input channels.")
    if not card.is_start and outputs != set(range(1, settings.outputs)):
        raise ModelError(f"{path}: its structures use outputs {sorted(outputs)} of {settings.outputs - 1}.")
