"""Scores of an evaluation: one row of figures for each structure, and their means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from napari_unetseg.core.metrics.objects import ObjectScores

NAN = math.nan


@dataclass(frozen=True)
class StructureScore:
    """The figures of one structure. Lengths are in the evaluation's unit, volumes in its cube (2D: square).

    NaN means that a figure does not apply. A structure that is absent

    - from both volumes has no figures but volumes and parts of 0, and counts in no mean;
    - from the reference has Dice, IoU, precision, surface Dice and boundary Dice 0, infinite distances, and no
      sensitivity;
    - from the prediction has Dice, IoU, sensitivity, surface Dice and boundary Dice 0, infinite distances, and no
      precision.

    Parameters
    ----------
    dice : float
        2 |P ∩ R| / (|P| + |R|); Dice 1945, DOI 10.2307/1932409.
    iou : float
        |P ∩ R| / |P ∪ R|, also called Jaccard index.
    precision, sensitivity, specificity : float
        |P ∩ R| / |P|, |P ∩ R| / |R|, and the share of voxels outside R that are outside P.
    volume, reference_volume : float
        Volume (2D: area) of the prediction and of the reference.
    volume_difference, volume_difference_percent : float
        Prediction minus reference, and the same in percent of the reference.
    hausdorff, hausdorff95 : float
        Largest distance from either surface to the other, and the larger one of the two 95th percentiles.
        DOI 10.1109/34.232073.
    assd : float
        Average symmetric surface distance: mean over the voxels of both surfaces.
    nsd : float
        Normalised surface Dice: the share of both surfaces that is within the tolerance of the other.
        arXiv 1809.04430.
    boundary_dice : float
        Dice of the inner bands of both, as wide as the tolerance; the Dice form of Boundary IoU, arXiv 2103.16562.
    parts, reference_parts : int or None
        Connected parts, with voxels that touch at faces, edges or corners connected. None where not counted.
    small_recall, large_recall : float or None
        Share of the reference's small and of its large connected parts (lesions, say) of which more than half was
        found; its parts are ranked by size, and halved. None for fewer than four parts, and for numbered objects.
    """

    label: int
    name: str
    dice: float
    iou: float
    precision: float
    sensitivity: float
    specificity: float
    volume: float
    reference_volume: float
    volume_difference: float
    volume_difference_percent: float
    hausdorff: float = NAN
    hausdorff95: float = NAN
    assd: float = NAN
    nsd: float = NAN
    boundary_dice: float = NAN
    parts: int | None = None
    reference_parts: int | None = None
    small_recall: float | None = None
    large_recall: float | None = None


METRICS = tuple(field.name for field in fields(StructureScore) if field.name not in ("label", "name"))
"""Names of the figures of a row, in the order of a table's columns."""
DISTANCES = ("hausdorff", "hausdorff95", "assd")
"""The figures that are lengths, and better when smaller."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of every structure of a prediction against a reference.

    Parameters
    ----------
    structures : tuple of StructureScore
        In the order of their labels.
    foreground_dice : float
        Dice of everything above 0, whatever the label; NaN where both are empty.
    unit : str
        Unit of lengths: ``nm, µm, mm, cm, m`` or ``pixel``.
    dimensions : 2 or 3
        Whether `volume` is an area (unit²) or a volume (unit³).
    tolerance : float
        Of the normalised surface Dice and the boundary Dice, in `unit`.
    objects : ObjectScores or None
        Where numbered objects were compared. All of them together are then the one structure.
    """

    structures: tuple[StructureScore, ...]
    foreground_dice: float
    unit: str
    dimensions: int
    tolerance: float
    objects: ObjectScores | None = None

    @property
    def mean_dice(self) -> float:
        """Mean of the structures' Dice; NaN where no structure is in either volume."""
        return self.mean("dice")

    @property
    def mean_iou(self) -> float:
        """Mean of the structures' IoU, known as mIoU; the background, where it is nearly all, is not among them."""
        return self.mean("iou")

    def mean(self, metric: str) -> float:
        """Mean over the structures to which `metric` applies; NaN where there is none."""
        return self._average(metric, lambda score: 1.0)

    def weighted_mean(self, metric: str) -> float:
        """Mean weighted by the reference's voxels; NaN where the reference is empty."""
        return self._average(metric, lambda score: score.reference_volume)

    def _average(self, metric: str, weight: Callable[[StructureScore], float]) -> float:
        pairs = [(getattr(score, metric), weight(score)) for score in self.structures]
        pairs = [(value, w) for value, w in pairs if value is not None and not math.isnan(value) and w > 0]
        total = sum(w for _, w in pairs)
        return float(sum(value * w for value, w in pairs) / total) if pairs else NAN

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a figure that does not apply or is infinite becomes None."""
        record: dict[str, Any] = finite(
            {
                "structures": [asdict(score) for score in self.structures],
                "mean_dice": self.mean_dice,
                "mean_iou": self.mean_iou,
                "foreground_dice": self.foreground_dice,
                "mean": {metric: self.mean(metric) for metric in METRICS},
                "weighted_mean": {metric: self.weighted_mean(metric) for metric in METRICS},
                "unit": self.unit,
                "dimensions": self.dimensions,
                "tolerance": self.tolerance,
                "objects": self.objects and asdict(self.objects),
            }
        )
        return record


def finite(value: Any) -> Any:
    """The same nested dicts and lists with every NaN and infinity as None, which JSON can say."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
