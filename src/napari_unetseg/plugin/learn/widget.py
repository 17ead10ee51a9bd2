"""The *Learn* widget: paint parts of a few slices, and the model learns while you paint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Labels as LabelsLayer
from napari.layers import Layer
from napari.viewer import Viewer

from napari_unetseg.core.annotations.corrections import kept_in_slice
from napari_unetseg.core.annotations.session_record import Place
from napari_unetseg.core.annotations.versions import AcceptDecision, Version
from napari_unetseg.core.models.advice import Advice
from napari_unetseg.core.steps import Step
from napari_unetseg.errors import UnetsegError
from napari_unetseg.plugin.annotate.annotations import Canvas, PaintCopy
from napari_unetseg.plugin.annotate.learn_image import LearnImage
from napari_unetseg.plugin.annotate.section import PaintSection
from napari_unetseg.plugin.annotate.store import model_beside
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.layers.source import LayerSource
from napari_unetseg.plugin.layers.viewport import index_on_screen
from napari_unetseg.plugin.learn.bar import LearnBar
from napari_unetseg.plugin.learn.controller import LearnSession
from napari_unetseg.plugin.learn.guides import LearnGuides, OtherImages, show_next
from napari_unetseg.plugin.learn.layers import LearnLayers
from napari_unetseg.plugin.learn.loop import (
    Command,
    Hint,
    Judged,
    LearnRequest,
    Offered,
    Opened,
    Revert,
    Reverted,
    Save,
    Saved,
    SliceSeen,
    Take,
    TrainingFinished,
)
from napari_unetseg.plugin.learn.results import LearnResults
from napari_unetseg.plugin.learn.settings import LearnChoices
from napari_unetseg.plugin.parts.docks import ShowsSteps, open_widget
from napari_unetseg.plugin.parts.fields import Panel, form
from napari_unetseg.plugin.parts.layer_form import LayerRows
from napari_unetseg.plugin.parts.plot import load_plots


class LearnWidget(Panel):
    """Learns from a painted layer in a process of its own, and shows on a layer of its own what was learned.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands itself over by this name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._watched: Layer | None = None
        self.bridge = Bridge(self)
        self.session = LearnSession(self.bridge, self.request, self._slice_on_screen)
        self.layers = LearnLayers(napari_viewer, self)
        self._build()
        self._connect()
        self._begin_anew()

    def _build(self) -> None:
        top = form()
        self.rows.addLayout(top)
        self.image = LayerRows(top, self._viewer)
        self.paint = PaintSection(self._viewer)
        self.others = OtherImages()
        self.choices = LearnChoices()
        self.bar = LearnBar(self.bridge)
        self.guides = LearnGuides()
        self.results = LearnResults(self._viewer)
        for part in (self.paint, self.others, self.choices, self.bar, self.guides, self.results):
            self.rows.addWidget(part)
        self.rows.addStretch(1)

    def _connect(self) -> None:
        self.image.changed.connect(self._change_image)
        self.others.changed.connect(self._begin_anew)
        self.choices.start_changed.connect(self._begin_anew)
        self.choices.settings_changed.connect(self._after_settings)
        self.paint.flow.painted.connect(self._after_stroke)
        self.paint.chosen.connect(self._after_choice)
        self.paint.visited.connect(self.image.layer_box.choose)
        self.paint.renamed.connect(self._dress)
        self.paint.restored.connect(self._resume)
        self.docked.connect(self.bridge.warm_up)
        self.bar.asked.connect(self.learn_now)
        self.bar.live_changed.connect(self._set_live)
        self.bar.stopped.connect(self.session.stop)
        self.guides.uncertainty_toggled.connect(self.layers.show_uncertainty)
        self.guides.next_asked.connect(self._go_next)
        self.results.reverted.connect(lambda number: self._order(Revert(number)))
        self.results.offer.taken.connect(lambda: self._order(Take()))
        self.results.save_asked.connect(self.save)
        self.results.finishing.look_asked.connect(self._look_at_steps)
        self.bridge.started.connect(load_plots)
        self.bridge.progressed.connect(self._hear)
        self._viewer.dims.events.current_step.connect(self.session.look)
        self._viewer.layers.events.removed.connect(self._after_removal)

    def request(self) -> LearnRequest | None:
        """What learning would work on now; None where there is no image."""
        source = self.image.source()
        if source is None:
            return None
        journal, canvas = self.paint.journal, self.paint.canvas
        return LearnRequest(
            self.session.token,
            (self._learned(source), *(c.learned for c in self.others.chosen if c.learned is not None)),
            self.choices.start.model,
            model_beside(journal) if journal is not None else None,
            self.session.resumes,
            self.choices.settings,
            canvas is not None and canvas.corrects is not None and canvas.corrects == self.choices.start.model,
        )

    def save(self, path: Path) -> None:
        """Write the model in use to a file."""
        canvas, steps = self.paint.canvas, self.results.finishing.steps
        self._order(Save(path, canvas.structures.output_names if canvas is not None else {}, steps))

    def correct(self, image: Layer, names: Mapping[int, str], model: str | None) -> LabelsLayer | None:
        """The layer that keeps corrections of a result on an image; learning begins with the model that made it.

        Parameters
        ----------
        names : mapping
            Of the result's structures, by painted value.
        model : str or None
            Name of a bundled model, or path of a model file; None for what was learned here, whose paint goes on.
        """
        self.image.layer_box.choose(image)
        canvas = self.paint.canvas
        if model is None:
            if canvas is None:
                return None
            canvas.keeps_paint = True
            return canvas.layer
        self.choices.start.take(model)
        return self.paint.correct(names, model)

    def learn_from(self, paint: LabelsLayer) -> None:
        """Learn from one of the painted layers, whichever image and layer are chosen now."""
        self.paint.choose(paint)
        self.learn_now()

    def take_advice(self, advice: Iterable[Advice]) -> None:
        """Set what the advice says, for the next training."""
        self.choices.follow(advice)

    def take_steps(self, steps: Iterable[Step]) -> None:
        """Models that are saved from now on do these clean-up steps."""
        self.results.finishing.take(tuple(steps))

    def _look_at_steps(self) -> None:
        """Show in *Clean up* what the steps make of what was learned."""
        preview = self.layers.preview
        if preview is not None and preview.is_shown:
            cleanup: ShowsSteps = open_widget(self._viewer, "Clean up")
            cleanup.show_steps_on(preview.layer, self.results.finishing.steps)

    def _learned(self, source: LayerSource) -> LearnImage:
        """The image in view, as it is learned from."""
        layer, level = self.image.layer_box.layer, max(0, self.image.level_box.currentIndex())
        place = Place(path=layer.source.path, time=source.time, level=level)
        return LearnImage(source, source.mended_grid(self.image.spacing, self.image.unit), place)

    def _slice_on_screen(self) -> int:
        canvas = self.paint.canvas
        return index_on_screen(self._viewer, canvas.layer, "Z") if canvas is not None else 0

    def _begin_anew(self, _event: object = None) -> None:
        """Another image, or other choices: what was learned on the one before stays in its layers and files."""
        source, layer = self.image.source(), self.image.layer_box.layer
        if source is not None:
            self.choices.see(source.shape[0], is_2d=source.shape[1] == 1)
        stops = "The image or a choice about it has changed: learning has stopped."
        self.bar.tell(stops if self.bridge.is_running else "")
        self.session.begin()
        self._watch(layer)
        self.layers.begin(layer, self._learned(source) if source is not None else None)
        self.results.begin(layer)
        if source is not None:
            self.results.finishing.begin(layer, source.grid, source.shape[1:])
        self.paint.show_dice({})
        self.paint.set_image(layer, source)
        self._note_image()
        self.bar.button.setEnabled(source is not None)
        self.guides.next_button.setEnabled(source is not None and source.shape[1] > 1)

    def _change_image(self) -> None:
        """Of an image that one comes back to, the last accepted model waits beside its paint."""
        self._begin_anew()
        source, canvas = self.image.source(), self.paint.canvas
        waits = source is not None and canvas is not None and self._waits(self._learned(source), canvas)
        self.session.resumes = waits
        self.paint.offer_model(waits)

    def _waits(self, image: LearnImage, canvas: Canvas) -> bool:
        kept = model_beside(canvas.journal) if canvas.journal is not None else None
        return kept is not None and kept.is_file() and image.is_like(canvas.taught)

    def _after_choice(self) -> None:
        self.session.stop()
        self._note_image()

    def _note_image(self) -> None:
        """Let the painted layer know its image, so that it can be learned from when another one is in view."""
        source, canvas = self.image.source(), self.paint.canvas
        if source is not None and canvas is not None and same_layer(canvas.image, self.image.layer_box.layer):
            canvas.learned = self._learned(source)
        self.others.show_canvases(self.paint.others())
        self.paint.know(self.choices.more.kept_names)
        self._dress()

    def _dress(self) -> None:
        """Show the structures' names and colours as they are now."""
        canvas = self.paint.canvas
        structures = canvas.structures.output if canvas is not None else ()
        self.layers.dress(structures)
        self.results.dress(structures)

    def _watch(self, layer: Layer | None) -> None:
        """Notice when the image's voxels are replaced."""
        if self._watched is not None:
            self._watched.events.data.disconnect(self._begin_anew)
        self._watched = layer
        if layer is not None:
            layer.events.data.connect(self._begin_anew)

    def _after_removal(self, event: Any) -> None:
        canvas = self.paint.canvas
        self.others.show_canvases(self.paint.others())
        if same_layer(event.value, self._watched) or (canvas is None and self.bridge.is_running):
            self.session.stop()
            self.bar.tell(f"{event.value.name} was removed: learning has stopped. Its paint is kept.")

    def _resume(self) -> None:
        """Show what the last accepted model of the restored paint predicts."""
        request = self.request()
        if request is not None and request.kept is not None and request.kept.is_file():
            self.session.resume()

    def _after_settings(self) -> None:
        """A loop that runs was begun with other settings."""
        self.paint.know(self.choices.more.kept_names)
        if self.session.is_learning:
            self.session.stop()
            self.bar.tell("The settings have changed: they count when you learn again.")

    def learn_now(self) -> None:
        """Learn from what is painted."""
        try:
            self._order(self.paint.copy())
        except UnetsegError as error:
            self.bar.say(str(error), error=True)

    def _after_stroke(self, copy: PaintCopy) -> None:
        if self.session.live:
            self._order(copy)

    def _set_live(self, live: bool) -> None:
        self.session.set_live(live)
        if live and self.paint.canvas is not None:
            self.learn_now()

    def _order(self, order: Command) -> None:
        source, canvas = self.image.source(), self.paint.canvas
        if isinstance(order, PaintCopy) and source is not None and canvas is not None:
            canvas.taught = self._learned(source)
            others = [canvas.last for canvas in self.others.chosen if canvas.last is not None]
            order = replace(order, others=tuple(others))
        self.session.order(order)

    def _go_next(self) -> None:
        """Move to the slice that is worth painting next."""
        self.bar.say(show_next(self._viewer, self.paint.canvas, self.layers.uncertainties))

    def _hear(self, record: object) -> None:
        """What the loop tells; one that was stopped ends its last job, which may be of another image than this."""
        if isinstance(record, Saved):
            said = self.results.after_saving(record.path)
            if said:
                self.bar.tell(said)
        elif self.session.is_current:
            self._show_record(record)

    def _show_record(self, record: object) -> None:
        if isinstance(record, SliceSeen):
            if not self.session.is_stopped:
                self.layers.show(self._with_corrections(record))
        elif isinstance(record, Opened):
            self.paint.offer_model(False)
            self.results.set_versions(record.versions)
        elif isinstance(record, TrainingFinished):
            self.results.show_training(record)
        elif isinstance(record, Judged):
            self._show_verdict(record.verdict)
        elif isinstance(record, Offered):
            canvas = self.paint.canvas
            self.results.offer.show_offer(record, canvas.structures.output if canvas is not None else ())
        elif isinstance(record, Reverted):
            self.results.offer.hide()
            self.results.versions.use(record.version)
            self._show_dice(record.version)
            self.bar.tell(f"Version {record.version.number} is in use again.")
        elif isinstance(record, Hint):
            self.bar.tell(record.text)

    def _with_corrections(self, seen: SliceSeen) -> SliceSeen:
        """A slice that is corrected is shown as it was corrected; the session itself knows of its own corrections."""
        canvas = self.paint.canvas
        if canvas is None or not canvas.keeps_paint or canvas.last is None:
            return seen
        return replace(seen, prediction=kept_in_slice(seen.prediction, canvas.last.plane(seen.z)))

    def _show_verdict(self, verdict: AcceptDecision) -> None:
        if verdict.offered is None:
            self.results.offer.hide()
        if verdict.accepted:
            self.results.add(verdict.version)
            self.session.resumes = True  # a child that is lost takes its versions along, but not the kept model
        self._show_dice(verdict.version)
        self.bar.tell(verdict.reason)

    def _show_dice(self, version: Version) -> None:
        self.paint.show_dice(version.expected)
