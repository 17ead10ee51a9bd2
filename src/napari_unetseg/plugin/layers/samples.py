"""Samples of *File → Open Sample*: small real images of the program; their reference labels are hidden at first."""

from __future__ import annotations

from napari_unetseg.core.io.loadsave import load_labels, load_volume
from napari_unetseg.core.io.samples import find_sample
from napari_unetseg.plugin.layers.layer_data import LayerData, labels_layer, volume_layers


def plant_nuclei() -> list[LayerData]:
    """Plant nuclei, confocal, 3D."""
    return _sample("plant-nuclei")


def hippocampus() -> list[LayerData]:
    """Hippocampus, MR, 3D."""
    return _sample("hippocampus")


def fly_brain() -> list[LayerData]:
    """Fly brain, FIB-SEM, 3D."""
    return _sample("fly-brain")


def fluorescent_nuclei() -> list[LayerData]:
    """Nuclei, fluorescence, 2D."""
    return _sample("fluorescent-nuclei")


def nerve() -> list[LayerData]:
    """Rat nerve, SEM, 2D."""
    return _sample("nerve")


def _sample(name: str) -> list[LayerData]:
    sample = find_sample(name)
    data, attributes, kind = labels_layer(load_labels(sample.labels))
    return [*volume_layers([load_volume(sample.image)]), (data, {**attributes, "visible": False}, kind)]
