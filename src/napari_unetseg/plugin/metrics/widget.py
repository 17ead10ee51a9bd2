"""The *Metrics* widget: how good a segmentation is, structure by structure, kept up to date while labels change."""

from __future__ import annotations

from pathlib import Path

from napari.layers import Labels as LabelsLayer
from napari.viewer import Viewer
from qtpy.QtGui import QColor, QGuiApplication, QShowEvent
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_unetseg.core.metrics.columns import Row, as_text, columns_of, label_of
from napari_unetseg.core.metrics.table import write_csv
from napari_unetseg.core.progress import Job
from napari_unetseg.errors import InputError, OutputError
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.layers.layer_data import LayerData
from napari_unetseg.plugin.layers.source import METADATA
from napari_unetseg.plugin.layers.viewport import colours_of, index_on_screen, move_to_slice, show_only
from napari_unetseg.plugin.metrics.advice import AdviceBox
from napari_unetseg.plugin.metrics.exports import Asked, ExportButtons
from napari_unetseg.plugin.metrics.form import MetricsRows
from napari_unetseg.plugin.metrics.job import ERRORS_MARK, MetricsRequest, find_errors, measure_layers
from napari_unetseg.plugin.metrics.limits_form import LimitsForm
from napari_unetseg.plugin.metrics.look import MeasuredLook, put_features
from napari_unetseg.plugin.metrics.picking import CanvasPicker, centre_on
from napari_unetseg.plugin.metrics.plot import SlicePlot
from napari_unetseg.plugin.metrics.report import summary
from napari_unetseg.plugin.metrics.table import MetricsTable
from napari_unetseg.plugin.metrics.view_form import ViewForm
from napari_unetseg.plugin.parts.fields import Panel, form, note, show_row
from napari_unetseg.service.metric_jobs import MetricsReport
from napari_unetseg.service.process import Worker

NARROWEST = 300
"""Pixels: two docks fit beside an image on a small screen."""
ERROR_STYLE, NOTE_STYLE = "color: #ff6b6b; font-size: 11px;", "font-size: 11px;"


