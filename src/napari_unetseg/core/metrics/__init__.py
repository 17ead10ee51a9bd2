"""Figures per structure, in physical units, each checked against another implementation."""

from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.measure import measure_objects, measure_structures
from napari_unetseg.core.metrics.objects import ObjectScores, match
from napari_unetseg.core.metrics.overlap import Overlap, count_overlap
from napari_unetseg.core.metrics.scores import DISTANCES, METRICS, Evaluation, StructureScore
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.metrics.table import save_table, table_rows

__all__ = [
    "DISTANCES",
    "METRICS",
    "Evaluation",
    "MetricSettings",
    "ObjectScores",
    "Overlap",
    "StructureScore",
    "count_overlap",
    "evaluate",
    "match",
    "measure_objects",
    "measure_structures",
    "save_table",
    "table_rows",
]
