"""The *Clean up* widget: steps that mend a segmentation, with a live preview; the labels themselves never change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari.layers import Labels as LabelsLayer
from napari.viewer import Viewer
from qtpy.QtCore import Qt
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QListWidget, QPushButton, QVBoxLayout
from superqt.utils import qdebounced, signals_blocked

from napari_unetseg.core.steps import Step
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.cleanup.context_form import PREVIEW_MARK, ContextRows, is_segmentation
from napari_unetseg.plugin.cleanup.job import STEPS, CleanRequest, clean_layer, is_previewed_by_slice, preview_layer
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.layers.labels_source import LabelsSource
from napari_unetseg.plugin.layers.layer_data import LayerData
from napari_unetseg.plugin.layers.marks import is_preview
from napari_unetseg.plugin.layers.source import METADATA
from napari_unetseg.plugin.layers.viewport import index_on_screen, slice_on_screen
from napari_unetseg.plugin.parts.docks import TakesSteps, open_widget
from napari_unetseg.plugin.parts.fields import LayerBox, Panel, combo, form, note
from napari_unetseg.plugin.parts.job_bar import JobBar
from napari_unetseg.plugin.parts.step_form import KINDS, StepForm, about, describe, new_step, title
from napari_unetseg.plugin.parts.text import without_marks

REST = 300
"""Milliseconds without a change after which the preview is made again."""
PREVIEW = "Clean-up preview"
ALL_SHOWN = "A preview is shown; Apply keeps it."
ONE_SHOWN = "A preview of this slice is shown; Apply does them all."
MOST_VISIBLE_STEPS = 5


class CleanupWidget(Panel):
    """Applies a list of steps to a labels layer, in a process of its own, and adds the result as a layer.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands itself over by this name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.steps: list[Step] = []
        self._preview: LabelsLayer | None = None
        self._hidden: LabelsLayer | None = None
        self._lacks = ""
        self._seen: int | None = None  # the one slice that the preview is of
        self._previewed: LabelsLayer | None = None  # what the preview that is being made is of
        self.bridge, self.preview_bridge = Bridge(self), Bridge(self)
        self._build()
        self._preview_soon = qdebounced(self._make_preview, timeout=REST, parent=self)
        self._connect()
        self._show_steps()

    def _build(self) -> None:
        top = form()
        self.rows.addLayout(top)
        self.labels_box = LayerBox(self._viewer, is_segmentation, follows=False)
        self.labels_box.setToolTip("The labels to clean up. They are never changed.")
        self.kind_box = combo()
        self.kind_box.setToolTip("Add a step to the list. They are done in its order.")
        self.kind_box.addItem("add…")
        for kind in KINDS:
            self.kind_box.addItem(title(kind), kind)
            self.kind_box.setItemData(
                self.kind_box.count() - 1, without_marks(about(kind)), Qt.ItemDataRole.ToolTipRole
            )
        top.addRow("Labels", self.labels_box)
        self.context = ContextRows(top, self._viewer)
        top.addRow("Step", self.kind_box)
        self.rows.addLayout(self._list())
        self.about, self.form = note(), StepForm()
        self.rows.addWidget(self.about)
        self.rows.addWidget(self.form)
        self.live = QCheckBox("Live preview")
        self.live.setChecked(True)
        self.live.setToolTip("Show what the steps do to the slice in view, in a layer that goes away by itself.")
        self.rows.addWidget(self.live)
        self.job = JobBar(self.bridge, "Apply")
        self.keep_button = QPushButton("Use in Learn")
        self.keep_button.setToolTip("Models that Learn saves from now on do these steps to all that they find.")
        self.rows.addWidget(self.keep_button)
        self.rows.addWidget(self.job)
        self.rows.addStretch(1)

    def _list(self) -> QVBoxLayout:
        self.list = QListWidget()
        self.list.setSpacing(2)
        self.list.setToolTip("The steps, in order. Choose one to change it.")
        self.undo_button, self.remove_button = QPushButton("Undo last step"), QPushButton("Remove chosen")
        self.undo_button.setToolTip("Take the last step away: the preview is as it was before.")
        self.remove_button.setToolTip("Take the chosen step away; the others stay.")
        buttons = QHBoxLayout()
        for button in (self.undo_button, self.remove_button):
            buttons.addWidget(button, 1)
        column = QVBoxLayout()
        column.addWidget(self.list)
        column.addLayout(buttons)
        return column

    def _connect(self) -> None:
        self.labels_box.layer_changed.connect(self._start_anew)
        self.context.changed.connect(self._wait)
        self._viewer.dims.events.current_step.connect(self._look)
        self._viewer.layers.events.removed.connect(self._after_removal)
        for event in (self._viewer.dims.events.ndisplay, self._viewer.dims.events.order):
            event.connect(self._wait)
        self.kind_box.activated.connect(self._add)
        self.list.currentRowChanged.connect(self._show_form)
        self.form.changed.connect(self._edit)
        self.undo_button.clicked.connect(lambda: self._remove(len(self.steps) - 1))
        self.remove_button.clicked.connect(lambda: self._remove(self.list.currentRow()))
        self.live.toggled.connect(self._wait)
        self.keep_button.clicked.connect(self._keep)
        self.job.asked.connect(self._apply)
        self.bridge.returned.connect(self._show)
        self.bridge.ended.connect(self._refresh)
        self.preview_bridge.returned.connect(self._show_preview)
        self.preview_bridge.failed.connect(lambda message: self.job.say(message, error=True))

    def request(self) -> CleanRequest | None:
        """What would be done now; None where there is no layer or no step."""
        layer = self.labels_box.layer
        if layer is None or not self.steps:
            return None
        earlier = tuple(layer.metadata.get(METADATA, {}).get(STEPS, ()))
        return CleanRequest(self._source(layer), tuple(self.steps), self.context.chosen(), earlier)

    def show_steps_on(self, labels: LabelsLayer, steps: Iterable[Step]) -> None:
        """Show what steps make of a labels layer, and let them be changed."""
        self.labels_box.choose(labels)
        self.steps = list(steps)
        self._show_steps(len(self.steps) - 1)

    def _keep(self) -> None:
        learn: TakesSteps = open_widget(self._viewer, "Learn")
        learn.take_steps(self.steps)

    def _source(self, layer: LabelsLayer) -> LabelsSource:
        return LabelsSource.of(layer, index_on_screen(self._viewer, layer, "T"))

    def _add(self, index: int) -> None:
        kind, layer = self.kind_box.itemData(index), self.labels_box.layer
        self.kind_box.setCurrentIndex(0)
        if kind is not None and layer is not None:
            source = self._source(layer).source
            self.steps.append(new_step(kind, source.grid, source.shape[1:]))
            self.context.suggest(self.steps[-1], layer)
            self._show_steps(len(self.steps) - 1)

    def _remove(self, index: int) -> None:
        if 0 <= index < len(self.steps):
            del self.steps[index]
            self._show_steps(min(index, len(self.steps) - 1))

    def _edit(self) -> None:
        """The form has changed the chosen step."""
        index = self.list.currentRow()
        self.steps[index] = self.form.step
        self.list.item(index).setText(self._line(index))
        self.context.show_for(self.steps)
        self._wait()

    def _show_steps(self, chosen: int = -1) -> None:
        """Fill the list."""
        with signals_blocked(self.list):
            self.list.clear()
            self.list.addItems([self._line(index) for index in range(len(self.steps))])
            self.list.setCurrentRow(chosen)
        height = self.list.sizeHintForRow(0) if self.steps else self.fontMetrics().height()
        self.list.setFixedHeight(min(max(len(self.steps), 1), MOST_VISIBLE_STEPS) * (height + 4) + 8)
        self.context.show_for(self.steps)
        self._show_form(chosen)
        self._wait()

    def _line(self, index: int) -> str:
        return f"{index + 1}. {describe(self.steps[index], self._is_flat)}"

    @property
    def _is_flat(self) -> bool:
        return self.labels_box.layer is not None and self._source(self.labels_box.layer).source.shape[1] == 1

    def _show_form(self, index: int) -> None:
        layer = self.labels_box.layer
        step = self.steps[index] if 0 <= index < len(self.steps) else None
        self.about.setText("" if step is None else about(type(step)))
        self.about.setVisible(step is not None)
        self.form.show_step(step, self._source(layer).structures if layer is not None else (), self._is_flat)
        self._refresh()

    def _refresh(self) -> None:
        self.undo_button.setEnabled(bool(self.steps))
        self.remove_button.setEnabled(self.list.currentRow() >= 0)
        request = self.request()
        self.keep_button.setVisible(request is not None and is_preview(self.labels_box.layer))
        lacks = request.context.lacks(request.steps) if request is not None else ""
        self.job.button.setEnabled(self.bridge.is_running or (request is not None and not lacks))
        if lacks != self._lacks:
            self._lacks = lacks
            self.job.say(lacks)

    def _start_anew(self) -> None:
        """Other labels: their preview comes, the steps stay."""
        self._drop_preview()
        self._show_form(self.list.currentRow())
        self._wait()

    def _wait(self, _value: object = None) -> None:
        """Make the preview when nothing has changed for a while; take it away where none is wanted."""
        self._preview_soon()
        self._refresh()
        if not self._wants_preview:
            self._drop_preview()

    @property
    def _wants_preview(self) -> bool:
        return self.live.isChecked() and bool(self.steps) and self.isVisible() and not self.bridge.is_running

    def _make_preview(self) -> None:
        if self.preview_bridge.is_running:
            self._preview_soon()  # cancelling would end the child, which takes longer to come back than most steps
        elif self._wants_preview and (request := self.request()) is not None:
            self._seen = slice_on_screen(self._viewer, self.labels_box.layer)
            if not is_previewed_by_slice(request):
                self._seen = None
            if request.context.lacks(request.steps):  # which is said already
                self._drop_preview()
            else:
                self._previewed = self.labels_box.layer
                self.preview_bridge.start("", preview_layer, request, self._seen)

    def _look(self, _event: object = None) -> None:
        """Another slice is in view: its preview comes, unless the one that is shown is of all slices."""
        layer = self.labels_box.layer
        if self._seen is not None and layer is not None and slice_on_screen(self._viewer, layer) != self._seen:
            self._wait()

    def _show_preview(self, made: LayerData) -> None:
        """Show the result in place of the labels: over them, nobody would see what was removed."""
        data, attributes, _ = made
        if not self._wants_preview or not same_layer(self._previewed, self.labels_box.layer):
            return  # of other labels, or of some that are gone
        self.job.say(ALL_SHOWN if self._seen is None else ONE_SHOWN)
        record = attributes["metadata"][METADATA]
        shown = self._preview if self._preview in self._viewer.layers else None
        if shown is not None and shown.metadata[METADATA]["are_objects"] == record["are_objects"]:
            shown.data = data
        else:
            self._drop_preview()
            record[PREVIEW_MARK] = True
            self._preview = shown = self._viewer.add_labels(data, **{**attributes, "name": PREVIEW})
            self._hidden = self.labels_box.layer
            self._hidden.visible = False
        shown.editable = False  # napari makes a layer of new data editable again

    def _drop_preview(self) -> None:
        preview, hidden, self._preview, self._hidden = self._preview, self._hidden, None, None
        if preview is not None and preview in self._viewer.layers:
            self._viewer.layers.remove(preview)
        if hidden is not None:
            hidden.visible = True

    def _after_removal(self, event: Any) -> None:
        """Who takes the preview away wants none: the labels are seen again."""
        if same_layer(event.value, self._preview):
            self._drop_preview()
            self.live.setChecked(False)

    def _apply(self) -> None:
        request = self.request()
        if request is not None:
            self._preview_soon.cancel()
            self.preview_bridge.cancel()
            self.bridge.start("Cleaning up", clean_layer, request)
            self.job.depend_on(self._viewer, self.labels_box.layer)

    def _show(self, made: LayerData) -> None:
        """Add the result, and begin anew."""
        data, attributes, _ = made
        self._drop_preview()
        self.labels_box.layer.visible = False
        self._viewer.add_labels(data, **attributes)
        self.steps.clear()
        self._show_steps()
        self.job.say(f"{attributes['name']} is a new layer; the labels are as they were.")

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Bring the preview back."""
        super().showEvent(event)
        self._wait()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802 - Qt's name
        """A preview without its widget would be a riddle."""
        super().hideEvent(event)
        self._drop_preview()
