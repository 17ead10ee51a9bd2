"""The verbs, headless: each a plain call and, where it takes long, an ``iter_`` form that yields progress.

Importing this module loads neither torch nor napari: the engine is loaded by the first verb that computes.

Examples
--------
>>> import napari_unetseg as unetseg
>>> result = unetseg.segment("stack.tif", model="nuclei-3d")  # doctest: +SKIP
>>> unetseg.save_labels("nuclei.ome.tif", result.labels)  # doctest: +SKIP
"""

from __future__ import annotations

from napari_unetseg.api.correcting import (
    CorrectedImage,
    LearnedCorrections,
    corrected_image,
    corrections_path,
    learn_corrections,
    maker_of,
)
from napari_unetseg.api.inputs import Image, Labelling, as_labels, as_volume
from napari_unetseg.api.interactive import InteractiveSession
from napari_unetseg.api.labelling import (
    clean,
    cleanup_context,
    evaluate,
    evaluate_folders,
    iter_clean,
    iter_evaluate_folders,
    look_at,
)
from napari_unetseg.api.learning import fine_tune, fine_tune_file, iter_fine_tune, iter_replay, replay
from napari_unetseg.api.segmenting import (
    Segmentation,
    forecast,
    iter_segment,
    iter_verify,
    load_model,
    segment,
    segment_file,
    verify,
)
from napari_unetseg.core.annotations.annotation import Annotation
from napari_unetseg.core.annotations.corrections import corrections, keep_corrections
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_labels, save_volume
from napari_unetseg.core.metrics.scores import Evaluation
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.models.catalogue import list_models
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.postprocess.context import CleanupContext
from napari_unetseg.core.settings import SegmentSettings, Selection
from napari_unetseg.core.volume import Labels, Volume

Evidence = CleanupContext
"""The name that scripts of earlier versions know."""

__all__ = [
    "Annotation",
    "CleanupContext",
    "CorrectedImage",
    "Evaluation",
    "Evidence",
    "FineTuneSettings",
    "Image",
    "InteractiveSession",
    "Labelling",
    "Labels",
    "LearnedCorrections",
    "MetricSettings",
    "SegmentSettings",
    "Segmentation",
    "Selection",
    "Volume",
    "as_labels",
    "as_volume",
    "clean",
    "cleanup_context",
    "corrected_image",
    "corrections",
    "corrections_path",
    "evaluate",
    "evaluate_folders",
    "fine_tune",
    "fine_tune_file",
    "forecast",
    "inspect",
    "iter_clean",
    "iter_evaluate_folders",
    "iter_fine_tune",
    "iter_replay",
    "iter_segment",
    "iter_verify",
    "keep_corrections",
    "learn_corrections",
    "list_models",
    "load_labels",
    "load_model",
    "load_volume",
    "look_at",
    "maker_of",
    "replay",
    "save_labels",
    "save_volume",
    "segment",
    "segment_file",
    "verify",
]
