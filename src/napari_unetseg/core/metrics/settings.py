"""Settings of an evaluation: what to measure, and what counts as close."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_unetseg.core.settings import setting
from napari_unetseg.errors import SettingsError


@dataclass(frozen=True)
class MetricSettings:
    """How to score a prediction.

    Raises
    ------
    SettingsError
        If the tolerance is negative or not finite.
    """

    surfaces: bool = setting(
        True, "Measure surface distances, boundaries and parts too. Without: overlap alone, faster."
    )
    tolerance: float | None = setting(
        None,
        "How far off a surface still counts as right, in the volume's unit. Not given: the longest side of a voxel.",
    )
    objects: bool | None = setting(
        None,
        "Whether the numbers are objects to be matched, not structures. Not given: as the labels say, or by how many.",
    )

    def __post_init__(self) -> None:
        if self.tolerance is not None and not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise SettingsError(f"Expected a tolerance of 0 or more; got {self.tolerance}.")
