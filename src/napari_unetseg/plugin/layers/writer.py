"""The writer of napari's *Save*: a labels layer in any format that `core.io` writes, lying where its image does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.layers import Labels as LabelsLayer

from napari_unetseg.core.io.loadsave import save_labels
from napari_unetseg.core.io.outputs import LABELS, check_output
from napari_unetseg.errors import OutputError
from napari_unetseg.plugin.layers.source import axes_of, labels_of


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one labels layer; the suffix chooses the format.

    Raises
    ------
    OutputError
        If the layer has several time points, the file cannot be written, or a folder that is not ours has its name.
    """
    check_output(Path(path), LABELS, overwrite=True)  # napari asked whether a file is to be replaced
    known = ("name", "metadata", "scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    layer = LabelsLayer(data, **{key: attributes[key] for key in known if key in attributes})
    axes = axes_of(layer)
    if "T" in axes and data.shape[axes.index("T")] > 1:
        raise OutputError("Expected labels of one time point; this layer has several. Save them one by one.")
    save_labels(path, labels_of(layer))
    return [path]
