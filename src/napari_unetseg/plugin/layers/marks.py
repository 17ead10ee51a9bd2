"""Marks in our record of a layer's metadata: what a layer is beside an image or labels."""

from __future__ import annotations

from napari.layers import Layer

from napari_unetseg.plugin.layers.source import METADATA

PREVIEW = "is_preview"
"""In our record of a layer's metadata: it is no paint and no result."""


MENDED = "is_mended"
"""The same: it is the copy of a result in which a person corrects."""


def is_mended(layer: Layer) -> bool:
    """Whether a layer is the copy of a result in which a person corrects."""
    return bool(layer.metadata.get(METADATA, {}).get(MENDED))


def is_preview(layer: Layer) -> bool:
    """Whether a layer shows predictions of learning."""
    return bool(layer.metadata.get(METADATA, {}).get(PREVIEW))
