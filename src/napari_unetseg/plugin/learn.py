"""The *Learn* widget: paint parts of a few slices, and the model learns while you paint."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QHBoxLayout, QPushButton

from napari_unetseg.core.fine_tuning import FineTuneSettings
from napari_unetseg.core.learned import Verdict
from napari_unetseg.core.next_slice import DoubtMap, occupied
from napari_unetseg.core.session import Place
from napari_unetseg.errors import UnetsegError
from napari_unetseg.plugin.apply_rows import ApplyRows
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.fields import Panel, form
from napari_unetseg.plugin.layer_rows import LayerRows
from napari_unetseg.plugin.layers import LayerSource
from napari_unetseg.plugin.learn_bar import LearnBar
from napari_unetseg.plugin.learn_desk import Desk, PaintCopy, Revert, Save
from napari_unetseg.plugin.learn_job import (
    Hint,
    Judged,
    LearnImage,
    LearnRequest,
    Opened,
    Reverted,
    Saved,
    SliceSeen,
    Trained,
    learn,
)
from napari_unetseg.plugin.learn_next import go_next
from napari_unetseg.plugin.learn_others import OtherImages
from napari_unetseg.plugin.learn_plot import LossPlot, ScorePlot
from napari_unetseg.plugin.learn_preview import Preview, UncertaintyView
from napari_unetseg.plugin.learn_settings import LearnSettings
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
        self.doubt_view: UncertaintyView | None = None
        self._doubts = DoubtMap((1, 1, 1))
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
        self.others = OtherImages()
        self.rows.addWidget(self.others)
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
        self.more = LearnSettings()
        self.rows.addWidget(self.more)
        self.bar = LearnBar(self.bridge)
        self.rows.addWidget(self.bar)
        self.rows.addLayout(self._guides())
        self.loss_plot, self.score_plot = LossPlot(), ScorePlot()
        plots = QHBoxLayout()
        plots.addWidget(self.loss_plot)
        plots.addWidget(self.score_plot)
        self.rows.addLayout(plots)
        self.versions = VersionRows()
        self.rows.addWidget(self.versions)
        self.apply = ApplyRows(self._viewer)
        self.rows.addWidget(self.apply)
        self.rows.addStretch(1)

    def _guides(self) -> QHBoxLayout:
        """What helps to find where to paint."""
        self.doubt_check = QCheckBox("Show uncertainty")
        self.doubt_check.setToolTip("A layer that is bright where the model is in doubt between two classes.")
        self.next_button = QPushButton("Where next")
        self.next_button.setToolTip(
            "Go to the slice that brings paint nearest to what the model is unsure of, along the axis of the slider. "
            "In our benchmark that was better than random slices, and about as good as evenly spaced ones."
        )
        row = QHBoxLayout()
        row.addWidget(self.doubt_check, 1)
        row.addWidget(self.next_button)
        return row

    def _connect(self) -> None:
        self.image.changed.connect(self._begin_anew)
        self.others.changed.connect(self._begin_anew)
        self.start.changed.connect(self._begin_anew)
        self.more.changed.connect(self._after_settings)
        self.paint.painted.connect(self._after_stroke)
        self.paint.chosen.connect(self._after_choice)
        self.paint.visited.connect(self.image.layer_box.choose)
        self.paint.renamed.connect(self._dress)
        self.paint.restored.connect(self._resume)
        self.bar.asked.connect(self._learn_now)
        self.bar.live_changed.connect(self._set_live)
        self.bar.stopped.connect(self._stop)
        self.doubt_check.toggled.connect(self._show_doubt)
        self.next_button.clicked.connect(self._go_next)
        self.versions.reverted.connect(lambda number: self._order(Revert(number)))
        self.versions.save_asked.connect(self.save)
        self.apply.model_asked.connect(self.save)
        self.bridge.progressed.connect(self._hear)
        self._viewer.dims.events.current_step.connect(self._look)
        self._viewer.layers.events.removed.connect(self._after_removal)

    def request(self) -> LearnRequest | None:
        """What learning would work on now; None where there is no image."""
        source = self.image.source()
        if source is None:
            return None
        journal = self.paint.journal
        kept = model_beside(journal) if journal is not None else None
        images = (self._learned(source), *(c.learned for c in self.others.chosen if c.learned is not None))
        return LearnRequest(self._token, images, self.start.model, kept, self._resumes, self._settings)

    def _learned(self, source: LayerSource) -> LearnImage:
        """The image in view, as it is learned from."""
        layer, level = self.image.layer_box.layer, max(0, self.image.level_box.currentIndex())
        place = Place(path=layer.source.path, time=source.time, level=level)
        return LearnImage(source, source.mended_grid(self.image.spacing, self.image.unit), place)

    @property
    def _settings(self) -> FineTuneSettings:
        return self.more.settings(self.minutes.value())

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
        self.preview = self.doubt_view = None
        self._doubts = DoubtMap(source.shape[1:] if source is not None else (1, 1, 1))
        self.loss_plot.clear()
        self.versions.set_versions(())
        self._draw()
        self.paint.show_dice({}, {})
        self.paint.set_image(layer, source)
        self._note_image()
        self.bar.button.setEnabled(source is not None)
        self.next_button.setEnabled(source is not None and source.shape[1] > 1)

    def _after_choice(self) -> None:
        self._stop()
        self._note_image()

    def _note_image(self) -> None:
        """Let the painted layer know its image, so that it can be learned from when another one is in view."""
        source, canvas = self.image.source(), self.paint.canvas
        if source is not None and canvas is not None and canvas.image is self.image.layer_box.layer:
            canvas.learned = self._learned(source)
        self.others.show_canvases(self.paint.others())

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
        self.others.show_canvases(self.paint.others())
        if event.value is self._watched or (canvas is None and self.bridge.is_running):
            self._stop()
            self.bar.tell(f"{event.value.name} was removed: learning has stopped. Its paint is kept.")

    def _resume(self) -> None:
        """Show what the last accepted model of the restored paint predicts."""
        request = self.request()
        if request is not None and request.kept is not None and request.kept.is_file():
            self._resumes = True
            self._start_loop(Desk(self._view, live=self.bar.live.isChecked()))

    def _after_settings(self) -> None:
        """A loop that runs was begun with other settings."""
        if self.bridge.is_running and not self._desk.is_stopped:
            self._stop()
            self.bar.tell("The settings have changed: they count when you learn again.")

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
        if isinstance(order, PaintCopy):
            others = [canvas.last for canvas in self.others.chosen if canvas.last is not None]
            order = replace(order, others=tuple(others))
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
        elif isinstance(record, Trained):
            self.loss_plot.add(record.losses, begins=record.begins)
        elif isinstance(record, Judged):
            self._show_verdict(record.verdict)
        elif isinstance(record, Reverted):
            self.versions.use(record.version)
            self.paint.show_dice(record.version.dice, record.version.held_out)
            self.bar.tell(f"Version {record.version.number} is in use again.")
        elif isinstance(record, Saved):
            self._show_saved(record.path)
        elif isinstance(record, Hint):
            self.bar.tell(record.text)

    def _show_slice(self, record: SliceSeen) -> None:
        source = self.image.source()
        if self.preview is None and source is not None:
            self.preview = Preview(self._viewer, source, self)
            self.doubt_view = UncertaintyView(self._viewer, source, self)
            self._dress()
        self._doubts.put(record.z, record.prediction.doubt)
        if self.preview is not None and self.doubt_view is not None:
            self.preview.show(record.z, record.prediction.labels)
            self.doubt_view.show(record.z, record.prediction.uncertainty)
            self.doubt_view.set_shown(self.doubt_check.isChecked())

    def _show_doubt(self, shown: bool) -> None:
        if self.doubt_view is not None:
            self.doubt_view.set_shown(shown)

    def _go_next(self) -> None:
        """Move to the slice that is worth painting next."""
        canvas = self.paint.canvas
        if canvas is None or canvas.last is None:
            self.bar.say("Add a painted layer first, and paint in one slice.")
            return
        painted = canvas.survey.occupied if canvas.survey is not None else occupied(canvas.last)
        found = go_next(self._viewer, canvas.layer, self._doubts, painted)
        if found is None:
            self.bar.say("There is paint in every slice along this axis.")
        else:
            self.bar.say(f"Slice {found[1]} along {found[0].lower()} is worth painting next.")

    def _show_saved(self, path: Path) -> None:
        if self.apply.is_mine(path):
            self.apply.run(path)
        else:
            self.bar.tell(f"Saved to {path}. Segment can open it for other layers.")

    def _show_verdict(self, verdict: Verdict) -> None:
        if verdict.accepted:
            self.versions.add(verdict.version)
            self._draw()
            self._resumes = True  # a child that is lost takes its versions along, but not the kept model
        self.paint.show_dice(verdict.version.dice, verdict.version.held_out)
        self.bar.tell(verdict.reason)

    def _draw(self) -> None:
        canvas = self.paint.canvas
        self.apply.image = self._watched
        self.apply.setVisible(bool(self.versions.versions))
        self.score_plot.show_versions(self.versions.versions, canvas.structures.output if canvas is not None else ())

    def _dress(self) -> None:
        """Show the structures' names and colours as they are now."""
        canvas = self.paint.canvas
        if self.preview is not None and canvas is not None:
            self.preview.dress(canvas.structures.output)
