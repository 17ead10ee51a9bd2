"""Look of a labels layer by its measures: they are in its features table, colour its labels and hide some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Labels as LabelsLayer
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap

from napari_unetseg.core.metrics.columns import NAMES, Row, label_of
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.layers.viewport import colours_of

SCALE = "viridis"
"""Of colours from the smallest to the largest figure; readable in grey and by the colour-blind."""
UNKNOWN = "#808080"


class MeasuredLook:
    """Colours of one layer at a time by a figure; `restore` gives it back those that it had."""

    def __init__(self) -> None:
        self._layer: LabelsLayer | None = None
        self._own: Any = None

    def show(self, layer: LabelsLayer, rows: Sequence[Row], key: str | None, hidden: frozenset[int]) -> bool:
        """Colour a layer's labels by a figure, and hide some of them; tells whether its colours have changed.

        Parameters
        ----------
        key : str or None
            Of the figure; None keeps the layer's own colours.
        hidden : frozenset of int
            Labels that are not shown.
        """
        if not same_layer(layer, self._layer):
            self.restore()
        if key is None and not hidden:
            return self.restore()
        if self._layer is None:
            self._layer, self._own = layer, layer.colormap
        else:
            layer.colormap = self._own
        labels = [label_of(row) for row in rows]
        colours = self._own_colours(layer, labels) if key is None else figure_colours(rows, key)
        shown: dict[int | None, Any] = {None: UNKNOWN, 0: "transparent"}
        shown |= {label: "transparent" if label in hidden else colours[label] for label in labels}
        layer.colormap = DirectLabelColormap(color_dict=shown)
        return True

    def restore(self) -> bool:
        """Give the layer its own colours back; tells whether it had others."""
        had_others = self._layer is not None
        if self._layer is not None:
            self._layer.colormap = self._own
        self._layer = self._own = None
        return had_others

    @staticmethod
    def _own_colours(layer: LabelsLayer, labels: Sequence[int]) -> dict[int, Any]:
        return {label: colour.name() for label, colour in zip(labels, colours_of(layer, labels), strict=True)}


def figure_colours(rows: Sequence[Row], key: str) -> Mapping[int, Any]:
    """The colour of each row's label by one of its figures; grey where it does not apply or is infinite."""
    figures = np.array([np.nan if row.get(key) is None else float(row[key]) for row in rows])
    known = np.isfinite(figures)
    low, high = (figures[known].min(), figures[known].max()) if known.any() else (0.0, 1.0)
    shares = np.where(known, (figures - low) / ((high - low) or 1.0), 0.0)
    colours = ensure_colormap(SCALE).map(shares)
    return {label_of(row): colours[i] if known[i] else UNKNOWN for i, row in enumerate(rows)}


def put_features(layer: LabelsLayer, rows: Sequence[Row]) -> None:
    """Put figures into a layer's features table, a row a label; what else is in it stays."""
    figures = pd.DataFrame(
        [{"index": label_of(row), **{k: v for k, v in row.items() if k not in NAMES}} for row in rows]
    ).set_index("index")
    there = pd.DataFrame(layer.features)
    there = there.set_index("index") if "index" in there else there.rename_axis("index")
    others = there[[column for column in there if column not in figures]]
    layer.features = others.join(figures, how="outer").reset_index()
