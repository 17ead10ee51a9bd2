"""The *Learn* widget: paint parts of a few slices, and the model learns while you paint."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtWidgets import QDoubleSpinBox

from napari_unetseg.core.learned import Verdict
from napari_unetseg.errors import UnetsegError
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.fields import Panel, form
from napari_unetseg.plugin.layer_rows import LayerRows
from napari_unetseg.plugin.learn_bar import LearnBar
from napari_unetseg.plugin.learn_desk import Desk, PaintCopy, Revert, Save
from napari_unetseg.plugin.learn_job import Hint, Judged, LearnRequest, Opened, Reverted, Saved, SliceSeen, learn
from napari_unetseg.plugin.learn_plot import LearnPlot
from napari_unetseg.plugin.learn_preview import Preview
from napari_unetseg.plugin.metrics_view import index_on_screen
from napari_unetseg.plugin.paint_keeper import model_beside
from napari_unetseg.plugin.paint_section import PaintSection
from napari_unetseg.plugin.start_box import StartBox
from napari_unetseg.plugin.version_rows import VersionRows


class LearnWidget(Panel):
    """Learns from a painted layer in a process of its own, and shows on a layer of its own what was learned.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands itself over by this name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.bridge = Bridge(self)
        self._desk = Desk()
        self._numbers = count(1)
        self._token = ""
        self._resumes = False
        self.preview: Preview | None = None
        self._watched: Layer | None = None
        self._build()
        self._connect()
        self._begin_anew()

    def _build(self) -> None:
        top = form()
        self.rows.addLayout(top)
        self.image = LayerRows(top, self._viewer)
        self.paint = PaintSection(self._viewer)
        self.rows.addWidget(self.paint)
        bottom = form()
        self.rows.addLayout(bottom)
        self.start = StartBox()
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0, 600)
        self.minutes.setValue(1.0)
        self.minutes.setDecimals(1)
        self.minutes.setSingleStep(0.5)
        self.minutes.setSuffix(" min")
        self.minutes.setSpecialValueText("not at all")
        self.minutes.setToolTip(
            "How long to train a U-Net on top, when the quick model has predicted everything. It is kept only if it is "
            "better on held-out paint. A new stroke interrupts it."
        )
        bottom.addRow("Start from", self.start)
        bottom.addRow("Train U-Net", self.minutes)
        self.bar = LearnBar(self.bridge)
        self.rows.addWidget(self.bar)
        self.versions = VersionRows()
        self.plot = LearnPlot()
        self.rows.addWidget(self.plot)
        self.rows.addWidget(self.versions)
        self.rows.addStretch(1)

    def _connect(self) -> None:
        self.image.changed.connect(self._begin_anew)
        self.start.changed.connect(self._begin_anew)
        self.paint.painted.connect(self._after_stroke)
        self.paint.chosen.connect(self._stop)
        self.paint.renamed.connect(self._dress)
        self.paint.restored.connect(self._resume)
        self.bar.asked.connect(self._learn_now)
        self.bar.live_changed.connect(self._set_live)
        self.bar.stopped.connect(self._stop)
        self.versions.reverted.connect(lambda number: self._order(Revert(number)))
        self.versions.save_asked.connect(self.save)
        self.bridge.progressed.connect(self._hear)
        self._viewer.dims.events.current_step.connect(self._look)
        self._viewer.layers.events.removed.connect(self._after_removal)

    def request(self) -> LearnRequest | None:
        """What learning would work on now; None where there is no image."""
        source = self.image.source()
        if source is None:
            return None
        grid = source.mended_grid(self.image.spacing, self.image.unit)
        journal = self.paint.journal
        kept = model_beside(journal) if journal is not None else None
        return LearnRequest(self._token, source, grid, self.start.model, kept, self._resumes, self.minutes.value())

    def save(self, path: Path) -> None:
        """Write the model in use to a file."""
        canvas = self.paint.canvas
        self._order(Save(path, canvas.structures.output_names if canvas is not None else {}))

    def _begin_anew(self) -> None:
        """Another image, or other choices: what was learned on the one before stays in its layers and files."""
        source, layer = self.image.source(), self.image.layer_box.layer
        if self.bridge.is_running:
            self._desk.stop()
            self.bar.say("The image or a choice about it has changed: learning has stopped.")
        self._token = f"{id(self)}-{next(self._numbers)}"
        self._resumes = False
        self._watch(layer)
        self.preview = None
        self.versions.set_versions(())
        self._draw()
        self.paint.show_dice({}, {})
        self.paint.set_image(layer, source)
        self.bar.button.setEnabled(source is not None)

    def _watch(self, layer: Layer | None) -> None:
        """Notice when the image's voxels are replaced."""
        if self._watched is not None:
            self._watched.events.data.disconnect(self._after_swap)
        self._watched = layer
        if layer is not None:
            layer.events.data.connect(self._after_swap)

    def _after_swap(self, _event: object = None) -> None:
        self._begin_anew()

    def _after_removal(self, event: Any) -> None:
        canvas = self.paint.canvas
        if event.value is self._watched or (canvas is None and self.bridge.is_running):
            self._stop()
            self.bar.tell(f"{event.value.name} was removed: learning has stopped. Its paint is kept.")

    def _resume(self) -> None:
        """Show what the last accepted model of the restored paint predicts."""
        request = self.request()
        if request is not None and request.kept is not None and request.kept.is_file():
            self._resumes = True
            self._start_loop(Desk(self._view, live=self.bar.live.isChecked()))

    def _learn_now(self) -> None:
        try:
            self._order(self.paint.copy())
        except UnetsegError as error:
            self.bar.say(str(error), error=True)

    def _after_stroke(self, copy: PaintCopy) -> None:
        if self.bar.live.isChecked():
            self._order(copy)

    def _set_live(self, live: bool) -> None:
        self._desk.live = live
        if live and self.paint.canvas is not None:
            self._learn_now()

    def _order(self, order: PaintCopy | Revert | Save) -> None:
        """Put an order on the desk, and start the loop if it does not run."""
        if self.bridge.is_running and not self._desk.is_stopped:
            self._desk.bring(order)
        else:
            desk = Desk(self._view, live=self.bar.live.isChecked())
            desk.bring(order)
            self._start_loop(desk)

    def _start_loop(self, desk: Desk) -> None:
        request = self.request()
        if request is not None:
            self._desk = desk
            self.bridge.start("", learn, request, desk)

    def _stop(self) -> None:
        self._desk.stop()

    @property
    def _view(self) -> int:
        """The slice on screen."""
        canvas = self.paint.canvas
        return index_on_screen(self._viewer, canvas.layer, "Z") if canvas is not None else 0

    def _look(self, _event: object = None) -> None:
        self._desk.view = self._view

    def _hear(self, record: object) -> None:
        """What the loop tells."""
        if isinstance(record, SliceSeen):
            if not self._desk.is_stopped:  # what is stopped may have no layer to show it on any more
                self._show_slice(record)
        elif isinstance(record, Opened):
            self.versions.set_versions(record.versions)
            self._draw()
        elif isinstance(record, Judged):
            self._show_verdict(record.verdict)
        elif isinstance(record, Reverted):
            self.versions.use(record.version)
            self.paint.show_dice(record.version.dice, record.version.held_out)
            self.bar.tell(f"Version {record.version.number} is in use again.")
        elif isinstance(record, Saved):
            self.bar.tell(f"Saved to {record.path}. Segment can open it for other layers.")
        elif isinstance(record, Hint):
            self.bar.tell(record.text)

    def _show_slice(self, record: SliceSeen) -> None:
        source = self.image.source()
        if self.preview is None and source is not None:
            self.preview = Preview(self._viewer, source, self)
            self._dress()
        if self.preview is not None:
            self.preview.show(record.z, record.labels)

    def _show_verdict(self, verdict: Verdict) -> None:
        if verdict.accepted:
            self.versions.add(verdict.version)
            self._draw()
            self._resumes = True  # a child that is lost takes its versions along, but not the kept model
        self.paint.show_dice(verdict.version.dice, verdict.version.held_out)
        self.bar.tell(verdict.reason)

    def _draw(self) -> None:
        canvas = self.paint.canvas
        self.plot.show_versions(self.versions.versions, canvas.structures.output if canvas is not None else ())

    def _dress(self) -> None:
        """Show the structures' names and colours as they are now."""
        canvas = self.paint.canvas
        if self.preview is not None and canvas is not None:
            self.preview.dress(canvas.structures.output)
