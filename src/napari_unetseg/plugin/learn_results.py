"""The rows about what came of learning: its curves, the accepted models, and what they are used for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_unetseg.core.annotations.versions import Version
from napari_unetseg.core.volume import Structure
from napari_unetseg.plugin.apply_rows import ApplyRows
from napari_unetseg.plugin.learn_job import Trained
from napari_unetseg.plugin.learn_plot import LossPlot, ScorePlot
from napari_unetseg.plugin.version_rows import VersionRows


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

    def show_training(self, trained: Trained) -> None:
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
