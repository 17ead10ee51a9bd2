"""Words of the Metrics widget about a report."""

from __future__ import annotations

from napari_unetseg.core.metrics.columns import cell
from napari_unetseg.service.metric_jobs import MetricsReport


def summary(report: MetricsReport) -> str:
    """The means over the structures, and how many objects were found, in words; empty without a reference."""
    if report.evaluation is None:
        return ""
    evaluation, objects = report.evaluation, report.evaluation.objects
    text = f"Mean Dice {cell(evaluation.mean_dice)}, mean IoU (mIoU) {cell(evaluation.mean_iou)}"
    text += f", Dice weighted by volume {cell(evaluation.weighted_mean('dice'))}"
    if objects is not None:
        text += f". Objects: {objects.matched} of {objects.reference} matched, F1 {cell(objects.f1)}, "
        text += f"PQ {cell(objects.panoptic_quality)}, {objects.splits} split, {objects.merges} merged"
    return f"{text}."
