"""Identity of layers: docked widgets get a new proxy of a layer at every turn, so that `is` compares nothing."""

from __future__ import annotations

from napari.layers import Layer


def same_layer(one: Layer | None, other: Layer | None) -> bool:
    """Whether two names stand for one layer, behind proxies or not; None is like None alone."""
    if one is None or other is None:
        return one is other
    return bool(one.unique_id == other.unique_id)


def own_layer(layer: Layer) -> Layer:
    """The layer itself, where it comes behind a proxy: it lives as long as the viewer has it, as weak keys need."""
    return getattr(layer, "__wrapped__", layer)
