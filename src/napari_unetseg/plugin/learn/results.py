"""Results of learning: its curves, the accepted models, which one is in use, and what they are used for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QImage, QPixmap
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unetseg.core.annotations.versions import SlicePrediction, Version
from napari_unetseg.core.volume import Structure
from napari_unetseg.plugin.learn.apply import ApplyRows
from napari_unetseg.plugin.learn.finishing import FinishingRows
from napari_unetseg.plugin.learn.loop import Offered, TrainingFinished
from napari_unetseg.plugin.learn.plot import LossPlot, ScorePlot
from napari_unetseg.plugin.parts.fields import combo, note

THUMBNAIL = 130
"""Pixels of a slice's picture in an offer, along its longer side."""


class VersionRows(QWidget):
    """Chooses among the accepted models."""

    reverted = Signal(int)
    """A version's number: it should be in use again."""
    save_asked = Signal(object)
    """The path of the file to write."""

    def __init__(self) -> None:
        super().__init__()
        self.box = combo()
        self.box.setToolTip("The models that were accepted, the newest last, with their Dice on held-out paint.")
        self.revert_button = QPushButton("Revert")
        self.revert_button.setToolTip("Use the chosen model again.")
        self.save_button = QPushButton("Save model…")
        self.save_button.setToolTip("Write the model in use to one file. Segment and the command line can open it.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addWidget(self.box, 1)
        row.addWidget(self.revert_button)
        column.addLayout(row)
        column.addWidget(self.save_button)
        self.current: Version | None = None
        self.box.currentIndexChanged.connect(self._refresh)
        self.revert_button.clicked.connect(lambda: self.reverted.emit(self.box.currentData().number))
        self.save_button.clicked.connect(self._choose_file)
        self.set_versions(())

    def set_versions(self, versions: Sequence[Version]) -> None:
        """Show these; the last one is in use."""
        self.box.clear()
        self.current = None
        for version in versions:
            self.add(version)
        self.setVisible(bool(versions))

    def add(self, version: Version) -> None:
        """Add a version, which is in use."""
        self.box.addItem(_words(version), version)
        self.use(version)

    def use(self, version: Version) -> None:
        """Show which version is in use."""
        self.current = version
        self.box.setCurrentIndex([self.box.itemData(i).number for i in range(self.box.count())].index(version.number))
        self.setVisible(True)
        self._refresh()

    @property
    def versions(self) -> list[Version]:
        """All that are shown."""
        return [self.box.itemData(index) for index in range(self.box.count())]

    def _refresh(self) -> None:
        chosen = self.box.currentData()
        self.revert_button.setEnabled(chosen is not None and chosen != self.current)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the model", "", "U-Net models (*.safetensors)")
        if path:
            self.save_asked.emit(Path(path).with_suffix(".safetensors"))


def _words(version: Version) -> str:
    known = [dice.value for dice in version.expected.values() if dice.value is not None]
    score = f", Dice {sum(known) / len(known):.1f}" if known else ""
    return f"{version.number}: {version.kind}{score}"


class VersionOffer(QWidget):
    """A version that cannot be told apart from the one in use: both on the slice in view, and a button to take it."""

    taken = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.line = note()
        self.pictures = (QLabel(), QLabel())
        self.captions = (QLabel(), QLabel())
        self.take_button, self.leave_button = QPushButton("Take it"), QPushButton("Leave it")
        self.take_button.setToolTip("Use the new version from now on. The one before can be reverted to.")
        self.leave_button.setToolTip("Go on with the version in use.")
        pictures, buttons = QHBoxLayout(), QHBoxLayout()
        for picture, caption in zip(self.pictures, self.captions, strict=True):
            one = QVBoxLayout()
            one.addWidget(picture, alignment=Qt.AlignmentFlag.AlignHCenter)
            one.addWidget(caption, alignment=Qt.AlignmentFlag.AlignHCenter)
            pictures.addLayout(one)
        buttons.addWidget(self.take_button)
        buttons.addWidget(self.leave_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.line)
        column.addLayout(pictures)
        column.addLayout(buttons)
        self.take_button.clicked.connect(self._take)
        self.leave_button.clicked.connect(self.hide)
        self.hide()

    def show_offer(self, offered: Offered, structures: Sequence[Structure]) -> None:
        """Show both versions side by side."""
        found, current = offered.version, offered.current
        self.line.setText(
            f"Version {found.number} ({found.kind}) cannot be told apart from version {current.number} on held-out "
            "paint. Look at both, or paint on another slice."
        )
        names = (f"version {current.number}, in use", f"version {found.number}")
        for index, (name, prediction) in enumerate(zip(names, offered.predictions, strict=True)):
            self.captions[index].setText(name)
            self.pictures[index].setPixmap(_picture(prediction, structures))
            self.pictures[index].setToolTip(f"Slice {offered.z}, {name}")
        self.show()

    def _take(self) -> None:
        self.hide()
        self.taken.emit()


def _picture(prediction: SlicePrediction, structures: Sequence[Structure]) -> QPixmap:
    """Labels of a slice in the structures' colours, on black."""
    colours = np.zeros((256, 3), np.uint8)
    for structure in structures:
        colours[structure.label] = QColor(structure.colour).getRgb()[:3]
    pixels = np.ascontiguousarray(colours[prediction.labels])
    height, width, _ = pixels.shape
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    return QPixmap.fromImage(image).scaled(THUMBNAIL, THUMBNAIL, Qt.AspectRatioMode.KeepAspectRatio)


class LearnResults(QWidget):
    """The loss, scores and versions, what saved models do to results, and *Apply to…*; hidden until there is one.

    Parameters
    ----------
    viewer : Viewer
        Its image layers are on offer to apply a model to.
    """

    reverted = Signal(int)
    """A version's number: it should be in use again."""
    save_asked = Signal(object)
    """The model in use should be written to this path; then call `after_saving`."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._structures: tuple[Structure, ...] = ()
        self.loss_plot, self.score_plot = LossPlot(), ScorePlot()
        self.versions = VersionRows()
        self.offer = VersionOffer()
        self.finishing = FinishingRows()
        self.apply = ApplyRows(viewer)
        plots = QHBoxLayout()
        plots.addWidget(self.loss_plot)
        plots.addWidget(self.score_plot)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(plots)
        column.addWidget(self.offer)
        column.addWidget(self.versions)
        column.addWidget(self.finishing)
        column.addWidget(self.apply)
        self.versions.reverted.connect(self.reverted)
        self.versions.save_asked.connect(self.save_asked)
        self.apply.model_asked.connect(self.save_asked)

    def begin(self, image: Layer | None) -> None:
        """Nothing has come of learning on this image yet."""
        self.apply.image = image
        self.loss_plot.clear()
        self.offer.hide()
        self.set_versions(())

    def dress(self, structures: tuple[Structure, ...]) -> None:
        """Draw the structures' curves in their colours, from the next version on."""
        self._structures = structures

    def set_versions(self, versions: Sequence[Version]) -> None:
        """These were accepted; the last one is in use."""
        self.versions.set_versions(versions)
        self._draw()

    def add(self, version: Version) -> None:
        """One more was accepted, and is in use."""
        self.versions.add(version)
        self._draw()

    def show_training(self, trained: TrainingFinished) -> None:
        """Show more losses."""
        self.loss_plot.add(trained.losses, begins=trained.begins)

    def after_saving(self, path: Path) -> str:
        """A model was written: *Apply to…* goes on where it had asked for it; returns what there is to say."""
        if self.apply.is_mine(path):
            self.apply.run(path)
            return ""
        return f"Saved to {path}. Segment can open it for other layers."

    def _draw(self) -> None:
        for rows in (self.finishing, self.apply):
            rows.setVisible(bool(self.versions.versions))
        self.score_plot.show_versions(self.versions.versions, self._structures)
