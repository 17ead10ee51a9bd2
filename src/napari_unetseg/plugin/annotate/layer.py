"""The painted layer: made on the image's grid, coloured as the output, read as a copy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from napari.layers import Labels as LabelsLayer

from napari_unetseg.core.annotations.painted_stack import PaintedStack
from napari_unetseg.core.annotations.sparse_labels import MOST_CLASSES, UNPAINTED
from napari_unetseg.core.geometry.same_grid import NEAR, displacements
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import InputError
from napari_unetseg.plugin.annotate.classes import KEYS, PaintStructures
from napari_unetseg.plugin.layers.marks import is_painted
from napari_unetseg.plugin.layers.source import METADATA, LayerSource, appearance, labels_of

BRUSH = 10
PAINTING = ("paint", "fill", "polygon")
"""napari's modes that paint the chosen value."""


def new_layer(source: LayerSource, structures: PaintStructures, painted: PaintedStack | None = None) -> LabelsLayer:
    """A layer to paint on, empty or with earlier paint, where an image lies; only slices with paint take memory yet."""
    dtype = np.uint8 if painted is None or painted.highest < 256 else np.uint16
    array = np.zeros(source.shape[1:], dtype)
    if painted is not None:
        for z, plane in painted.planes.items():
            array[z] = plane
    labels = Labels(array, source.grid, structures.painted, name=source.name)
    data, attributes = source.labels(labels, f"{source.name} (painted)")
    layer = LabelsLayer(data, opacity=0.8, **attributes)
    layer.brush_size = BRUSH
    return layer


def dress(layer: LabelsLayer, structures: PaintStructures) -> None:
    """Show names and colours of the structures as they are now."""
    empty = Labels(np.zeros((1, 1, 1), np.uint8), structures=structures.painted)
    look = appearance(empty)
    layer.colormap = look["colormap"]
    layer.features = look["features"]
    record = layer.metadata.get(METADATA, {})
    layer.metadata = {**layer.metadata, METADATA: {**record, "structures": structures.painted}}


def structures_in(layer: LabelsLayer) -> PaintStructures:
    """The structures that a painted layer was made or saved with."""
    recorded = layer.metadata.get(METADATA, {}).get("structures", ())
    return PaintStructures({s.label: s.name for s in recorded if s.label > 1})


def holds_structures(layer: LabelsLayer) -> bool:
    """Whether a layer is known to hold output labels, of which 1 is a structure: in paint it is background."""
    return bool(layer.metadata.get(METADATA, {}).get("structures", ())) and not is_painted(layer)


def paint_of_labels(labels: Labels) -> tuple[npt.NDArray[np.uint8], PaintStructures]:
    """Labels as paint (Z, Y, X), and their structures: background is 1, and each structure one higher.

    Numbered objects are one structure.

    Raises
    ------
    InputError
        If there are more structures than can be painted.
    """
    highest = 1 if labels.are_objects else int(labels.array.max())
    if highest >= MOST_CLASSES:
        raise InputError(f"Expected at most {MOST_CLASSES - 1} structures to paint; {labels.name} holds {highest}.")
    array = labels.array > 0 if labels.are_objects else labels.array
    structures = PaintStructures({s.label + 1: s.name for s in labels.structures if s.label <= max(highest, 1)})
    structures.cover(highest + 1)
    return array.astype(np.uint8) + np.uint8(1), structures


def erase(layer: LabelsLayer, value: int) -> None:
    """Take away all that is painted with a value, as one change that napari can undo."""
    layer.data_setitem(np.nonzero(np.asarray(layer.data) == value), UNPAINTED)


def pick(layer: LabelsLayer, value: int) -> None:
    """Paint this value from now on, with whatever paints: an eraser or a colour picker would not."""
    layer.selected_label = value
    if layer.mode not in PAINTING:
        layer.mode = "paint"


def bind_keys(layer: LabelsLayer, picked: Callable[[int], None]) -> None:
    """Ctrl+1, …, while the layer is active: napari's own keys on labels are digits and letters without Ctrl."""
    for value in range(1, KEYS + 1):
        layer.bind_key(f"Control-{value}", _picker(value, picked), overwrite=True)


def _picker(value: int, picked: Callable[[int], None]) -> Callable[[LabelsLayer], None]:
    """A plain function: napari asks each binding for its ``__name__``, and a partial without one deafens all keys."""

    def paint_with(_layer: LabelsLayer) -> None:
        picked(value)

    return paint_with


def paint_on(layer: LabelsLayer, source: LayerSource, time: int = 0) -> LayerSource:
    """Where to read the paint on an image: the layer as it is, not a copy.

    Raises
    ------
    InputError
        If the layer has another shape than the image, or lies elsewhere.
    """
    if layer.multiscale:
        raise InputError("Expected a painted layer of one resolution; got a multiscale one. Add a painted layer.")
    paint = LayerSource.of(layer, time=time, channel=0)
    mend = f"Add a painted layer for {source.name}."
    if paint.shape[1:] != source.shape[1:]:
        raise InputError(
            f"Expected paint of the image's shape {source.shape[1:]} (z, y, x); got {paint.shape[1:]}. {mend}"
        )
    first = 1 if source.shape[1] == 1 else 0  # one slice has no place along z
    near = np.allclose(paint.grid.origin[first:], source.grid.origin[first:], atol=0.5 * min(source.grid.spacing))
    alike = np.allclose(paint.grid.spacing[first:], source.grid.spacing[first:], rtol=1e-3)
    turned = displacements(paint.shown, source.shown, source.shape[1:])[0] > NEAR
    if turned or not (near and alike and paint.grid.unit == source.grid.unit):
        raise InputError(f"Expected paint that lies on the image; {layer.name} lies elsewhere. {mend}")
    return paint


def labels_on(layer: LabelsLayer, source: LayerSource, time: int = 0) -> Labels:
    """A copy of a layer's labels, which must lie on an image; raises as `paint_on`."""
    paint_on(layer, source, time)
    return labels_of(layer, time=time)
