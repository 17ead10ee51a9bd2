"""Clean-up of a segmentation, step by step, each step a record that a card or a report can hold."""

from napari_unetseg.core.cleanup.apply import clean, iter_clean
from napari_unetseg.core.cleanup.canvas import NOTHING, Evidence
from napari_unetseg.core.cleanup.slices import for_one_slice, slices_for
from napari_unetseg.core.cleanup.weigh import Refine
from napari_unetseg.core.cleanup_steps import (
    Crf,
    Dilate,
    Erode,
    FillHoles,
    KeepLargest,
    MergeTiles,
    NumberParts,
    Prior,
    RemoveSmall,
    Renumber,
    Separate,
    Smooth,
    Step,
    Weighing,
    parse_step,
    steps_from_json,
    steps_to_json,
    weighing_first,
)

__all__ = [
    "NOTHING",
    "Crf",
    "Dilate",
    "Erode",
    "Evidence",
    "FillHoles",
    "KeepLargest",
    "MergeTiles",
    "NumberParts",
    "Prior",
    "Refine",
    "RemoveSmall",
    "Renumber",
    "Separate",
    "Smooth",
    "Step",
    "Weighing",
    "clean",
    "for_one_slice",
    "iter_clean",
    "parse_step",
    "slices_for",
    "steps_from_json",
    "steps_to_json",
    "weighing_first",
]
