"""The *Segment* widget: a layer, a model, one click."""

from __future__ import annotations

import sys
import time
from typing import Any

from napari.viewer import Viewer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QWidget
from superqt import QCollapsible
from superqt.utils import qdebounced

from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.selection import propose_model, trial_models
from napari_unetseg.core.settings import LARGEST_SCALE, SegmentSettings, help_of
from napari_unetseg.errors import UnetsegError
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.layers.viewport import voxel_in_view
from napari_unetseg.plugin.parts.docks import open_widget
from napari_unetseg.plugin.parts.fields import Panel, combo, form, narrow, note
from napari_unetseg.plugin.parts.job_bar import JobBar
from napari_unetseg.plugin.parts.layer_form import LayerRows
from napari_unetseg.plugin.parts.model_picker import ModelBox
from napari_unetseg.plugin.parts.segment_job import SegmentRequest, Shown, estimate_layer, segment_layer
from napari_unetseg.plugin.parts.text import duration, memory
from napari_unetseg.plugin.segment.compare import CompareBox
from napari_unetseg.plugin.segment.results import ResultsTable
from napari_unetseg.plugin.segment.trials import Candidate, Tried, compare_models, describe_layer

FORECAST_DELAY = 500
"""Milliseconds without a change before a forecast is asked for."""
DEVICES = ("auto", "cpu", "mps") if sys.platform == "darwin" else ("auto", "cpu", "cuda")
WRITES = {
    "auto": "automatic",
    "classes": "classes",
    "objects": "numbered objects",
    "probabilities": "probabilities",
}