class MetricsWidget(Panel):
    """Measures a labels layer, alone or against a reference, in a process of its own, whenever it changes.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands itself over by this name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.setMinimumWidth(NARROWEST)
        self.report: MetricsReport | None = None
        self._outdated = True
        self._request: MetricsRequest | None = None
        self.bridge, self.errors_bridge = Bridge(self), Bridge(self)
        self._build()
        self._connect()

    def _build(self) -> None:
        self._form = form()
        self.rows.addLayout(self._form)
        self.choice = MetricsRows(self._form, self._viewer)
        self.limits = LimitsForm()
        self._form.addRow("Limits", self.limits.preset)
        self.rows.addWidget(self.limits)
        self.summary, self.line, self.advice = note(), note(), AdviceBox(self._viewer)
        self.view, self.table, self.plot = ViewForm(), MetricsTable(), SlicePlot()
        self.look, self.picker = MeasuredLook(), CanvasPicker(self, self._viewer, lambda: self._pickable)
        self.exports = ExportButtons(self._viewer, self._asked)
        self.errors_button = QPushButton("Show errors")
        self.errors_button.setToolTip("Add a layer of false positives and negatives: of the chosen row, or of all.")
        self.copy_button, self.save_button = QPushButton("Copy"), QPushButton("Save CSV…")
        self.copy_button.setToolTip("Copy the table, tab-separated, for a spreadsheet.")
        self.save_button.setToolTip("Save all figures with all their digits.")
        for place, button in ((0, self.copy_button), (1, self.save_button), (5, self.errors_button)):
            self.exports.add(button, place)
        self.rows.addWidget(self.line)
        self.rows.addWidget(self.view)
        self.rows.addWidget(self.table)
        self.rows.addWidget(self.summary)
        self.rows.addWidget(self.plot)
        self.rows.addWidget(self.exports)
        self.rows.addWidget(self.advice)
        self.rows.addStretch(1)
        self._show_parts(None)

    def _connect(self) -> None:
        self.choice.chosen.connect(self._start_anew)
        self.choice.edited.connect(self._update)
        self.limits.changed.connect(self._rate)
        self.limits.tolerance_changed.connect(self._update)
        self._rate()
        self.view.changed.connect(self._apply_view)
        self.picker.picked.connect(self.table.choose_label)
        self.exports.told.connect(self._say)
        self.exports.bridge.failed.connect(lambda message: self._say(message, error=True))
        self.destroyed.connect(self.look.restore)
        self.table.row_chosen.connect(self._show_structure)
        self.plot.slice_clicked.connect(self._move)
        self.errors_button.clicked.connect(self._find_errors)
        self.copy_button.clicked.connect(self._copy)
        self.save_button.clicked.connect(self._save)
        self.advice.followed.connect(self._say)
        self.bridge.returned.connect(self._show)
        self.bridge.failed.connect(lambda message: self._say(message, error=True))
        self.bridge.cancelled.connect(self._rest)
        self.bridge.ended.connect(self._catch_up)
        self.errors_bridge.returned.connect(self._show_errors)
        self._viewer.dims.events.current_step.connect(self._mark_slice)

    def request(self) -> MetricsRequest | None:
        """What would be measured now; None where there is no layer."""
        return self.choice.request(self.limits.tolerance.value() or None)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Measure what has changed while the widget was hidden."""
        super().showEvent(event)
        self._catch_up()

    def _start_anew(self) -> None:
        """Other layers: the old figures do not hold any more."""
        self.bridge.cancel()
        self.look.restore()
        self._show_parts(None)
        self._update()

    def _update(self) -> None:
        """Work the figures out again: now, or when the job that is running or the hidden widget allows it."""
        self._outdated = True
        if not self.bridge.is_running:
            self._catch_up()

    def _catch_up(self) -> None:
        if not (self._outdated and self.isVisible()):
            return
        self._outdated = False
        try:
            self._start()
        except InputError as error:
            self._show_parts(None)
            self._say(str(error), error=True)

    def _start(self) -> None:
        request = self.request()
        if request is None:
            self._say("Choose the labels to measure.")
        else:
            request.grid()
            self._request = request
            first = self.report is None  # later ones come silently: the table stays where it is while one paints
            if first:
                self._say("Measuring…")
            self.bridge.start("Measuring" if first else "", _measure, request)

    def _rest(self) -> None:
        """The user has cancelled: wait for the next change."""
        self._outdated = False
        self._say("Cancelled. The next change of the labels measures again.")

    def _say(self, text: str, *, error: bool = False) -> None:
        self.line.setStyleSheet(ERROR_STYLE if error else NOTE_STYLE)
        self.line.setText(text)
        self.line.setVisible(bool(text))

    def _show(self, report: MetricsReport) -> None:
        if report.rows and self.choice.predicted is not None:
            self._say("")
            self._fill(report, self.choice.predicted)
            self._show_parts(report)
        else:
            self._show_parts(None)
            self._say("There is nothing in these labels.")

    def _fill(self, report: MetricsReport, layer: LabelsLayer) -> None:
        labels = [label_of(row) for row in report.rows]
        colours = colours_of(layer, labels)
        self.limits.set_unit(report.rows[0]["unit"])
        columns = columns_of(report.rows, report.dimensions)
        self.view.set_columns(columns, of_labels=self._rows_are_labels)
        if self._rows_are_labels:
            put_features(layer, report.rows)
        self.table.show_rows(report.rows, columns, colours)
        self._apply_view()
        self.summary.setText(summary(report))
        self._show_plot(report, dict(zip(labels, colours, strict=True)))

    def _rate(self) -> None:
        """Hold the rows against the limits, and show the figures that are limited."""
        limits = self.limits.limits
        self.table.figures.set_limits(limits)
        self.view.set_limited([limit.metric for limit in limits] if self.is_compared else ())
        self._apply_view()

    def _apply_view(self) -> None:
        """Show the columns, rows and colours that are chosen."""
        self.table.show_view(self.view.visible, self.view.hides)
        if self.report is not None and self.choice.predicted is not None and self._rows_are_labels:
            rows = self.report.rows
            hidden = frozenset(label_of(row) for row in rows if self.view.hides(row))
            if self.look.show(self.choice.predicted, rows, self.view.colour_key, hidden):
                self.table.figures.set_colours(colours_of(self.choice.predicted, [label_of(row) for row in rows]))

    @property
    def is_compared(self) -> bool:
        """Whether there are figures against a reference."""
        return self.report is not None and self.report.evaluation is not None

    @property
    def _rows_are_labels(self) -> bool:
        return self._request is not None and self._request.rows_are_labels and not self._compares_objects

    @property
    def _pickable(self) -> LabelsLayer | None:
        """The layer whose labels are rows, where they are on screen."""
        shown = self.isVisible() and self.report is not None and self._rows_are_labels
        return self.choice.predicted if shown else None

    def _asked(self) -> Asked | None:
        request = self.request()
        evaluation = None if self.report is None else self.report.evaluation
        return None if request is None else (request, evaluation, self.limits.limits)

    def _show_plot(self, report: MetricsReport, colours: dict[int, QColor]) -> None:
        if report.slices is not None and report.dimensions == 3:
            self.plot.show_lines({label: report.slices.of(label) for label in report.slices.labels}, colours)
            self.plot.emphasise(self._chosen_label)
            self._mark_slice()

    def _show_parts(self, report: MetricsReport | None) -> None:
        """Show those parts of the widget for which there is something to show."""
        self.report = report
        compared = self.is_compared
        for part in (self.view, self.table, self.exports):
            part.setVisible(report is not None)
        for part in (self.limits, self.summary, self.errors_button):
            part.setVisible(compared)
        show_row(self._form, self.limits.preset, compared)
        self.view.set_limited([limit.metric for limit in self.limits.limits] if compared else ())
        self.advice.show_advice(() if report is None else report.advice)
        self.plot.setVisible(compared and report is not None and report.dimensions == 3)

    @property
    def _chosen_label(self) -> int | None:
        return None if self.table.chosen is None else label_of(self.table.chosen)

    @property
    def _compares_objects(self) -> bool:
        return self.report is not None and self.report.evaluation is not None and bool(self.report.evaluation.objects)

    def _show_structure(self, row: Row | None) -> None:
        """Show the structure of a row alone, at its worst slice; None shows all. An object is brought into view."""
        label = None if row is None else label_of(row)
        if row is not None and "object" in row and self.choice.predicted is not None:
            if self._rows_are_labels:
                self.choice.predicted.selected_label = label
            if not self.table.is_following:
                centre_on(self._viewer, self.choice.predicted, row)
            return
        is_value = row is None or ("object" not in row and not self._compares_objects)
        for layer, shift in ((self.choice.predicted, 0), (self.choice.reference, self.choice.painted.isChecked())):
            if layer is not None and is_value:
                show_only(layer, None if label is None else label + shift)
        self.plot.emphasise(label)
        number = None if row is None else self._slice_of(row)
        if number is not None:
            self._move(number)

    def _slice_of(self, row: Row) -> int | None:
        """The worst slice of a structure; None where there is no such."""
        if self.report is None or self.report.slices is None or self.table.is_following:
            return None
        return self.report.slices.worst(label_of(row))

    def _move(self, number: int) -> None:
        if self.choice.predicted is not None:
            move_to_slice(self._viewer, self.choice.predicted, number)

    def _mark_slice(self, _event: object = None) -> None:
        if self.choice.predicted is not None:
            self.plot.mark(index_on_screen(self._viewer, self.choice.predicted, "Z"))

    def _find_errors(self) -> None:
        request = self.request()
        if request is not None and request.reference is not None:
            self.errors_bridge.start("Comparing", find_errors, request, self._chosen_label, self._compares_objects)

    def _show_errors(self, made: LayerData) -> None:
        """Add the layer of errors, or bring the one of that name up to date."""
        data, attributes, _ = made
        ours = (layer for layer in self._viewer.layers if layer.metadata.get(METADATA, {}).get(ERRORS_MARK, False))
        old = next((layer for layer in ours if layer.name == attributes["name"]), None)
        if old is not None and old.data.shape == data.shape:
            old.data = data
        else:
            self._viewer.add_labels(data, **attributes)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(as_text(self.table.rows, self.table.figures.columns))

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the table", "metrics.csv", "Table (*.csv)")
        if path and self.report is not None:
            try:
                write_csv(Path(path), self.report.rows)
                self._say(f"Saved {Path(path).name}.")
            except OutputError as error:
                self._say(str(error), error=True)


def _measure(worker: Worker, request: MetricsRequest) -> Job[MetricsReport]:
    """Measure; meanwhile load what the plot is drawn with, so that the window does not wait for it."""
    job = measure_layers(worker, request)
    yield next(job)
    import pyqtgraph  # noqa: F401

    return (yield from job)
