"""Rows of *Apply to…*: the model in use, on other layers or on files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from napari.layers import Image, Layer
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QVBoxLayout, QWidget

from napari_unetseg.core.io.formats.registry import READERS
from napari_unetseg.core.text import display_text
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.layers.marks import is_preview
from napari_unetseg.plugin.layers.source import LayerSource
from napari_unetseg.plugin.layers.viewport import index_on_screen
from napari_unetseg.plugin.learn.apply_job import Applied, apply_to_files, apply_to_layers
from napari_unetseg.plugin.parts.job_bar import JobBar

FILES = f"Images ({' '.join(f'*{suffix}' for group in READERS.values() for suffix in group)});;All files (*)"


class ApplyRows(QWidget):
    """A button with a menu of what there is to apply the model to, its progress and one line.

    Parameters
    ----------
    viewer : Viewer
        Its image layers are on offer; results are added to it.
    """

    model_asked = Signal(object)
    """The model in use should be written to this path; then call `run`."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._work: Callable[[Path], None] | None = None
        self.image: Layer | None = None
        """The one in view, which is not on offer."""
        self.bridge = Bridge(self)
        self.job = JobBar(self.bridge, "Apply to…")
        self.job.button.setMinimumHeight(0)
        self.job.button.setStyleSheet("")
        self.job.button.setToolTip("Let the model in use find its structures in other open images, or in files.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.job)
        self.job.asked.connect(lambda: self.menu().popup(self.job.button.mapToGlobal(self.job.button.rect().topLeft())))
        self.bridge.returned.connect(self._show)

    def menu(self) -> QMenu:
        """What the model can be applied to now."""
        menu = QMenu(self)
        layers = [layer for layer in reversed(self._viewer.layers) if self._is_offered(layer)]
        for layer in layers:
            menu.addAction(display_text(layer.name), lambda layer=layer: self.apply_to([layer]))
        if len(layers) > 1:
            menu.addAction("All of these", lambda: self.apply_to(layers))
        if not layers:
            menu.addAction("No other image is open").setEnabled(False)
        menu.addSeparator()
        menu.addAction("Files, labels beside each…", lambda: self._choose_files(beside=True))
        menu.addAction("Files, labels into a folder…", lambda: self._choose_files(beside=False))
        return menu

    def apply_to(self, layers: Sequence[Layer]) -> None:
        """Find the structures in layers, as they are on screen now."""
        sources = [LayerSource.of(layer, time=index_on_screen(self._viewer, layer, "T")) for layer in layers]
        self._ask(lambda model: self.bridge.start("Applying", apply_to_layers, model, sources))

    def apply_to_files(self, images: Sequence[Path], folder: Path | None) -> None:
        """Find the structures in files, and write labels into a folder, or beside each image."""
        self._ask(lambda model: self.bridge.start("Applying", apply_to_files, model, images, folder))

    def run(self, model: Path) -> None:
        """The model has been written: begin."""
        work, self._work = self._work, None
        if work is not None:
            work(model)

    def is_mine(self, path: Path) -> bool:
        """Whether a model was written for this."""
        return self._folder is not None and path.parent == Path(self._folder.name)

    def _ask(self, work: Callable[[Path], None]) -> None:
        self._work = work
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="unetseg-")
        self.job.say("Asking for the model in use…")
        self.model_asked.emit(Path(self._folder.name) / "learned.safetensors")

    def _is_offered(self, layer: Layer) -> bool:
        return isinstance(layer, Image) and not same_layer(layer, self.image) and not is_preview(layer)

    def _choose_files(self, *, beside: bool) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Apply to", "", FILES)
        folder = QFileDialog.getExistingDirectory(self, "Where labels go") if names and not beside else ""
        if names and (beside or folder):
            self.apply_to_files([Path(name) for name in names], Path(folder) if folder else None)

    def _show(self, applied: Applied) -> None:
        for layer in applied.layers:
            self._viewer.add_layer(layer)
        done = len(applied.layers) + len(applied.files)
        where = f" Written: {', '.join(path.name for path in applied.files)}." if applied.files else ""
        if applied.failures:
            self.job.say(f"{done} done.{where} Not done: {' '.join(applied.failures)}", error=True)
        else:
            self.job.say(f"{done} done.{where}")
