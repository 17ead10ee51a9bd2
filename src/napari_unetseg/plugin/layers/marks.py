"""Marks in our record of a layer's metadata: what a layer is beside an image or labels."""

from __future__ import annotations

from napari.layers import Labels, Layer

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


def is_painted(layer: Layer) -> bool:
    """Whether a layer is one of our painted ones: their first structure is the background."""
    structures = layer.metadata.get(METADATA, {}).get("structures", ())
    return isinstance(layer, Labels) and any((s.label, s.name) == (1, "background") for s in structures)


def is_result(layer: Layer) -> bool:
    """Whether a labels layer holds what this program found in another layer: only such a one records its axes."""
    record = layer.metadata.get(METADATA, {})
    is_found = isinstance(layer, Labels) and bool(record.get("structures")) and "axes" in record
    return is_found and not (is_painted(layer) or is_preview(layer))
