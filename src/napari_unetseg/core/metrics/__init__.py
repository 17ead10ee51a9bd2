"""Figures per structure, in physical units, each checked against another implementation."""

from napari_unetseg.core.metric_settings import MetricSettings
from napari_unetseg.core.metrics.advice import Advice, AdviceRules, Found, advise, follow, found_by_size
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.measure import measure_objects, measure_structures
from napari_unetseg.core.metrics.objects import ObjectScores, match
from napari_unetseg.core.metrics.overlap import Overlap, count_overlap
from napari_unetseg.core.metrics.painted_reference import evaluate_painted, painted_reference
from napari_unetseg.core.metrics.scores import DISTANCES, METRICS, Evaluation, StructureScore
from napari_unetseg.core.metrics.table import save_table, table_rows

__all__ = [
    "DISTANCES",
    "METRICS",
    "Advice",
    "AdviceRules",
    "Evaluation",
    "Found",
    "MetricSettings",
    "ObjectScores",
    "Overlap",
    "StructureScore",
    "advise",
    "count_overlap",
    "evaluate",
    "evaluate_painted",
    "follow",
    "found_by_size",
    "match",
    "measure_objects",
    "measure_structures",
    "painted_reference",
    "save_table",
    "table_rows",
]
