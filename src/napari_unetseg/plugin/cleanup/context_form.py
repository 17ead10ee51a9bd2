"""Rows of the Clean up widget for what steps look at beside the labels; each is there when a step asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFormLayout

from napari_unetseg.core.steps import Crf, Prior, ProbabilityStep, Separate, Step
from napari_unetseg.plugin.cleanup.job import ContextLayers
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.layers.labels_source import LabelsSource
from napari_unetseg.plugin.layers.marks import is_painted
from napari_unetseg.plugin.layers.source import METADATA, LayerSource
from napari_unetseg.plugin.layers.viewport import index_on_screen
from napari_unetseg.plugin.parts.fields import LayerBox, show_row

PREVIEW_MARK = "preview"
"""Marks the preview, in our record of its metadata: it is not to be cleaned up itself."""


class ContextRows(QObject):
    """Image, probabilities and prior, in a form.

    Parameters
    ----------
    form : QFormLayout
        The rows are added to it.
    """

    changed = Signal()

    def __init__(self, form: QFormLayout, viewer: Viewer) -> None:
        super().__init__()
        self._form, self._viewer = form, viewer
        self.image = LayerBox(viewer, _is_image, follows=False, none="none")
        self.image.setToolTip("The image that the labels are of: steps follow what it shows.")
        self.probabilities = LayerBox(viewer, _is_image, follows=False, none="none: the labels, softened")
        self.probabilities.setToolTip(
            "What a model thought: one layer, a channel a structure, from 0 to 1. It counts for the first steps, until "
            "one changes the labels. Several layers become one by Layers → Merge to stack."
        )
        self.prior = LayerBox(viewer, _is_prior, follows=False, none="none")
        self.prior.setToolTip(
            "Where structures are likely: slices painted with 1 for background and 2… for structures (what lies "
            "between is interpolated), or an image of probabilities from 0 to 1, a channel a structure."
        )
        for text, box in (("Image", self.image), ("Probabilities", self.probabilities), ("Prior", self.prior)):
            form.addRow(text, box)
            box.layer_changed.connect(lambda: self.changed.emit())
        self.show_for(())

    def show_for(self, steps: Sequence[Step]) -> None:
        """Show the rows that the steps can use."""
        follows = any(isinstance(step, Crf) or getattr(step, "along", "distance") != "distance" for step in steps)
        weighs = bool(steps) and isinstance(steps[0], ProbabilityStep)
        prior = any(isinstance(step, Prior) for step in steps)
        for box, visible in ((self.image, follows), (self.probabilities, weighs), (self.prior, prior)):
            show_row(self._form, box, visible)

    def suggest(self, step: Step, labels: LabelsLayer) -> None:
        """Choose what the new step is likely to be meant for, where nothing is chosen yet."""
        if isinstance(step, (Crf, Separate)) and self.image.layer is None:
            self.image.choose(self._fitting(_is_image, labels))
        if isinstance(step, Prior) and self.prior.layer is None:
            self.prior.choose(self._fitting(is_painted, labels))

    def _fitting(self, accepts: Callable[[Layer], bool], labels: LabelsLayer) -> Layer | None:
        shape = LayerSource.of(labels).shape[1:]
        fitting = (layer for layer in reversed(self._viewer.layers) if accepts(layer) and not same_layer(layer, labels))
        return next((layer for layer in fitting if LayerSource.of(layer).shape[1:] == shape), None)

    def chosen(self) -> ContextLayers:
        """What is chosen, of the rows that can be seen."""
        prior = self._chosen(self.prior)
        painted = None
        if isinstance(prior, LabelsLayer):
            painted = LabelsSource.of(prior, index_on_screen(self._viewer, prior, "T"))
        return ContextLayers(
            self._source(self._chosen(self.image)),
            self._source(self._chosen(self.probabilities)),
            None if painted is not None else self._source(prior),
            painted,
        )

    def _chosen(self, box: LayerBox) -> Layer | None:
        return None if box.isHidden() else box.layer

    def _source(self, layer: Layer | None) -> LayerSource | None:
        return None if layer is None else LayerSource.of(layer, time=index_on_screen(self._viewer, layer, "T"))


def is_segmentation(layer: Layer) -> bool:
    """Whether a layer is of labels, and not our own preview of some."""
    return isinstance(layer, LabelsLayer) and not layer.metadata.get(METADATA, {}).get(PREVIEW_MARK, False)


def _is_image(layer: Layer) -> bool:
    return isinstance(layer, Image)


def _is_prior(layer: Layer) -> bool:
    return _is_image(layer) or is_segmentation(layer)
