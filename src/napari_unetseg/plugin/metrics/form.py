"""Rows of the Metrics widget that choose what is measured, and notice when it changes."""

from __future__ import annotations

from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout
from superqt.utils import qdebounced, signals_blocked

from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.settings import help_of
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.layers.labels_source import LabelsSource
from napari_unetseg.plugin.layers.marks import is_painted, is_result
from napari_unetseg.plugin.layers.source import METADATA, LayerSource
from napari_unetseg.plugin.layers.viewport import index_on_screen
from napari_unetseg.plugin.metrics.job import ERRORS_MARK, MetricsRequest
from napari_unetseg.plugin.parts.fields import LayerBox, combo, show_row

REST = 300
"""Milliseconds without a change after which the figures are worked out again."""
CHANGES = ("data", "paint", "labels_update", "scale")
"""Events of a labels layer after which its figures may be others."""


class MetricsRows(QObject):
    """Prediction and reference, or, without a reference, image and kind of rows.

    Parameters
    ----------
    layout : QFormLayout
        Gets the rows.
    viewer : Viewer
    """

    chosen = Signal()
    """Something else is to be measured."""
    edited = Signal()
    """What is measured has changed, and rests now."""

    def __init__(self, layout: QFormLayout, viewer: Viewer) -> None:
        super().__init__(layout.parentWidget())
        self._layout, self._viewer = layout, viewer
        self._watched: list[LabelsLayer] = []
        self._known_reference: LabelsLayer | None = None
        self._build()
        self._tell_soon = qdebounced(self._tell, timeout=REST, parent=self)
        viewer.layers.events.inserted.connect(self._suggest)
        viewer.dims.events.current_step.connect(self._follow_time)
        self._time = 0
        self._suggest()
        self._choose()

    def _build(self) -> None:
        self.predicted_box = LayerBox(self._viewer, _is_segmentation, follows=False)
        self.reference_box = LayerBox(self._viewer, _is_segmentation, follows=False, none="none: measure only")
        self.image_box = LayerBox(self._viewer, lambda layer: isinstance(layer, Image), follows=False, none="none")
        self.soft_box = LayerBox(self._viewer, lambda layer: isinstance(layer, Image), follows=False, none="none")
        self.values_box, self.each_box = combo(), combo()
        for text, objects in (("as the layers say", None), ("structures", False), ("numbered objects", True)):
            self.values_box.addItem(text, objects)
        for text, objects in (("structure", False), ("object", True)):
            self.each_box.addItem(text, objects)
        self.painted = QCheckBox("Reference is paint (0 = unknown)")
        tips = {
            self.predicted_box: "The labels to be measured.",
            self.reference_box: "The labels that are right, on the same grid.",
            self.image_box: "For mean intensities.",
            self.soft_box: "That the labels were made of, for volumes and surfaces finer than voxels: from 0 to 1,\n"
            "background first, then structures, or the one structure alone.",
            self.values_box: help_of(MetricSettings, "objects"),
            self.each_box: "An object is a number of numbered objects, or a connected part of a structure.",
            self.painted: "1 is background, structures follow from 2; unknown voxels count for nothing.",
        }
        for widget, tip in tips.items():
            widget.setToolTip(tip)
        for label, box in (
            ("Prediction", self.predicted_box), ("Reference", self.reference_box), ("Values are", self.values_box),
            ("Image", self.image_box), ("Probabilities", self.soft_box), ("A row each", self.each_box),
        ):  # fmt: skip
            self._layout.addRow(label, box)
            changed = box.layer_changed if isinstance(box, LayerBox) else box.currentIndexChanged
            changed.connect(self._choose)
        self._layout.addRow(self.painted)
        self.painted.toggled.connect(self._choose)
        self.predicted_box.activated.connect(self._keep_prediction)
        self.reference_box.activated.connect(self._keep_reference)
        self.each_box.activated.connect(self._keep_each)
        self._prediction_is_chosen = self._reference_is_chosen = self._each_is_chosen = False

    @property
    def predicted(self) -> LabelsLayer | None:
        """The layer that is measured."""
        return self.predicted_box.layer

    @property
    def reference(self) -> LabelsLayer | None:
        """The layer that it is compared with."""
        return self.reference_box.layer

    def request(self, tolerance: float | None) -> MetricsRequest | None:
        """A snapshot of what is chosen; None where no layer is."""
        if self.predicted is None:
            return None
        predicted = self._source(self.predicted)
        if self.reference is None:
            image, soft = (self._image(box.layer) for box in (self.image_box, self.soft_box))
            each = self.each_box.currentData()
            return MetricsRequest(predicted, image=image, each_object=each, probabilities=soft)
        settings = MetricSettings(tolerance=tolerance, objects=self.values_box.currentData())
        return MetricsRequest(predicted, self._source(self.reference), self.painted.isChecked(), settings)

    def _image(self, layer: Image | None) -> LayerSource | None:
        return None if layer is None else LayerSource.of(layer, time=index_on_screen(self._viewer, layer, "T"))

    def _source(self, layer: LabelsLayer) -> LabelsSource:
        return LabelsSource.of(layer, index_on_screen(self._viewer, layer, "T"), self.values_box.currentData())

    def _choose(self, _value: object = None) -> None:
        """Watch the layers that are chosen now; a painted reference says so of itself."""
        alone = self.reference is None
        if not same_layer(self.reference, self._known_reference):
            self._known_reference = self.reference
            with signals_blocked(self.painted):
                self.painted.setChecked(self.reference is not None and is_painted(self.reference))
        if not self._each_is_chosen:
            with signals_blocked(self.each_box):
                self.each_box.setCurrentIndex(self.each_box.findData(self._holds_objects))
        show_row(self._layout, self.image_box, alone)
        show_row(self._layout, self.soft_box, alone)
        show_row(self._layout, self.each_box, alone)
        self.painted.setVisible(not alone)
        for layer in self._watched:
            for event in CHANGES:
                getattr(layer.events, event).disconnect(self._wait)
        self._watched = [layer for layer in {self.predicted, self.reference} if layer is not None]
        for layer in self._watched:
            for event in CHANGES:
                getattr(layer.events, event).connect(self._wait)
        self._tell_soon.cancel()
        self.chosen.emit()

    def _wait(self, _event: object = None) -> None:
        self._tell_soon()

    def _tell(self) -> None:
        self.edited.emit()

    def _follow_time(self, _event: object = None) -> None:
        """Other time points have other figures."""
        if self.predicted is not None:
            time, self._time = self._time, index_on_screen(self._viewer, self.predicted, "T")
            if time != self._time:
                self._wait()

    @property
    def _holds_objects(self) -> bool:
        return self.predicted is not None and self._source(self.predicted).are_objects

    def _keep_prediction(self) -> None:
        self._prediction_is_chosen = True

    def _keep_reference(self) -> None:
        self._reference_is_chosen = True

    def _keep_each(self) -> None:
        self._each_is_chosen = True

    def _suggest(self, _event: object = None) -> None:
        """Take the newest of our results as prediction, and another of its shape as reference, unless one is chosen."""
        ours = [layer for layer in self._viewer.layers if _is_segmentation(layer) and is_result(layer)]
        if ours and not self._prediction_is_chosen:
            if same_layer(self.reference, ours[-1]) and not self._reference_is_chosen:
                self.reference_box.choose(None)
            self.predicted_box.choose(ours[-1])
        self._suggest_reference()

    def _suggest_reference(self) -> None:
        if self._reference_is_chosen or self.reference is not None or self.predicted is None:
            return
        boxes = (self.reference_box.itemData(index) for index in range(self.reference_box.count()))
        others = (layer for layer in boxes if layer is not None and not same_layer(layer, self.predicted))
        self.reference_box.choose(next((o for o in others if o.data.shape == self.predicted.data.shape), None))


def _is_segmentation(layer: Layer) -> bool:
    return isinstance(layer, LabelsLayer) and not layer.metadata.get(METADATA, {}).get(ERRORS_MARK, False)
