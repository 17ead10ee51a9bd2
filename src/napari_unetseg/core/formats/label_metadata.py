"""OME-Zarr's ``image-label``: names and colours of labels (https://ngff.openmicroscopy.org/0.5/#label-md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from napari_unetseg.core.formats.legend import Legend
from napari_unetseg.core.structure import Structure
from napari_unetseg.core.volume import Labels


def describe(labels: Labels) -> dict[str, Any]:
    """The ``image-label`` of labels: colours, and names as properties."""
    if labels.are_objects or not labels.structures:
        return {}
    return {
        "colors": [{"label-value": s.label, "rgba": [*bytes.fromhex(s.colour[1:]), 255]} for s in labels.structures],
        "properties": [{"label-value": s.label, "name": s.name} for s in labels.structures],
    }


def parse(metadata: Mapping[str, Any], legend: Legend) -> Legend:
    """The legend with the structures of ``image-label``, where it has none of its own."""
    label = metadata.get("image-label")
    if legend.structures or not isinstance(label, dict):
        return legend
    try:
        names = {p["label-value"]: p["name"] for p in label.get("properties") or [] if "name" in p}
        structures = tuple(
            Structure(
                label=colour["label-value"],
                name=str(names.get(colour["label-value"], f"label {colour['label-value']}")),
                colour="#{:02x}{:02x}{:02x}".format(*colour["rgba"][:3]),
            )
            for colour in label.get("colors") or []
            if colour["label-value"] > 0
        )
    except (KeyError, TypeError, IndexError, ValueError, pydantic.ValidationError):
        return legend
    return legend.model_copy(update={"structures": structures})
