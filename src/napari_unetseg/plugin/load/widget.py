"""The *Load volume* widget: shows what a file holds before anything is loaded, and loads the part that is wanted."""

from __future__ import annotations

from pathlib import Path

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit, QPushButton

from napari_unetseg.core.progress import Job
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels
from napari_unetseg.plugin.bridge import Bridge
from napari_unetseg.plugin.layers.layer_data import labels_layer, volume_layers
from napari_unetseg.plugin.load.selection_form import PartRows
from napari_unetseg.plugin.parts.fields import Panel, form
from napari_unetseg.plugin.parts.job_bar import JobBar
from napari_unetseg.service import jobs
from napari_unetseg.service.process import Worker


class LoadWidget(Panel):
    """Loads a file, a folder of slices or a DICOM series, in a process of its own.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands itself over by this name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._path: Path | None = None
        self._problem = ""
        self.bridge = Bridge(self)
        self.setAcceptDrops(True)
        self.rows.addLayout(self._path_row())
        layout = form()
        self.rows.addLayout(layout)
        self.part = PartRows(layout)
        self.as_labels = QCheckBox("open as labels")
        self.as_labels.setToolTip("Whole numbers that are classes or objects, not intensities.")
        self.rows.addWidget(self.as_labels)
        self.job = JobBar(self.bridge, "Load")
        self.rows.addWidget(self.job)
        self.rows.addStretch(1)
        self.job.asked.connect(self._load)
        self.bridge.returned.connect(self._show)
        self.bridge.ended.connect(self._refresh)
        self.part.changed.connect(self._refresh)
        self.job.say("Choose a file or a folder, or drop it here.")
        self._refresh()

    def _path_row(self) -> QHBoxLayout:
        self.path_line = QLineEdit()
        self.path_line.setPlaceholderText("file, folder of slices or DICOM series")
        self.path_line.returnPressed.connect(lambda: self.inspect(self.path_line.text()))
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.path_line, 1)
        for text, choose in (("File…", self._choose_file), ("Folder…", self._choose_folder)):
            button = QPushButton(text)
            button.clicked.connect(choose)
            row.addWidget(button)
        return row

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose an image")
        if path:
            self.inspect(path)

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Choose a folder of slices, a DICOM series or an OME-Zarr")
        if path:
            self.inspect(path)

    def inspect(self, path: str | Path) -> None:
        """Show what a path holds; nothing of it is loaded."""
        self._path = Path(path).expanduser()
        self.path_line.setText(str(path))
        self.part.show_info(None)
        self.bridge.start("", _inspect, self._path)
        self._refresh()

    def _load(self) -> None:
        if self._path is not None and self.part.info is not None:
            as_labels = self.as_labels.isChecked()
            self.bridge.start("Loading", _load, self._path, self.part.selection, as_labels)
            self._refresh()

    def _show(self, result: jobs.Inspection | list[Layer]) -> None:
        if isinstance(result, jobs.Inspection):
            self.part.show_info(result.info)
            self.as_labels.setChecked(result.are_labels)
            self.job.say(" ".join(result.info.notes))
        else:
            for layer in result:
                self._viewer.add_layer(layer)
            self.job.say("Loaded.")

    def _refresh(self) -> None:
        info, before, self._problem = self.part.info, self._problem, self.part.problem
        self.job.button.setEnabled(self.bridge.is_running or (info is not None and not self._problem))
        if info is not None and self._problem != before:
            self.job.say(self._problem or " ".join(info.notes))
        whole_numbers = info is not None and info.dtype.kind in "bui" and len(self.part.selection.channels or ()) == 1
        self.as_labels.setVisible(whole_numbers)
        self.as_labels.setChecked(self.as_labels.isChecked() and whole_numbers)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Take one file or folder."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802 - Qt's name
        """Inspect what was dropped."""
        self.inspect(event.mimeData().urls()[0].toLocalFile())


def _inspect(worker: Worker, path: Path) -> Job[jobs.Inspection]:
    return (yield from worker.run(jobs.inspect, path))


def _load(worker: Worker, path: Path, selection: Selection, as_labels: bool) -> Job[list[Layer]]:
    """Load in the child; make the layers here, in the background."""
    loaded = yield from worker.run(jobs.load, path, selection, as_labels)
    layers = [labels_layer(loaded)] if isinstance(loaded, Labels) else volume_layers([loaded])
    return [Layer.create(*data) for data in layers]
