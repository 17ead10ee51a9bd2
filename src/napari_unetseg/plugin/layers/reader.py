"""The reader of napari's *Open*, and of drag and drop: every format of `core.io`, with its place and scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_unetseg.core.io.formats.registry import READERS, ZARR_MARKS, holds_dicom, open_source
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume
from napari_unetseg.core.settings import Selection
from napari_unetseg.errors import UnetsegError
from napari_unetseg.plugin.layers.layer_data import LayerData, labels_layer, volume_layers


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """The reader of a path; None for a folder that holds nothing we read, so that napari asks other plugins.

    What is wrong with a folder of a format that we read is said by `read`, in one sentence, and not by napari.
    """
    if isinstance(path, list):
        return None  # a stack of files: napari's own reader joins them; we take the folder
    return None if Path(path).is_dir() and not _is_ours(Path(path)) else read


def _is_ours(folder: Path) -> bool:
    try:
        inspect(folder)
    except UnetsegError:
        known = tuple(suffix for group in READERS.values() for suffix in group)
        names = [folder.name, *(entry.name for entry in folder.iterdir())]
        return holds_dicom(folder) or any(name in ZARR_MARKS or name.lower().endswith(known) for name in names)
    return True


def read(path: str | list[str]) -> list[LayerData]:
    """All channels and time points, at the finest level; labels that carry structures come as a labels layer.

    Raises
    ------
    UnetsegError
        If the file cannot be read, or does not fit into the memory: *Load volume* loads parts.
    """
    path = path if isinstance(path, str) else path[0]
    if open_source(Path(path)).legend.structures:
        return [labels_layer(load_labels(path))]
    times = inspect(path).times
    return volume_layers([load_volume(path, Selection(time=time)) for time in range(times)])
