"""The *Home* widget: what there is to do, and images to try it on."""

from __future__ import annotations

from napari.viewer import Viewer
from npe2 import PluginManager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QPushButton

from napari_unetseg.plugin.home.dropped import is_ours, make_ours
from napari_unetseg.plugin.parts.docks import open_widget
from napari_unetseg.plugin.parts.fields import Panel, note
from napari_unetseg.plugin.preferences import PLUGIN

TASKS = {
    "Segment": "One click: a model finds the structures in the whole image.",
    "Learn": "Paint a few slices; the rest follows while you paint.",
    "Correct": "Brush mistakes of a result away; the model learns from it.",
    "Metrics": "Volumes, surfaces and counts; agreement with a reference.",
    "Clean up": "Fill holes, remove specks, separate what touches.",
    "Load volume": "Choose a part of a large file, a time point or a channel.",
}


class HomeWidget(Panel):
    """Opens the other widgets and the samples.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands itself over by this name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.tasks = {title: self._button(title) for title in TASKS}
        self.samples = {key: QPushButton(title) for key, title in _samples().items()}
        self.rows.addWidget(_heading("What would you like to do?"))
        self.rows.addLayout(self._tasks())
        self.rows.addWidget(_heading("Try it on a sample"))
        for key, button in self.samples.items():
            button.clicked.connect(lambda _checked=False, key=key: self._viewer.open_sample(PLUGIN, key))
            self.rows.addWidget(button)
        hint = note()
        hint.setText(
            "Your own image: drop its file on the window. Device, memory and where paint is kept are set under File, "
            "Preferences."
        )
        self.rows.addWidget(hint)
        self.dropped = QCheckBox("Open dropped volumes without asking")
        self.dropped.setToolTip(
            "TIFF, NIfTI, NRRD, MetaImage, Zarr and DICOM, by this plugin, with their voxel size. Where several read a "
            "file, napari asks; this is its own preference, under File, Preferences, Plugins."
        )
        self.dropped.setChecked(is_ours())
        self.dropped.toggled.connect(make_ours)
        self.rows.addWidget(self.dropped)
        self.rows.addStretch(1)

    def _tasks(self) -> QGridLayout:
        """A button and a line for each task."""
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(10)
        grid.setColumnStretch(1, 1)
        for row, (title, text) in enumerate(TASKS.items()):
            line = note()
            line.setText(text)
            grid.addWidget(self.tasks[title], row, 0)
            grid.addWidget(line, row, 1)
        return grid

    def _button(self, title: str) -> QPushButton:
        button = QPushButton(title)
        button.setMinimumHeight(34)
        button.setStyleSheet("font-weight: bold;")
        button.clicked.connect(lambda: open_widget(self._viewer, title))
        return button


def open_home(viewer: Viewer) -> HomeWidget:
    """The viewer's home, in front of the other docks."""
    home: HomeWidget = open_widget(viewer, "Home")
    return home


def _samples() -> dict[str, str]:
    """Titles of the samples that the manifest names, by key."""
    found = PluginManager.instance().get_manifest(PLUGIN).contributions.sample_data or []
    return {sample.key: sample.display_name for sample in found}


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setAlignment(Qt.AlignmentFlag.AlignLeft)
    label.setStyleSheet("font-weight: bold;")
    return label
