"""Results of learning: its curves, the accepted models, which one is in use, and what they are used for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetseg.core.annotations.versions import Version
from napari_unetseg.core.volume import Structure
from napari_unetseg.plugin.learn.apply import ApplyRows
from napari_unetseg.plugin.learn.loop import TrainingFinished
from napari_unetseg.plugin.learn.plot import LossPlot, ScorePlot
from napari_unetseg.plugin.parts.fields import combo


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
    score = f", Dice {version.mean_dice:.2f}" if version.mean_dice is not None else ""
    return f"{version.number}: {version.kind}{score}"


class LearnResults(QWidget):
    """The loss, the score of each version, the versions themselves, and *Apply to…*; each hidden until there is one.

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
        self.apply = ApplyRows(viewer)
        plots = QHBoxLayout()
        plots.addWidget(self.loss_plot)
        plots.addWidget(self.score_plot)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(plots)
        column.addWidget(self.versions)
        column.addWidget(self.apply)
        self.versions.reverted.connect(self.reverted)
        self.versions.save_asked.connect(self.save_asked)
        self.apply.model_asked.connect(self.save_asked)

    def begin(self, image: Layer | None) -> None:
        """Nothing has come of learning on this image yet."""
        self.apply.image = image
        self.loss_plot.clear()
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
        self.apply.setVisible(bool(self.versions.versions))
        self.score_plot.show_versions(self.versions.versions, self._structures)
