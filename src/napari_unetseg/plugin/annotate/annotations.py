"""Annotations in the viewer: which image each painted layer belongs to, and where its paint is kept."""

from __future__ import annotations

from collections.abc import Container, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt
from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unetseg.core.annotations.painted_stack import PaintedStack
from napari_unetseg.plugin.annotate.classes import PaintStructures
from napari_unetseg.plugin.annotate.learn_image import LearnImage
from napari_unetseg.plugin.annotate.store import PaintKeeper, Survey
from napari_unetseg.plugin.bridge import tell
from napari_unetseg.plugin.layers.identity import same_layer


class AnnotationTarget(NamedTuple):
    """What paint belongs to: an image's layer, and its shape (z, y, x) and time point as they were chosen."""

    image: Image
    shape: tuple[int, ...]
    time: int


@dataclass(frozen=True)
class PaintCopy:
    """Paint as it was at one moment.

    Parameters
    ----------
    painted : PaintedStack, or ndarray of whole numbers, (Z, Y, X)
        Of the image in view; nobody writes to it.
    names : mapping
        Names of structures by output label.
    others : tuple
        The same of other images that are learned from.
    """

    painted: PaintedStack | npt.NDArray[Any]
    names: Mapping[int, str]
    others: tuple[PaintedStack | npt.NDArray[Any], ...] = ()

    @property
    def all(self) -> tuple[PaintedStack | npt.NDArray[Any], ...]:
        """The paint of every image, that in view first."""
        return (self.painted, *self.others)


@dataclass(eq=False)
class Canvas:
    """A painted layer and what belongs to it.

    Parameters
    ----------
    target : AnnotationTarget
        What it is painted on.
    keeper : PaintKeeper or None
        None where the paint cannot be kept.
    last : PaintedStack or None
        The paint that was kept last.
    survey : Survey or None
        Of that paint, soon after it was kept.
    learned : LearnImage or None
        The image as it would be learned from.
    taught : LearnImage or None
        The image as a model was last asked for: what is kept beside the journal belongs to it.
    corrects : str or None
        Name or path of the model whose result this paint corrects; None where it was painted from nothing.
    keeps_paint : bool
        Whether predictions are shown with the paint as it is: what was learned from it is being corrected.
    """

    layer: LabelsLayer
    target: AnnotationTarget
    structures: PaintStructures
    keeper: PaintKeeper | None
    last: PaintedStack | None = None
    survey: Survey | None = None
    learned: LearnImage | None = None
    taught: LearnImage | None = None
    corrects: str | None = None
    keeps_paint: bool = False

    @property
    def image(self) -> Image:
        """The layer that it is painted on."""
        return self.target.image

    @property
    def journal(self) -> Path | None:
        """Where its paint is kept."""
        return self.keeper.path if self.keeper is not None else None


class Canvases:
    """All painted layers that a widget knows, those that were removed too: an undo may bring them back."""

    def __init__(self) -> None:
        self._canvases: dict[LabelsLayer, Canvas] = {}

    def of(self, layer: LabelsLayer | None) -> Canvas | None:
        """That of a layer; None where it is not painted on yet."""
        return None if layer is None else self._canvases.get(layer)

    def at(self, target: AnnotationTarget | None) -> Canvas | None:
        """The newest one on a target."""
        return next((canvas for canvas in reversed(list(self._canvases.values())) if canvas.target == target), None)

    def beside(self, image: Image | None, layers: Container[Layer]) -> list[Canvas]:
        """What is painted on other images than this one, among the layers that are open."""
        return [
            canvas
            for canvas in self._canvases.values()
            if not same_layer(canvas.image, image) and canvas.image in layers and canvas.layer in layers
            if canvas.last is not None and canvas.learned is not None
        ]

    def add(self, canvas: Canvas) -> None:
        """Know a painted layer from now on."""
        self._canvases[canvas.layer] = canvas

    def release(self, place: Path) -> None:
        """Forget the layer whose paint is kept there, when all of it is: another one is to go on with it."""
        for layer, canvas in list(self._canvases.items()):
            if canvas.keeper is not None and canvas.keeper.path == place:
                canvas.keeper.close()
                del self._canvases[layer]


POLL = 50
"""Milliseconds."""


class PaintWriter(QObject):
    """Has the paint of canvases written and counted; says once what could not be written."""

    surveyed = Signal(object)
    """A `Canvas` whose survey is new."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs: list[tuple[Future[Any], Canvas | None]] = []
        self._poll = QTimer(self)
        self._poll.setInterval(POLL)
        self._poll.timeout.connect(self._look)

    @property
    def is_busy(self) -> bool:
        """Whether something is not on the disk, or not counted, yet."""
        return bool(self._jobs)

    def write(self, canvas: Canvas) -> None:
        """Write what a canvas held last, and its structures' names."""
        if canvas.keeper is not None and canvas.last is not None:
            self._jobs.append((canvas.keeper.keep(canvas.last, canvas.structures.names), None))
            self._jobs.append((canvas.keeper.survey(canvas.last), canvas))
            self._poll.start()

    def _look(self) -> None:
        while self._jobs and self._jobs[0][0].done():
            future, surveyed = self._jobs.pop(0)
            error = future.exception()
            if error is not None:
                tell(error)
            elif surveyed is not None:
                surveyed.survey = future.result()
                self.surveyed.emit(surveyed)
            elif (copy := future.result()) is not None:
                kept = f"what you paint here is kept in {copy.name}"
                tell(f"Another window has taken this paint over: {kept}.", show_warning)
        if not self._jobs:
            self._poll.stop()
