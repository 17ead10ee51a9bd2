"""The flow of paint: from layers that are painted on, to the disk, and to who learns from it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from napari.layers import Image
from napari.layers import Labels as LabelsLayer
from napari.utils.notifications import show_warning
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from napari_unetseg.core.annotations.painted_stack import PaintedStack
from napari_unetseg.errors import InputError, UnetsegError
from napari_unetseg.plugin.annotate.annotations import AnnotationTarget, Canvas, Canvases, PaintCopy, PaintWriter
from napari_unetseg.plugin.annotate.layer import paint_on
from napari_unetseg.plugin.annotate.store import PaintKeeper, keep_afresh, other_owner, place_of
from napari_unetseg.plugin.annotate.watch import PaintReader, PaintWatch, up_to_date
from napari_unetseg.plugin.bridge import tell
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.layers.source import LayerSource
from napari_unetseg.plugin.layers.viewport import axis_in_view, index_on_screen


class PaintFlow(QObject):
    """Reads paint soon after each stroke, and has it written and counted; no stroke is lost by looking elsewhere.

    Parameters
    ----------
    viewer : Viewer
    parent : QObject
    """

    painted = Signal(object)
    """A `PaintCopy` of the chosen layer, soon after each stroke."""
    surveyed = Signal(object)
    """A `Canvas` whose survey is new."""
    flooded = Signal(str)
    """A fill has covered the whole slice in view, which this names."""
    picked = Signal(int)
    """Another value was chosen to paint with, in napari's own controls too."""

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.image: Image | None = None
        self.source: LayerSource | None = None
        self.canvases = Canvases()
        self._watch, self._reader, self._writer = PaintWatch(self), PaintReader(self), PaintWriter(self)
        self._watch.stroked.connect(self.take)
        self._watch.touched.connect(lambda: self.take(only_changed=True))
        self._watch.picked.connect(self.picked)
        self._watch.filled.connect(self._after_fill)
        self._reader.read.connect(self._took)
        self._writer.surveyed.connect(self.surveyed)
        self._layer: LabelsLayer | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is not on the disk, or not counted, yet."""
        return self._writer.is_busy

    @property
    def target(self) -> AnnotationTarget | None:
        """What is painted belongs to it; None without an image."""
        if self.image is None or self.source is None:
            return None
        return AnnotationTarget(self.image, self.source.shape[1:], self.source.time)

    @property
    def place(self) -> Path | None:
        """Where paint on the image is kept; None without an image."""
        if self.source is None:
            return None
        return place_of(
            self.image.source.path if self.image is not None else None, self.source.name, self.source.shape[1:]
        )

    @property
    def canvas(self) -> Canvas | None:
        """What is painted on now; None where there is none."""
        return self.canvases.of(self._layer)

    def turn_to(self, image: Image | None, source: LayerSource | None) -> bool:
        """Paint on another image; returns whether it, its shape or its time point is another one."""
        self.settle()
        before, self.image, self.source = self.target, image, source
        return self.target != before

    def watch(self, layer: LabelsLayer | None) -> None:
        """Watch this layer and no other."""
        self.settle()
        self._layer = layer
        self._watch.watch(layer)

    def look(self) -> None:
        """Let the paint be looked at, when nothing has happened for a while."""
        self._watch.look()

    def read(self, canvas: Canvas) -> PaintedStack:
        """The paint as it is now.

        Raises
        ------
        InputError
            If it does not lie on the image.
        """
        return up_to_date(canvas.last, self._paint_on(canvas))

    def write(self, canvas: Canvas) -> None:
        """Have what a canvas held last, and its structures' names, written."""
        self._writer.write(canvas)

    def take(self, *, only_changed: bool = False) -> None:
        """Have the paint read, written, and told of."""
        canvas = self.canvas
        if canvas is not None:
            with suppress(UnetsegError):  # said when someone wants to learn from it
                self._reader.look(canvas, self._paint_on(canvas), only_changed=only_changed)

    def settle(self) -> None:
        """Have the newest strokes written before another layer or image is looked at."""
        due = self._watch.due()
        canvas = self._reader.drop() or self.canvases.of(due)
        if canvas is not None and self.source is not None and same_layer(canvas.image, self.image):
            with suppress(UnetsegError):
                canvas.last = self.read(canvas)
                self.write(canvas)

    def keep_afresh(self) -> PaintKeeper | None:
        """Keep new paint; where another window paints on this image, in a file of its own."""
        place = self.place
        if place is None:
            return None
        owner = other_owner(place)
        keeper = self.keep(keep_afresh, place)
        if owner is not None and keeper is not None:
            name = keeper.path.name
            tell(f"Another window ({owner}) paints on this image: this paint is kept in {name}.", show_warning)
        return keeper

    def keep(self, how: Callable[[Path, tuple[int, ...]], PaintKeeper], place: Path) -> PaintKeeper | None:
        """A keeper of paint; where that fails, it is said, and the user may paint nevertheless."""
        if self.source is None:
            return None
        self.settle()
        self.canvases.release(place)
        try:
            return how(place, self.source.shape[1:])
        except UnetsegError as error:
            tell(f"The paint is not kept on the disk: {error}")
            return None

    def _paint_on(self, canvas: Canvas) -> LayerSource:
        """Where to read a canvas; raises `InputError` if it does not lie on the image."""
        if self.source is None:
            raise InputError("Expected an image to paint on.")
        return paint_on(canvas.layer, self.source, index_on_screen(self._viewer, canvas.layer, "T"))

    def _after_fill(self) -> None:
        """Where nothing was outlined, a fill runs over everything: say so while it can be taken back."""
        canvas = self.canvas
        if canvas is None:
            return
        axis = axis_in_view(self._viewer, canvas.layer)
        number = index_on_screen(self._viewer, canvas.layer, axis)
        with suppress(UnetsegError):
            plane = self._paint_on(canvas).volume().array[0].take(number, "ZYX".index(axis))
            if plane.all() and plane.min() == plane.max():
                self.flooded.emit(f"slice {axis.lower()} {number}")

    def _took(self, canvas: Canvas, painted: PaintedStack, only_changed: bool) -> None:
        if only_changed and painted is canvas.last:
            return
        is_new = canvas.last is None and not painted.any()
        canvas.last = painted
        self.write(canvas)
        if not is_new and canvas is self.canvas:
            self.painted.emit(PaintCopy(painted, canvas.structures.output_names))
