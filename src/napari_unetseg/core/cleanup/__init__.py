"""Clean-up of a segmentation, step by step, each step a record that a card or a report can hold."""

from napari_unetseg.core.cleanup.apply import clean, iter_clean
from napari_unetseg.core.cleanup_steps import (
    Dilate,
    Erode,
    FillHoles,
    KeepLargest,
    MergeTiles,
    NumberParts,
    RemoveSmall,
    Renumber,
    Separate,
    Smooth,
    Step,
    parse_step,
    steps_from_json,
    steps_to_json,
)

__all__ = [
    "Dilate",
    "Erode",
    "FillHoles",
    "KeepLargest",
    "MergeTiles",
    "NumberParts",
    "RemoveSmall",
    "Renumber",
    "Separate",
    "Smooth",
    "Step",
    "clean",
    "iter_clean",
    "parse_step",
    "steps_from_json",
    "steps_to_json",
]
