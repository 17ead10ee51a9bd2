"""Figures per structure, in physical units, each checked against another implementation."""

from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.overlap import Overlap, count_overlap
from napari_unetseg.core.metrics.scores import DISTANCES, METRICS, Evaluation, StructureScore
from napari_unetseg.core.metrics.settings import MetricSettings

__all__ = [
    "DISTANCES",
    "METRICS",
    "Evaluation",
    "MetricSettings",
    "Overlap",
    "StructureScore",
    "count_overlap",
    "evaluate",
]
