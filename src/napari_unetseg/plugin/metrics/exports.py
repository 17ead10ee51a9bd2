"""Exports of what is measured: the object table, surfaces as meshes, and the report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QPushButton, QWidget

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.limits import Limits
from napari_unetseg.core.metrics.scores import Evaluation
from napari_unetseg.core.metrics.table import write_csv
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.volume import Volume
from napari_unetseg.errors import InputError
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.layers.source import LayerSource, grid_on_screen
from napari_unetseg.plugin.layers.viewport import index_on_screen
from napari_unetseg.plugin.metrics.job import MetricsRequest
from napari_unetseg.service import report_jobs
from napari_unetseg.service.metric_jobs import measure
from napari_unetseg.service.process import Worker

Asked = tuple[MetricsRequest, Evaluation | None, Limits]
"""What is measured, how it stands to its reference, and the limits."""


class ExportButtons(QWidget):
    """Buttons that write files about what is measured.

    Parameters
    ----------
    viewer : Viewer
        An image of it that lies on the labels' grid is shown in the report.
    asked : callable
        What is measured now; None where nothing is.
    """

    told = Signal(str)
    """In words, what was written."""

    def __init__(self, viewer: Viewer, asked: Callable[[], Asked | None]) -> None:
        super().__init__()
        self._viewer, self._asked = viewer, asked
        self.bridge = Bridge(self)
        self.objects = QPushButton("Objects…")
        self.objects.setToolTip("Save a row for each object: its volume, place, axes, extent and brightness, as CSV.")
        self.surfaces = QPushButton("Surfaces…")
        self.surfaces.setToolTip("Save the surface of each structure or object as a mesh, .ply, in physical units.")
        self.report = QPushButton("Report…")
        self.report.setToolTip("Save pictures, tables, limits and advice as one page that a browser shows.")
        self.row = QGridLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        for place, button in ((2, self.objects), (3, self.surfaces), (4, self.report)):
            self.add(button, place)
        self.objects.clicked.connect(self._save_objects)
        self.surfaces.clicked.connect(self._save_surfaces)
        self.report.clicked.connect(self._save_report)
        self.bridge.returned.connect(lambda text: self.told.emit(text))

    def add(self, button: QPushButton, place: int) -> None:
        """Put a button at one of six places, three a row."""
        self.row.addWidget(button, *divmod(place, 3))

    def _save_objects(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the object table", "objects.csv", "Table (*.csv)")
        asked = self._asked()
        if path and asked is not None:
            self.bridge.start("Measuring objects", _write_objects, Path(path), asked[0], self._image(asked[0]))

    def _save_surfaces(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Save surfaces into a folder")
        asked = self._asked()
        if folder and asked is not None:
            self.bridge.start("Surfaces", _write_surfaces, Path(folder), asked[0])

    def _save_report(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the report", "report.html", "Page (*.html)")
        asked = self._asked()
        if path and asked is not None:
            self.bridge.start("Report", _write_report, Path(path), asked, self._image(asked[0]))

    def _image(self, request: MetricsRequest) -> LayerSource | None:
        """The image that is chosen, or else the topmost on the labels' grid."""
        if request.image is not None:
            return request.image
        for layer in reversed(self._viewer.layers):
            if isinstance(layer, Image):
                with suppress(InputError):  # of too many axes, or on another grid
                    source = LayerSource.of(layer, time=index_on_screen(self._viewer, layer, "T"))
                    grid_on_screen(request.predicted.source, source)
                    return source
        return None


def _volume(source: LayerSource | None, grid: Grid) -> Volume | None:
    return None if source is None else source.volume(grid)


def _write_objects(worker: Worker, path: Path, request: MetricsRequest, image: LayerSource | None) -> Job[str]:
    yield Progress(0, 1, "Reading the layers")
    grid = grid_on_screen(request.predicted.source, image)
    found = yield from worker.run(measure, request.predicted.labels(grid), _volume(image, grid), True)
    write_csv(path, found.rows)
    return f"Saved {len(found.rows)} objects as {path.name}."


def _write_surfaces(worker: Worker, folder: Path, request: MetricsRequest) -> Job[str]:
    yield Progress(0, 1, "Reading the layers")
    paths = yield from worker.run(report_jobs.surfaces, folder, request.predicted.labels(), ".ply")
    return f"Saved {len(paths)} surfaces in {folder.name}." if paths else "There is nothing in these labels."


def _write_report(worker: Worker, path: Path, asked: Asked, image: LayerSource | None) -> Job[str]:
    yield Progress(0, 1, "Reading the layers")
    request, evaluation, limits = asked
    grid = grid_on_screen(request.predicted.source, image)
    reference: Any = None if request.reference is None or request.painted else request.reference.labels(grid)
    labels = request.predicted.labels(grid)
    yield from worker.run(report_jobs.page, path, labels, _volume(image, grid), reference, evaluation, limits)
    return f"Saved {path.name}."
