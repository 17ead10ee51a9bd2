"""The part of the *Learn* widget about painting: the painted layer, its structures, and that no stroke is lost."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.layers import Image
from napari.layers import Labels as LabelsLayer
from napari.utils.notifications import show_error
from napari.viewer import Viewer
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetseg.errors import UnetsegError
from napari_unetseg.plugin.fields import LayerBox, note
from napari_unetseg.plugin.layers import LayerSource
from napari_unetseg.plugin.learn_desk import PaintCopy
from napari_unetseg.plugin.learn_job import LearnImage
from napari_unetseg.plugin.learn_preview import is_preview
from napari_unetseg.plugin.metrics_view import index_on_screen
from napari_unetseg.plugin.paint_keeper import KeptPaint, PaintKeeper, Survey, find_paint, place_of, set_aside
from napari_unetseg.plugin.paint_layer import bind_keys, copy_of, dress, new_layer, pick, structures_in
from napari_unetseg.plugin.paint_structures import PaintStructures
from napari_unetseg.plugin.paint_table import PaintTable

SOON = 100
"""Milliseconds from the end of a stroke until its paint is copied."""
LATER = 600
"""The same after a change that may be no paint at all, such as a move to another slice, or an undone stroke."""
POLL = 50


@dataclass(eq=False)
class Canvas:
    """A painted layer and what belongs to it.

    Parameters
    ----------
    image : Image
        The layer that it is painted on.
    shape, time : (z, y, x), int
        Of that image, at the resolution and the time point that were chosen.
    keeper : PaintKeeper or None
        None where the paint cannot be kept.
    last : ndarray or None
        The paint (Z, Y, X) that was kept last.
    survey : Survey or None
        Of that paint, soon after it was kept.
    learned : LearnImage or None
        The image as it would be learned from.
    """

    layer: LabelsLayer
    image: Image
    shape: tuple[int, ...]
    time: int
    structures: PaintStructures
    keeper: PaintKeeper | None
    last: npt.NDArray[Any] | None = None
    survey: Survey | None = None
    learned: LearnImage | None = None


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
    """Kept paint was brought back."""
    renamed = Signal()
    """The structures' names have changed."""
    visited = Signal(object)
    """The image of another painted layer, which has become the active one."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._image: Image | None = None
        self._source: LayerSource | None = None
        self._kept: KeptPaint | None = None
        self._canvases: WeakKeyDictionary[LabelsLayer, Canvas] = WeakKeyDictionary()
        self._watched: LabelsLayer | None = None
        self._writing: list[tuple[Future[Any], str]] = []
        self._build()
        self._soon, self._later = self._timer(SOON), self._timer(LATER)
        self._soon.timeout.connect(self._take)
        self._later.timeout.connect(self._take_if_changed)
        self._poll = QTimer(self)
        self._poll.setInterval(POLL)
        self._poll.timeout.connect(self._look_at_writing)
        viewer.layers.selection.events.active.connect(self._visit)

    def _timer(self, milliseconds: int) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        return timer

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
        self.offer = note()
        self.restore_button = QPushButton("Restore paint")
        self.restore_button.setToolTip("Paint of this image was kept: bring it back, with the last accepted model.")
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
        for part in (self.offer, self.restore_button, self.table, self.structure_button):
            column.addWidget(part)
        self.layer_box.layer_changed.connect(self._choose)
        self.add_button.clicked.connect(self._add_afresh)
        self.restore_button.clicked.connect(self._restore)
        self.structure_button.clicked.connect(self._add_structure)
        self.table.picked.connect(self._pick)
        self.table.renamed.connect(self._rename)
        self._show()

    @property
    def canvas(self) -> Canvas | None:
        """What is painted on now; None where there is none."""
        layer = self.layer_box.layer
        return None if layer is None else self._canvases.get(layer)

    @property
    def journal(self) -> Path | None:
        """Where the paint is kept."""
        canvas = self.canvas
        return canvas.keeper.path if canvas is not None and canvas.keeper is not None else None

    def set_image(self, image: Image | None, source: LayerSource | None) -> None:
        """Paint on another image: its own painted layer is chosen, if it has one."""
        before, self._image, self._source = self._spot, image, source
        if self._spot != before:
            self._kept = find_paint(self._place(source), source.shape[1:]) if source is not None else None
            own = [c.layer for c in self._canvases.values() if (c.image, c.shape, c.time) == self._spot]
            self.layer_box.choose(own[-1] if own else None)
        self._show()

    @property
    def _spot(self) -> tuple[Image, tuple[int, ...], int] | None:
        """What paint belongs to."""
        return None if self._source is None else (self._image, self._source.shape[1:], self._source.time)

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
        painted = copy_of(canvas.layer, self._source, index_on_screen(self._viewer, canvas.layer, "T"))
        return PaintCopy(painted, canvas.structures.output_names)

    def others(self) -> list[Canvas]:
        """What is painted on other images that are open."""
        layers = self._viewer.layers
        return [
            canvas
            for canvas in self._canvases.values()
            if canvas.image is not self._image and canvas.image in layers and canvas.layer in layers
            if canvas.last is not None and canvas.learned is not None
        ]

    def _visit(self, _event: object = None) -> None:
        """Only the chosen layer's strokes are kept: so the one that is painted on becomes the chosen one."""
        active = self._viewer.layers.selection.active
        canvas = self._canvases.get(active) if isinstance(active, LabelsLayer) else None
        if canvas is not None and canvas.image is not self._image:
            self.visited.emit(canvas.image)

    def show_dice(self, dice: Mapping[int, float], held_out: Mapping[int, int]) -> None:
        """Show held-out Dice by output label."""
        self.table.show_dice(dice, held_out)

    def close_journals(self) -> None:
        """Wait until all paint is on the disk."""
        for canvas in self._canvases.values():
            if canvas.keeper is not None:
                canvas.keeper.close()
                canvas.keeper = None

    def _place(self, source: LayerSource) -> Path:
        path = self._image.source.path if self._image is not None else None
        return place_of(path, source.name, source.shape[1:])

    def _add_afresh(self) -> None:
        if self._source is not None:
            self._add(PaintStructures(), None)

    def _restore(self) -> None:
        kept = self._kept
        if kept is not None and self._source is not None:
            self._add(PaintStructures(kept.names), kept)
            self.restored.emit()

    def _add(self, structures: PaintStructures, kept: KeptPaint | None) -> None:
        assert self._source is not None  # noqa: S101 - for the type checker: the callers have looked
        layer = new_layer(self._source, structures, kept.painted if kept is not None else None)
        if kept is not None:
            structures.cover(int(kept.painted.max()))
        self._register(layer, structures, afresh=kept is None)
        dress(layer, structures)
        self._viewer.add_layer(layer)
        self.layer_box.choose(layer)
        self._pick(2)
        self._later.start()

    def _register(self, layer: LabelsLayer, structures: PaintStructures, *, afresh: bool) -> None:
        """Begin to keep a layer's paint; where that fails, say so once, and let the user paint."""
        assert self._source is not None  # noqa: S101
        keeper = None
        try:
            place = self._place(self._source)
            self._release(place)
            if afresh and place.exists():
                set_aside(place)
            keeper = PaintKeeper(place, self._source.shape[1:])
        except UnetsegError as error:
            show_error(f"The paint is not kept on the disk: {error}")
        if self._spot is not None:
            self._canvases[layer] = Canvas(layer, *self._spot, structures, keeper)
        self._kept = None
        bind_keys(layer, self._pick)

    def _release(self, place: Path) -> None:
        """Let go of the layer whose paint is kept there: another one of the same image takes over."""
        for layer, canvas in list(self._canvases.items()):
            if canvas.keeper is not None and canvas.keeper.path == place:
                canvas.keeper.close()
                del self._canvases[layer]

    def _choose(self, layer: LabelsLayer | None) -> None:
        if layer is not None and layer not in self._canvases and self._source is not None:
            self._register(layer, structures_in(layer), afresh=True)
        self._watch(layer)
        if self._watched is not None:
            self._later.start()
        self._show()
        self.chosen.emit()

    def _watch(self, layer: LabelsLayer | None) -> None:
        if self._watched is layer:
            return
        if self._watched is not None:
            self._watched.events.paint.disconnect(self._after_stroke)
            self._watched.events.set_data.disconnect(self._after_change)
            self._watched.events.selected_label.disconnect(self._mark)
        self._watched = layer
        if layer is not None:
            layer.events.paint.connect(self._after_stroke)
            layer.events.set_data.connect(self._after_change)
            layer.events.selected_label.connect(self._mark)

    def _after_stroke(self, _event: object = None) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _after_change(self, _event: object = None) -> None:
        self._later.start()

    def _take_if_changed(self) -> None:
        canvas = self.canvas
        if canvas is not None and not self._soon.isActive():
            self._take(only_changed=True)

    def _take(self, *, only_changed: bool = False) -> None:
        """Copy the paint, have it written, and tell who wants to learn from it."""
        canvas = self.canvas
        if canvas is None or self._source is None:
            return
        try:
            copy = self.copy()
        except UnetsegError:
            return  # said when someone wants to learn from it
        if only_changed and canvas.last is not None and np.array_equal(copy.painted, canvas.last):
            return
        is_new = canvas.last is None and not copy.painted.any()
        canvas.last = copy.painted
        self._write(canvas, copy)
        if not is_new:
            self.painted.emit(copy)

    def _write(self, canvas: Canvas, copy: PaintCopy) -> None:
        if canvas.keeper is not None:
            names = canvas.structures.names
            self._writing.append((canvas.keeper.keep(copy.painted, names), "write"))
            self._writing.append((canvas.keeper.survey(copy.painted), "survey"))
            self._poll.start()

    def _look_at_writing(self) -> None:
        """Show what the keeper's thread has counted, and say once what it could not write."""
        while self._writing and self._writing[0][0].done():
            future, what = self._writing.pop(0)
            error = future.exception()
            if error is not None:
                show_error(str(error))
            elif what == "survey":
                self._show_survey(future.result())
        if not self._writing:
            self._poll.stop()

    def _show_survey(self, survey: Survey) -> None:
        canvas = self.canvas
        if canvas is not None:
            before = len(canvas.structures.names)
            canvas.structures.cover(len(survey.counts) - 1)
            if len(canvas.structures.names) > before:
                self._restyle(canvas)
            canvas.survey = survey
            self.table.show_painted(survey.counts)

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
            if canvas.last is not None:
                self._write(canvas, PaintCopy(canvas.last, canvas.structures.output_names))

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

    def _mark(self, _event: object = None) -> None:
        """Follow the label that is chosen in napari's own controls."""
        if self._watched is not None:
            self.table.mark(int(self._watched.selected_label))

    def _show(self) -> None:
        canvas = self.canvas
        self.add_button.setEnabled(self._source is not None)
        for part in (self.table, self.structure_button):
            part.setVisible(canvas is not None)
        offered = self._kept is not None and canvas is None
        self.offer.setVisible(offered)
        self.restore_button.setVisible(offered)
        if self._kept is not None:
            count = int(np.count_nonzero(self._kept.painted))
            self.offer.setText(f"{count:,} painted voxels of this image were kept.".replace(",", " "))
        if canvas is not None:
            self.table.show_structures(canvas.structures.painted)
