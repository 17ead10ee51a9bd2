"""Rows of a form that choose a layer and what its axes, channel, level and voxel size are."""

from __future__ import annotations

from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFormLayout
from superqt.utils import signals_blocked

from napari_unetseg.core.grid import Triple
from napari_unetseg.core.text import display_text
from napari_unetseg.errors import InputError
from napari_unetseg.plugin.layers.axes import choices_of
from napari_unetseg.plugin.layers.marks import is_preview
from napari_unetseg.plugin.layers.source import LayerSource, axes_of
from napari_unetseg.plugin.layers.viewport import index_on_screen
from napari_unetseg.plugin.parts.fields import LayerBox, VoxelSizeFields, combo, note, show_row
from napari_unetseg.plugin.parts.text import lengths

AXES = {"T": "time", "C": "channel", "Z": "z", "Y": "y", "X": "x"}


class LayerRows(QObject):
    """Layer, axes, channel, resolution and voxel size; rows without a choice are hidden.

    Parameters
    ----------
    layout : QFormLayout
        Gets the rows.
    viewer : Viewer
        Its image layers may be chosen, and its sliders say which time point is meant.
    """

    changed = Signal()

    def __init__(self, layout: QFormLayout, viewer: Viewer) -> None:
        super().__init__(layout.parentWidget())
        self._layout, self._viewer = layout, viewer
        self.layer_box = LayerBox(viewer, lambda layer: isinstance(layer, Image) and not is_preview(layer))
        self.layer_box.setToolTip("The image to work on. It is never changed.")
        self.axes_box, self.channel_box, self.level_box = combo(), combo(), combo()
        self.axes_box.setToolTip("What the layer's axes are. Of a time series, the time point on screen is taken.")
        self.channel_box.setToolTip("The channel to work on.")
        self.level_box.setToolTip("The resolution level to work on; the first is the finest.")
        self.voxel_size = VoxelSizeFields()
        self.about = note()
        for label, field in (
            ("Layer", self.layer_box), ("Axes", self.axes_box), ("Channel", self.channel_box),
            ("Resolution", self.level_box), ("Voxel size", self.voxel_size), ("", self.about),
        ):  # fmt: skip
            layout.addRow(label, field)
        self.layer_box.layer_changed.connect(self._show_layer)
        self.axes_box.currentIndexChanged.connect(self._show_channels)
        self.channel_box.currentIndexChanged.connect(self._show_source)
        self.level_box.currentIndexChanged.connect(self._show_source)
        self.voxel_size.changed.connect(self.changed)
        self._show_layer()

    def source(self) -> LayerSource | None:
        """A snapshot of what is chosen now; None where no layer is, or it has too many axes."""
        layer = self.layer_box.layer
        if layer is None or not self.axes_box.count():
            return None
        axes = str(self.axes_box.currentData())
        return LayerSource.of(
            layer, axes, time=index_on_screen(self._viewer, layer, "T", axes), channel=self.channel_box.currentData(),
            level=max(0, self.level_box.currentIndex()),
        )  # fmt: skip

    @property
    def spacing(self) -> Triple:
        """The voxel size (z, y, x) that the user sees, in `unit`."""
        return self.voxel_size.spacing

    @property
    def unit(self) -> str:
        """The unit of `spacing`."""
        return self.voxel_size.unit

    def _show_layer(self) -> None:
        layer = self.layer_box.layer
        message = "Open an image to begin: drop a file here, or use Load volume."
        with signals_blocked(self.axes_box):
            self.axes_box.clear()
            if layer is not None:
                try:
                    for axes in choices_of(layer.ndim):
                        self.axes_box.addItem(", ".join(AXES[axis] for axis in axes), axes)
                    self.axes_box.setCurrentIndex(self.axes_box.findData(axes_of(layer)))
                except InputError as error:
                    message = str(error)
        self.about.setText(message)
        show_row(self._layout, self.axes_box, self.axes_box.count() > 1)
        self._show_levels()
        self._show_channels()

    def _show_levels(self) -> None:
        layer = self.layer_box.layer
        with signals_blocked(self.level_box):
            self.level_box.clear()
            if layer is not None and layer.multiscale:
                self.level_box.addItems([lengths(level.shape) for level in layer.data])
        show_row(self._layout, self.level_box, self.level_box.count() > 1)

    def _show_channels(self) -> None:
        with signals_blocked(self.channel_box):
            self.channel_box.clear()
            source = self.source()
            if source is not None and not source.rgb:
                for index, name in enumerate(source.all_channels):
                    self.channel_box.addItem(display_text(name), index)
            several = self.channel_box.count() > 1
            if several:
                self.channel_box.addItem("all", None)
        show_row(self._layout, self.channel_box, several)
        self._show_source()

    def _show_source(self) -> None:
        source = self.source()
        show_row(self._layout, self.voxel_size, source is not None)
        if source is not None:
            self.voxel_size.show_grid(source.grid, flat=source.shape[1] == 1)
            self.about.setText(f"{lengths(source.shape[1:])} {'pixels' if source.shape[1] == 1 else 'voxels'}")
        self.changed.emit()
