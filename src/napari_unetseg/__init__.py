"""napari-unetseg: paint three slices, get the whole volume.

The verbs of :mod:`napari_unetseg.api` are available here and are loaded on first use, so that importing the package
costs nothing: ``napari_unetseg.segment(napari_unetseg.load_volume("stack.tif"), model="nuclei-3d")``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unetseg.api import (
        InteractiveSession,
        clean,
        cleanup_context,
        evaluate,
        evaluate_folders,
        fine_tune,
        inspect,
        iter_clean,
        iter_evaluate_folders,
        iter_fine_tune,
        iter_replay,
        iter_segment,
        list_models,
        load_model,
        load_volume,
        look_at,
        replay,
        save_labels,
        segment,
    )

__version__ = "0.1.0"

__all__ = [
    "InteractiveSession",
    "__version__",
    "clean",
    "cleanup_context",
    "evaluate",
    "evaluate_folders",
    "fine_tune",
    "inspect",
    "iter_clean",
    "iter_evaluate_folders",
    "iter_fine_tune",
    "iter_replay",
    "iter_segment",
    "list_models",
    "load_model",
    "load_volume",
    "look_at",
    "replay",
    "save_labels",
    "segment",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(importlib.import_module("napari_unetseg.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