class SegmentWidget(Panel):
    """Segments the chosen layer with the chosen model in a process of its own, and adds the result as a layer.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands itself over by this name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._model_is_chosen = False
        self.bridge = Bridge(self)
        self._clicked = 0.0
        self._build()
        self._forecast_soon = qdebounced(self._ask_forecast, timeout=FORECAST_DELAY, parent=self)
        self._connect()
        self._suggest_model()
        self._refresh()

    def _build(self) -> None:
        top = form()
        self.rows.addLayout(top)
        self.layer = LayerRows(top, self._viewer)
        self.model = ModelBox()
        self.write, self.device = combo(), combo()
        for key, text in WRITES.items():
            self.write.addItem(text, key)
        self.device.addItems(DEVICES)
        top.addRow("Model", self.model)
        top.addRow("Output", self.write)
        self.compare = CompareBox()
        self.rows.addWidget(self.compare)
        self.rows.addWidget(self._more())
        self.forecast = note()
        self.rows.addWidget(self.forecast)
        self.job = JobBar(self.bridge, "Segment")
        self.rows.addWidget(self.job)
        self.table = ResultsTable()
        self.table.hide()
        self.rows.addWidget(self.table)
        self.notes = note()
        self.rows.addWidget(self.notes)
        self.rows.addStretch(1)

    def _more(self) -> QCollapsible:
        """The settings that few need."""
        self.flips = QCheckBox("average over mirrored copies")
        self.vote = QCheckBox("2D model: vote over three axes")
        self.smallest = QDoubleSpinBox()
        self.smallest.setRange(0, 1e12)
        self.smallest.setDecimals(3)
        narrow(self.smallest)
        self.smallest.setSpecialValueText("the model's own")
        self.scale = QDoubleSpinBox()
        self.scale.setRange(1 / LARGEST_SCALE, LARGEST_SCALE)
        self.scale.setSingleStep(0.1)
        self.scale.setPrefix("× ")
        self.scale.setValue(SegmentSettings.scale)
        narrow(self.scale)
        inside = QWidget()
        rows = form()
        inside.setLayout(rows)
        rows.addRow("Device", self.device)
        rows.addRow("Smallest object", self.smallest)
        rows.addRow("Scale", self.scale)
        rows.addRow(self.flips)
        rows.addRow(self.vote)
        for name in ("write", "device", "flips", "vote", "smallest", "scale"):
            getattr(self, name).setToolTip(help_of(SegmentSettings, name))
        more = QCollapsible("More")
        more.setDuration(0)
        more.addWidget(inside)
        return more

    def _connect(self) -> None:
        self.layer.layer_box.layer_changed.connect(self._suggest_model)
        self.layer.changed.connect(self._refresh)
        self.model.model_changed.connect(self._refresh)
        self.model.chosen_by_hand.connect(self._keep_model)
        self.model.learn_asked.connect(lambda: open_widget(self._viewer, "Learn"))
        self.layer.layer_box.layer_changed.connect(self.compare.clear)
        self.compare.asked.connect(self._compare)
        self.compare.chosen.connect(self._choose)
        self.bridge.progressed.connect(self._show_tried)
        for box in (self.write, self.device):
            box.currentIndexChanged.connect(self._refresh)
        for check in (self.flips, self.vote):
            check.toggled.connect(self._refresh)
        self.scale.valueChanged.connect(self._refresh)
        self.docked.connect(self.bridge.warm_up)
        self.job.asked.connect(self._start)
        self.bridge.returned.connect(self._show)
        self.bridge.ended.connect(self._refresh)

    @property
    def settings(self) -> SegmentSettings:
        """What the form says."""
        return SegmentSettings(
            device=self.device.currentText(), write=self.write.currentData(), flips=self.flips.isChecked(),
            vote=self.vote.isChecked() and self.vote.isEnabled(), smallest=self.smallest.value(),
            scale=self.scale.value(),
        )  # fmt: skip

    def request(self) -> SegmentRequest | None:
        """What a click would do now; None where there is no layer or no model."""
        source = self.layer.source()
        if source is None or self.model.model is None:
            return None
        grid = source.mended_grid(self.layer.spacing, self.layer.unit)
        return SegmentRequest(source, grid, self.model.model, self.settings)

    def _suggest_model(self) -> None:
        """Choose the model that fits best, unless the user's own choice fits as well; or say that none does."""
        request = self.request()
        if request is None:
            self.model.warn("")
            return
        proposal = propose_model(self.model.cards, request.outline.volume(), describe_layer(request.source))
        is_kept = self._model_is_chosen and self.model.card in proposal.ranked
        if proposal.ranked and not is_kept:
            self.model.choose_card(proposal.ranked[0])
        self.model.warn("" if is_kept else proposal.warning)
        self._refresh()

    def _keep_model(self) -> None:
        self._model_is_chosen = True
        self.model.warn("")
        self._refresh()

    def _choose(self, card: ModelCard) -> None:
        """Take the model whose picture was clicked."""
        self._keep_model()
        self.model.choose_card(card)
        self.compare.mark(card)

    def _compare(self) -> None:
        """Try the models that fit on the part in view."""
        request = self.request()
        if request is None:
            return
        worth = trial_models(self.model.cards, request.outline.volume(), describe_layer(request.source))
        by_card = {id(card): Candidate(model, card) for model, card in self.model.offers}
        candidates = [by_card[id(card)] for card in worth]
        centre = voxel_in_view(self._viewer, self.layer.layer_box.layer, request.source)
        self.compare.clear()
        self.bridge.start("Comparing models", compare_models, request, candidates, centre)
        self.job.depend_on(self._viewer, self.layer.layer_box.layer)
        self._refresh()

    def _show_tried(self, record: object) -> None:
        if isinstance(record, Tried):
            self.compare.add(record)
            self.compare.mark(self.model.card)

    def _refresh(self) -> None:
        """Bring what depends on the choices up to date, and ask for a forecast when they rest."""
        request = self.request()
        can_start = request is not None and not self.model.is_doubted
        self.job.button.setEnabled(can_start or self.bridge.is_running)
        self.compare.button.setEnabled(request is not None and not self.bridge.is_running)
        self.compare.mark(self.model.card)
        flat = request is not None and request.source.shape[1] == 1
        self.vote.setEnabled(self.model.card is not None and self.model.card.dimensions == 2 and not flat)
        self.smallest.setSuffix(f" {self.layer.unit}{'²' if flat else '³'}")
        self.forecast.setText("")
        if request is not None and not self.bridge.is_running:
            self._forecast_soon()

    def _ask_forecast(self) -> None:
        request = self.request()
        if request is not None and self.isVisible() and not self.bridge.is_running:
            self.bridge.ask(self._show_forecast, estimate_layer, request)

    def _show_forecast(self, forecast: Any) -> None:
        """What the click would cost, or why it would fail, as far as the user can mend that."""
        if isinstance(forecast, UnetsegError):
            self.forecast.setText(str(forecast))
        elif not isinstance(forecast, Exception):
            self.forecast.setText(
                f"About {duration(forecast.seconds)} and {memory(forecast.peak_bytes)} on {forecast.device}"
            )

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Ask for the forecast that a hidden widget did without."""
        super().showEvent(event)
        self._refresh()

    def _start(self) -> None:
        request = self.request()
        if request is not None and not self.model.is_doubted:
            self.table.hide()
            self.notes.setText("")
            self._clicked = time.monotonic()
            self.bridge.start("Segmenting", segment_layer, request)
            self.job.depend_on(self._viewer, self.layer.layer_box.layer)
            self._refresh()

    def _show(self, result: Shown | list[Tried]) -> None:
        if isinstance(result, Shown):
            self._show_labels(result)
        else:
            self.job.say(
                "Click a picture to choose its model." if self.compare.pictures else "No model could be tried here."
            )

    def _show_labels(self, shown: Shown) -> None:
        """Add the layers and fill the table."""
        for layer in shown.layers:
            self._viewer.add_layer(layer)
        result = shown.finding.segmentation
        self.job.say(f"Done in {duration(time.monotonic() - self._clicked)} on {result.device}.")
        dimensions = 2 if result.labels.array.shape[0] == 1 else 3
        self.table.show_structures(shown.finding.structures, result.labels.grid.unit, dimensions)
        self.table.show()
        self.notes.setText("\n".join(result.notes))
