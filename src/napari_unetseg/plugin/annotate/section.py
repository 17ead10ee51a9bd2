"""The part of the *Learn* widget about painting: the painted layer, its structures, and that no stroke is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from napari.layers import Image
from napari.layers import Labels as LabelsLayer
from napari.utils.notifications import show_info, show_warning
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetseg.core.annotations.expected_dice import ExpectedDice
from napari_unetseg.core.annotations.journal import FOLDER
from napari_unetseg.core.annotations.painted_stack import PaintedStack
from napari_unetseg.errors import InputError, UnetsegError
from napari_unetseg.plugin.annotate.annotations import AnnotationTarget, Canvas, Canvases, PaintCopy, PaintWriter
from napari_unetseg.plugin.annotate.classes import PaintStructures, about_value, largest_painted, missing
from napari_unetseg.plugin.annotate.layer import (
    bind_keys,
    dress,
    holds_structures,
    labels_on,
    new_layer,
    paint_of_labels,
    paint_on,
    pick,
    structures_in,
)
from napari_unetseg.plugin.annotate.offer import Claim, PaintOffer
from napari_unetseg.plugin.annotate.store import PaintKeeper, keep_afresh, keep_copy, keep_on, other_owner, place_of
from napari_unetseg.plugin.annotate.table import PaintTable
from napari_unetseg.plugin.annotate.watch import PaintReader, PaintWatch, up_to_date
from napari_unetseg.plugin.bridge import tell
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.layers.marks import is_preview
from napari_unetseg.plugin.layers.source import LayerSource
from napari_unetseg.plugin.layers.viewport import index_on_screen
from napari_unetseg.plugin.parts.fields import LayerBox, note


class PaintSection(QWidget):
    """Chooses and adds painted layers, and keeps their paint.

    Parameters
    ----------
    viewer : Viewer
    """

    painted = Signal(object)
    """A `PaintCopy`, soon after each stroke."""
    chosen = Signal()
    """Another painted layer was chosen, or none."""
    restored = Signal()
    """Kept paint was brought back, or its model is wanted again."""
    renamed = Signal()
    """The structures' names have changed."""
    visited = Signal(object)
    """The image of another painted layer, which has become the active one."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._image: Image | None = None
        self._source: LayerSource | None = None
        self._canvases = Canvases()
        self._watch, self._reader = PaintWatch(self), PaintReader(self)
        self.writer = PaintWriter(self)
        self._build()
        self._connect()
        self._show()

    def _build(self) -> None:
        self.layer_box = LayerBox(
            self._viewer,
            lambda layer: isinstance(layer, LabelsLayer) and not is_preview(layer),
            follows=False,
            none="none yet",
        )
        self.layer_box.setToolTip("The layer that you paint on: 1 is background, structures follow. It is only read.")
        self.add_button = QPushButton("Add painted layer")
        self.add_button.setToolTip("Add an empty layer to paint on. Every stroke is kept on the disk at once.")
        self.offer = PaintOffer()
        self.table = PaintTable()
        self.structure_button = QPushButton("Add structure")
        self.structure_button.setToolTip("Add a structure, at any time: the others are not forgotten.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        top = QHBoxLayout()
        top.addWidget(self.layer_box, 1)
        top.addWidget(self.add_button)
        column.addLayout(top)
        self.place = note()
        self.wish = note()
        for part in (self.offer, self.table, self.wish, self.structure_button, self.place):
            column.addWidget(part)

    def _connect(self) -> None:
        self.layer_box.layer_changed.connect(self._choose)
        self.add_button.clicked.connect(self._add_afresh)
        self.offer.claimed.connect(self._restore)
        self.offer.model_wanted.connect(self._restore_model)
        self.structure_button.clicked.connect(self._add_structure)
        self.table.picked.connect(self._pick)
        self.table.renamed.connect(self._rename)
        self._watch.stroked.connect(self._take)
        self._watch.touched.connect(lambda: self._take(only_changed=True))
        self._watch.picked.connect(self._after_pick)
        self._reader.read.connect(self._took)
        self.writer.surveyed.connect(self._after_survey)
        self._viewer.layers.selection.events.active.connect(self._visit)

    @property
    def canvas(self) -> Canvas | None:
        """What is painted on now; None where there is none."""
        return self._canvases.of(self.layer_box.layer)

    @property
    def journal(self) -> Path | None:
        """Where the paint is kept."""
        return self.canvas.journal if self.canvas is not None else None

    def set_image(self, image: Image | None, source: LayerSource | None) -> None:
        """Paint on another image: its own painted layer is chosen, if it has one."""
        self._keep_what_is_due()
        before, self._image, self._source = self._target, image, source
        if self._target != before:
            own = self._canvases.at(self._target)
            place = self._place(source) if source is not None and own is None else None
            self.offer.look(place, source.shape[1:] if source is not None else ())
            self.layer_box.choose(own.layer if own is not None else None)
        self._show()

    @property
    def _target(self) -> AnnotationTarget | None:
        """What is painted belongs to it."""
        if self._image is None or self._source is None:
            return None
        return AnnotationTarget(self._image, self._source.shape[1:], self._source.time)

    def copy(self) -> PaintCopy:
        """The paint as it is now, checked against the image.

        Raises
        ------
        InputError
            If it does not lie on the image.
        """
        canvas = self.canvas
        if canvas is None or self._source is None:
            raise UnetsegError("Nothing is painted. Add a painted layer, and paint some background and a structure.")
        return PaintCopy(up_to_date(canvas.last, self._paint_on(canvas)), canvas.structures.output_names)

    def _paint_on(self, canvas: Canvas) -> LayerSource:
        """Where to read a canvas; raises `InputError` if it does not lie on the image."""
        if self._source is None:
            raise InputError("Expected an image to paint on.")
        return paint_on(canvas.layer, self._source, index_on_screen(self._viewer, canvas.layer, "T"))

    def offer_model(self, waits: bool) -> None:
        """Whether the last accepted model of what is painted here is on offer."""
        self.offer.offer_model(waits and self.canvas is not None)

    def others(self) -> list[Canvas]:
        """What is painted on other images that are open."""
        return self._canvases.beside(self._image, self._viewer.layers)

    def show_dice(self, expected: Mapping[int, ExpectedDice]) -> None:
        """Show what Dice to expect by output label."""
        self.table.show_dice(expected)

    def know(self, names: Mapping[int, str]) -> None:
        """There are these structures, by painted value: the model that learning begins with goes on with them."""
        canvas = self.canvas
        if canvas is not None and canvas.structures.know(names):
            self._restyle(canvas)
            self.writer.write(canvas)

    def _visit(self, _event: object = None) -> None:
        """Only the chosen layer's strokes are kept: so the one that is painted on becomes the chosen one."""
        active = self._viewer.layers.selection.active
        canvas = self._canvases.of(active) if isinstance(active, LabelsLayer) else None
        if canvas is not None and not same_layer(canvas.image, self._image):
            self.choose(canvas.layer)

    def choose(self, layer: LabelsLayer) -> None:
        """Have a painted layer, and the image that it belongs to, be the chosen ones."""
        canvas = self._canvases.of(layer)
        if canvas is not None and not same_layer(canvas.image, self._image):
            self.visited.emit(canvas.image)
        self.layer_box.choose(layer)

    def correct(self, names: Mapping[int, str], model: str) -> LabelsLayer | None:
        """The layer that keeps corrections of this model's result on the image, by painted value; None without image.

        One that is there already goes on: what was corrected before stays.
        """
        source, own = self._source, self._canvases.at(self._target)
        if source is None:
            return None
        if own is not None and own.corrects == model and own.layer in self._viewer.layers:
            self.choose(own.layer)
            return own.layer
        structures = PaintStructures(names)
        layer = new_layer(source, structures)
        layer.contour, layer.name = 1, f"{source.name} (corrections)"
        self._add(layer, structures, self._keep_afresh(source))
        if self.canvas is not None:
            self.canvas.corrects = model
        return layer

    def _place(self, source: LayerSource) -> Path:
        path = self._image.source.path if self._image is not None else None
        return place_of(path, source.name, source.shape[1:])

    def _add_afresh(self) -> None:
        if self._source is not None:
            structures = PaintStructures()
            self._add(new_layer(self._source, structures), structures, self._keep_afresh(self._source))

    def _restore(self, claim: Claim) -> None:
        """Bring kept paint back as it is now: someone may have gone on with it since it was found."""
        kept, source = self.offer.kept, self._source
        if kept is None or source is None:
            return
        keep = {Claim.GO_ON: keep_on, Claim.COPY: keep_copy}.get(claim)
        keeper = self._keeper(keep, kept.path, source) if keep is not None else None
        if keep is not None and keeper is None:
            return
        painted, names = (kept.painted, kept.names) if keeper is None else (keeper.painted, keeper.names)
        structures = PaintStructures(names)
        structures.cover(painted.highest)
        layer = new_layer(source, structures, painted)
        layer.editable = keeper is not None
        self._add(layer, structures, keeper)
        self.restored.emit()

    def _restore_model(self) -> None:
        self.offer_model(False)
        self.restored.emit()

    def _add(self, layer: LabelsLayer, structures: PaintStructures, keeper: PaintKeeper | None) -> None:
        self._register(layer, structures, keeper)
        dress(layer, structures)
        self._viewer.add_layer(layer)
        self.layer_box.choose(layer)
        if layer.editable:
            self._pick(2)
        self._watch.look()

    def _keep_afresh(self, source: LayerSource) -> PaintKeeper | None:
        """Keep new paint; where another window paints on this image, in a file of its own."""
        place = self._place(source)
        owner = other_owner(place)
        keeper = self._keeper(keep_afresh, place, source)
        if owner is not None and keeper is not None:
            name = keeper.path.name
            tell(f"Another window ({owner}) paints on this image: this paint is kept in {name}.", show_warning)
        return keeper

    def _keeper(
        self, keep: Callable[[Path, tuple[int, ...]], PaintKeeper], place: Path, source: LayerSource
    ) -> PaintKeeper | None:
        """A keeper of paint; where that fails, it is said, and the user may paint nevertheless."""
        self._keep_what_is_due()
        self._canvases.release(place)
        try:
            return keep(place, source.shape[1:])
        except UnetsegError as error:
            tell(f"The paint is not kept on the disk: {error}")
            return None

    def _register(self, layer: LabelsLayer, structures: PaintStructures, keeper: PaintKeeper | None) -> None:
        """Paint on a layer from now on."""
        if self._target is not None:
            self._canvases.add(Canvas(layer, self._target, structures, keeper))
            self.offer.forget()
            bind_keys(layer, self._pick)

    def _choose(self, layer: LabelsLayer | None) -> None:
        if layer is not None and self._source is not None and self._canvases.of(layer) is None:
            if holds_structures(layer):
                self._convert(layer, self._source)
                return
            self._register(layer, structures_in(layer), self._keep_afresh(self._source))
        self._keep_what_is_due()
        self._watch.watch(layer)
        self._show()
        self.chosen.emit()

    def _keep_what_is_due(self) -> None:
        """Have the newest strokes written before another layer or image is looked at."""
        due = self._watch.due()
        canvas = self._reader.drop() or self._canvases.of(due)
        if canvas is not None and self._source is not None and same_layer(canvas.image, self._image):
            with suppress(UnetsegError):
                canvas.last = up_to_date(canvas.last, self._paint_on(canvas))
                self.writer.write(canvas)

    def _convert(self, layer: LabelsLayer, source: LayerSource) -> None:
        """Paint on a copy of labels: taken as paint, their first structure would become background."""
        try:
            labels = labels_on(layer, source, index_on_screen(self._viewer, layer, "T"))
            painted, structures = paint_of_labels(labels)
        except UnetsegError as error:
            tell(error)
            own = self._canvases.at(self._target)
            self.layer_box.choose(own.layer if own is not None else None)
            return
        copy = new_layer(source, structures, PaintedStack.of(painted))
        self._add(copy, structures, self._keep_afresh(source))
        tell(
            f"{layer.name} holds structures, not paint. It was copied to {copy.name}, with background as 1 and each "
            "structure one higher; the labels themselves are left as they are.",
            show_info,
        )

    def _take(self, *, only_changed: bool = False) -> None:
        """Have the paint read, written, and told of to who wants to learn from it."""
        canvas = self.canvas
        if canvas is not None:
            with suppress(UnetsegError):  # said when someone wants to learn from it
                self._reader.look(canvas, self._paint_on(canvas), only_changed=only_changed)

    def _took(self, canvas: Canvas, painted: PaintedStack, only_changed: bool) -> None:
        if only_changed and painted is canvas.last:
            return
        is_new = canvas.last is None and not painted.any()
        canvas.last = painted
        self.writer.write(canvas)
        if not is_new and canvas is self.canvas:
            self.painted.emit(PaintCopy(painted, canvas.structures.output_names))

    def _after_survey(self, canvas: Canvas) -> None:
        """There is a row for every value that is painted, and in it how much."""
        if canvas.survey is not None and canvas.structures.follow(largest_painted(canvas.survey.counts)):
            self._restyle(canvas)
        self._show_painted()

    def _add_structure(self) -> None:
        canvas = self.canvas
        if canvas is not None and not canvas.structures.is_full:
            value = canvas.structures.add()
            self._restyle(canvas)
            self._pick(value)

    def _rename(self, value: int, name: str) -> None:
        canvas = self.canvas
        if canvas is not None:
            canvas.structures.rename(value, name)
            self._restyle(canvas)
            self.writer.write(canvas)

    def _restyle(self, canvas: Canvas) -> None:
        dress(canvas.layer, canvas.structures)
        self._show()
        self.renamed.emit()

    def _pick(self, value: int) -> None:
        canvas = self.canvas
        if canvas is not None and value <= max(canvas.structures.names):
            self._viewer.layers.selection.active = canvas.layer
            pick(canvas.layer, value)
            self.table.mark(value)

    def _show(self) -> None:
        canvas = self.canvas
        self.add_button.setEnabled(self._source is not None)
        for part in (self.table, self.structure_button, self.place):
            part.setVisible(canvas is not None)
        if canvas is not None:
            self._show_place(canvas.journal)
            self.table.show_structures(canvas.structures.painted)
            self._show_painted()

    def _show_place(self, journal: Path | None) -> None:
        """Say where the paint is kept."""
        beside = journal is not None and journal.parent.name == FOLDER
        folder = f"the folder {FOLDER} beside the image" if beside else "your data folder"
        self.place.setText(f"Kept in {folder}." if journal is not None else "Not kept on the disk.")
        self.place.setToolTip(f"{journal}\nFile, Preferences says where." if journal is not None else "")

    def _show_painted(self) -> None:
        canvas = self.canvas
        if canvas is not None:
            self.table.show_painted(canvas.survey.counts if canvas.survey is not None else ())
        self._show_wish()

    def _after_pick(self, value: int) -> None:
        self.table.mark(value)
        self._show_wish()

    def _show_wish(self) -> None:
        """Say what is missing before learning fails for it, and what a value stands for that has no row."""
        canvas = self.canvas
        text = ""
        if canvas is not None:
            counts = canvas.survey.counts if canvas.survey is not None else ()
            corrects = canvas.corrects is not None
            text = about_value(int(canvas.layer.selected_label), canvas.structures) or missing(
                counts, corrects=corrects
            )
        self.wish.setText(text)
        self.wish.setVisible(bool(text))
