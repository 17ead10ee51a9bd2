"""The part of the *Learn* widget about painting: the painted layer, its structures, and that no stroke is lost."""

from __future__ import annotations

from collections.abc import Mapping
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
from napari_unetseg.core.annotations.sparse_labels import BACKGROUND
from napari_unetseg.errors import UnetsegError
from napari_unetseg.plugin.annotate.annotations import Canvas, PaintCopy
from napari_unetseg.plugin.annotate.classes import PaintStructures, about_value, missing
from napari_unetseg.plugin.annotate.flow import PaintFlow
from napari_unetseg.plugin.annotate.layer import (
    bind_keys,
    dress,
    erase,
    holds_structures,
    labels_on,
    new_layer,
    paint_of_labels,
    pick,
    structures_in,
)
from napari_unetseg.plugin.annotate.offer import Claim, PaintOffer
from napari_unetseg.plugin.annotate.store import PaintKeeper, keep_copy, keep_on
from napari_unetseg.plugin.annotate.table import PaintTable
from napari_unetseg.plugin.annotate.tools import PaintTools
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
        self.flow = PaintFlow(viewer, self)
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
        self.tools = PaintTools(self._viewer)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        top = QHBoxLayout()
        top.addWidget(self.layer_box, 1)
        top.addWidget(self.add_button)
        column.addLayout(top)
        self.place = note()
        self.wish = note()
        for part in (self.offer, self.table, self.tools, self.wish, self.place):
            column.addWidget(part)

    def _connect(self) -> None:
        self.layer_box.layer_changed.connect(self._choose)
        self.add_button.clicked.connect(self._add_afresh)
        self.offer.claimed.connect(self._restore)
        self.offer.model_wanted.connect(self._restore_model)
        self.tools.structure_wanted.connect(self._add_structure)
        self.tools.removal_wanted.connect(self._remove_structure)
        self.flow.flooded.connect(self._after_flood)
        self.table.picked.connect(self._pick)
        self.table.renamed.connect(self._rename)
        self.flow.picked.connect(self._after_pick)
        self.flow.surveyed.connect(self._after_survey)
        self._viewer.layers.selection.events.active.connect(self._visit)

    @property
    def canvas(self) -> Canvas | None:
        """What is painted on now; None where there is none."""
        return self.flow.canvas

    @property
    def journal(self) -> Path | None:
        """Where the paint is kept."""
        return self.canvas.journal if self.canvas is not None else None

    def set_image(self, image: Image | None, source: LayerSource | None) -> None:
        """Paint on another image: its own painted layer is chosen, if it has one."""
        if self.flow.turn_to(image, source):
            own = self.flow.canvases.at(self.flow.target)
            self.offer.look(self.flow.place if own is None else None, source.shape[1:] if source is not None else ())
            self.layer_box.choose(own.layer if own is not None else None)
        self._show()

    def copy(self) -> PaintCopy:
        """The paint as it is now, checked against the image.

        Raises
        ------
        InputError
            If it does not lie on the image.
        """
        canvas = self.canvas
        if canvas is None or self.flow.source is None:
            raise UnetsegError("Nothing is painted. Add a painted layer, and paint some background and a structure.")
        return PaintCopy(self.flow.read(canvas), canvas.structures.output_names)

    def offer_model(self, waits: bool) -> None:
        """Whether the last accepted model of what is painted here is on offer."""
        self.offer.offer_model(waits and self.canvas is not None)

    def others(self) -> list[Canvas]:
        """What is painted on other images that are open."""
        return self.flow.canvases.beside(self.flow.image, self._viewer.layers)

    def show_dice(self, expected: Mapping[int, ExpectedDice]) -> None:
        """Show what Dice to expect by output label."""
        self.table.show_dice(expected)

    def know(self, names: Mapping[int, str]) -> None:
        """There are these structures, by painted value: the model that learning begins with goes on with them."""
        canvas = self.canvas
        if canvas is not None and canvas.structures.know(names):
            self._restyle(canvas)
            self.flow.write(canvas)

    def _visit(self, _event: object = None) -> None:
        """Only the chosen layer's strokes are kept: so the one that is painted on becomes the chosen one."""
        active = self._viewer.layers.selection.active
        canvas = self.flow.canvases.of(active) if isinstance(active, LabelsLayer) else None
        if canvas is not None and not same_layer(canvas.image, self.flow.image):
            self.choose(canvas.layer)

    def choose(self, layer: LabelsLayer) -> None:
        """Have a painted layer, and the image that it belongs to, be the chosen ones."""
        canvas = self.flow.canvases.of(layer)
        if canvas is not None and not same_layer(canvas.image, self.flow.image):
            self.visited.emit(canvas.image)
        self.layer_box.choose(layer)

    def correct(self, names: Mapping[int, str], model: str) -> LabelsLayer | None:
        """The layer that keeps corrections of this model's result on the image, by painted value; None without image.

        One that is there already goes on: what was corrected before stays.
        """
        source, own = self.flow.source, self.flow.canvases.at(self.flow.target)
        if source is None:
            return None
        if own is not None and own.corrects == model and own.layer in self._viewer.layers:
            self.choose(own.layer)
            return own.layer
        structures = PaintStructures(names)
        layer = new_layer(source, structures)
        layer.contour, layer.name = 1, f"{source.name} (corrections)"
        self._add(layer, structures, self.flow.keep_afresh())
        if self.canvas is not None:
            self.canvas.corrects = model
        return layer

    def _add_afresh(self) -> None:
        if self.flow.source is not None:
            structures = PaintStructures()
            self._add(new_layer(self.flow.source, structures), structures, self.flow.keep_afresh())

    def _restore(self, claim: Claim) -> None:
        """Bring kept paint back as it is now: someone may have gone on with it since it was found."""
        kept, source = self.offer.kept, self.flow.source
        if kept is None or source is None:
            return
        keep = {Claim.GO_ON: keep_on, Claim.COPY: keep_copy}.get(claim)
        keeper = self.flow.keep(keep, kept.path) if keep is not None else None
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
        self.flow.look()

    def _register(self, layer: LabelsLayer, structures: PaintStructures, keeper: PaintKeeper | None) -> None:
        """Paint on a layer from now on."""
        if self.flow.target is not None:
            self.flow.canvases.add(Canvas(layer, self.flow.target, structures, keeper))
            self.offer.forget()
            bind_keys(layer, self._pick)

    def _choose(self, layer: LabelsLayer | None) -> None:
        if layer is not None and self.flow.source is not None and self.flow.canvases.of(layer) is None:
            if holds_structures(layer):
                self._convert(layer, self.flow.source)
                return
            self._register(layer, structures_in(layer), self.flow.keep_afresh())
        self.flow.watch(layer)
        self._show()
        self.chosen.emit()

    def _convert(self, layer: LabelsLayer, source: LayerSource) -> None:
        """Paint on a copy of labels: taken as paint, their first structure would become background."""
        try:
            labels = labels_on(layer, source, index_on_screen(self._viewer, layer, "T"))
            painted, structures = paint_of_labels(labels)
        except UnetsegError as error:
            tell(error)
            own = self.flow.canvases.at(self.flow.target)
            self.layer_box.choose(own.layer if own is not None else None)
            return
        copy = new_layer(source, structures, PaintedStack.of(painted))
        self._add(copy, structures, self.flow.keep_afresh())
        tell(
            f"{layer.name} holds structures, not paint. It was copied to {copy.name}, with background as 1 and each "
            "structure one higher; the labels themselves are left as they are.",
            show_info,
        )

    def _after_survey(self, canvas: Canvas) -> None:
        """There is a row for every value that is painted, and in it how much."""
        if canvas.survey is not None and canvas.structures.follow(canvas.survey.counts):
            self._restyle(canvas)
        self._show_painted()

    def _add_structure(self) -> None:
        canvas = self.canvas
        if canvas is not None and not canvas.structures.is_full:
            value = canvas.structures.add()
            self._restyle(canvas)
            self._pick(value)

    def _remove_structure(self) -> None:
        """Erase the paint of the structure that is painted with, which can be undone, and take its row away."""
        canvas = self.canvas
        if canvas is None:
            return
        value = int(canvas.layer.selected_label)
        if not canvas.structures.can_remove(value):
            return
        name = canvas.structures.names[value]
        erase(canvas.layer, value)
        canvas.structures.remove(value)
        self._restyle(canvas)
        self._pick(BACKGROUND)
        self.flow.look()
        tell(f"{name} is removed, and its paint is erased: Undo brings the paint back.", show_info)

    def _rename(self, value: int, name: str) -> None:
        canvas = self.canvas
        if canvas is not None:
            canvas.structures.rename(value, name)
            self._restyle(canvas)
            self.flow.write(canvas)

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
        self.add_button.setEnabled(self.flow.source is not None)
        for part in (self.table, self.tools, self.place):
            part.setVisible(canvas is not None)
        self.tools.use(canvas.layer if canvas is not None else None)
        if canvas is not None:
            self._show_place(canvas.journal)
            self.table.show_structures(canvas.structures.painted, canvas.structures.removed)
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

    def _after_flood(self, where: str) -> None:
        tell(f"The fill covered all of {where}, where nothing was outlined. Undo takes it back.", show_warning)

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
            self.tools.remove_button.setEnabled(canvas.structures.can_remove(int(canvas.layer.selected_label)))
        self.wish.setText(text)
        self.wish.setVisible(bool(text))
