"""The registry of architectures: by their names in cards. What a name stands for is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from napari_unetseg.core.models.card import PIXEL_CLASSIFIER, U_NET, ModelCard
from napari_unetseg.engine.networks.architecture import Architecture
from napari_unetseg.engine.networks.network import Network, NetworkSettings
from napari_unetseg.errors import SettingsError

BUILT_IN: Mapping[str, str] = {
    U_NET: "napari_unetseg.engine.networks.unets.unet_architecture:UNetArchitecture",
    PIXEL_CLASSIFIER: "napari_unetseg.engine.networks.pixel.architecture:PixelClassifierArchitecture",
}
"""Module and class by name: another architecture is one more line."""
_registered: dict[str, type[Architecture[Any]]] = {}


def register(kind: str, architecture: type[Architecture[Any]]) -> None:
    """Make an architecture known by the name that its settings have, for this process.

    Raises
    ------
    SettingsError
        If another one has that name.
    """
    if kind in BUILT_IN or _registered.get(kind, architecture) is not architecture:
        raise SettingsError(f"There is an architecture {kind!r} already; expected another name.")
    _registered[kind] = architecture


def known_architectures() -> tuple[str, ...]:
    """All names, in order."""
    return tuple(sorted({*BUILT_IN, *_registered}))


def find_architecture(kind: object) -> type[Architecture[Any]]:
    """The architecture of that name; raises `SettingsError` where this version knows none."""
    if isinstance(kind, str) and kind in _registered:
        return _registered[kind]
    if not isinstance(kind, str) or kind not in BUILT_IN:
        raise SettingsError(
            f"Expected an architecture that this version knows ({', '.join(known_architectures())}); got {kind!r}."
        )
    module, name = BUILT_IN[kind].split(":")
    found: type[Architecture[Any]] = getattr(importlib.import_module(module), name)
    return found


def architecture_of(described: ModelCard | NetworkSettings | Network) -> Architecture[Any]:
    """The architecture of a model's card, of a network, or of its settings.

    Raises
    ------
    SettingsError
        If a card names none that this version knows, or its fields do not fit it.
    """
    if isinstance(described, ModelCard):
        return find_architecture(described.architecture.get("kind")).from_json(described.architecture)
    settings = described.settings if isinstance(described, Network) else described
    return find_architecture(settings.kind)(settings)
