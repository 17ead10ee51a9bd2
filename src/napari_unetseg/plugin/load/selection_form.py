"""Rows of a form that show what a file holds and choose the part of it to load."""

from __future__ import annotations

import math

import psutil
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QListWidget, QListWidgetItem, QSpinBox, QWidget
from superqt.utils import signals_blocked

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.source import VolumeInfo
from napari_unetseg.core.settings import Selection, help_of
from napari_unetseg.core.text import display_text
from napari_unetseg.plugin.parts.fields import VoxelSizeFields, combo, narrow, note, show_row
from napari_unetseg.plugin.parts.text import lengths, memory, voxel_size


class CropRange(QWidget):
    """From and to, in voxels, along one axis."""

    changed = Signal()

    def __init__(self, axis: str) -> None:
        super().__init__()
        self.start, self.stop = QSpinBox(), QSpinBox()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        for box, text in ((self.start, "from"), (self.stop, "to")):
            box.setToolTip(f"{help_of(Selection, 'crop')} {axis}, counted from 0; the end is not included.")
            box.setKeyboardTracking(False)
            narrow(box)
            box.valueChanged.connect(lambda: self.changed.emit())
            row.addWidget(QLabel(text))
            row.addWidget(box, 1)

    def show_length(self, length: int) -> None:
        """All of an axis."""
        with signals_blocked(self):
            self.start.setRange(0, length - 1)
            self.stop.setRange(1, length)
            self.start.setValue(0)
            self.stop.setValue(length)

    @property
    def span(self) -> tuple[int, int]:
        """Start and stop, as they were chosen: the stop may lie before the start."""
        return self.start.value(), self.stop.value()


class PartRows(QObject):
    """Facts of a file, then channels, time point, resolution, crop and voxel size; rows without a choice are hidden."""

    changed = Signal()

    def __init__(self, layout: QFormLayout) -> None:
        super().__init__(layout.parentWidget())
        self._layout = layout
        self.info: VolumeInfo | None = None
        self.format, self.size, self.type, self.spacing = (note() for _ in range(4))
        self.channels = QListWidget()
        self.time, self.level, self.voxel_size = QSpinBox(), combo(), VoxelSizeFields()
        self.crop = [CropRange(axis) for axis in "zyx"]
        self.memory = note()
        self._fields: dict[str, QWidget] = {
            "Format": self.format, "Size": self.size, "Data": self.type, "File says": self.spacing,
            "Channels": self.channels, "Time point": self.time, "Resolution": self.level, "Voxel size": self.voxel_size,
            "Crop z": self.crop[0], "Crop y": self.crop[1], "Crop x": self.crop[2], "Memory": self.memory,
        }  # fmt: skip
        for label, field in self._fields.items():
            layout.addRow(label, field)
        for field, name in ((self.channels, "channels"), (self.time, "time"), (self.level, "level")):
            field.setToolTip(help_of(Selection, name))
        self.channels.itemChanged.connect(self._show_memory)
        self.level.currentIndexChanged.connect(self._show_level)
        for crop in self.crop:
            crop.changed.connect(self._show_memory)
        self.show_info(None)

    def show_info(self, info: VolumeInfo | None) -> None:
        """Show a file's facts and offer all of it; None hides the rows."""
        self.info = info
        for field in self._fields.values():
            show_row(self._layout, field, info is not None)
        if info is not None:
            self._show_facts(info)
            self._offer(info)
            self._show_level()
        self.changed.emit()

    def _show_facts(self, info: VolumeInfo) -> None:
        flat = info.shape[0] == 1
        times = f", {info.times} time points" if info.times > 1 else ""
        self.format.setText(info.format)
        self.size.setText(f"{lengths(info.shape)} ({'y, x' if flat else 'z, y, x'}){times}")
        self.type.setText(f"{info.dtype}, {', '.join(info.channels)}")
        self.spacing.setText(voxel_size(info.grid, flat=flat))

    def _offer(self, info: VolumeInfo) -> None:
        with signals_blocked(self.channels), signals_blocked(self.level):
            self.channels.clear()
            self.level.clear()
            for name in info.channels:
                item = QListWidgetItem(display_text(name), self.channels)
                item.setCheckState(Qt.CheckState.Checked)
            self.level.addItems([lengths(shape) for shape in info.levels])
        self.channels.setFixedHeight(min(5, len(info.channels)) * 22 + 4)
        self.time.setRange(0, info.times - 1)
        for field, several in (
            (self.channels, len(info.channels) > 1), (self.time, info.times > 1), (self.level, len(info.levels) > 1),
        ):  # fmt: skip
            show_row(self._layout, field, several)
        show_row(self._layout, self.crop[0], info.shape[0] > 1)

    def _show_level(self) -> None:
        if self.info is not None:
            for crop, length in zip(self.crop, self.info.levels[self.level.currentIndex()], strict=True):
                crop.show_length(length)
            self.voxel_size.show_grid(self._level_grid(self.info), flat=self.info.shape[0] == 1)
            self._show_memory()

    def _level_grid(self, info: VolumeInfo) -> Grid:
        shape = info.levels[self.level.currentIndex()]
        z, y, x = (s * full / size for s, full, size in zip(info.grid.spacing, info.shape, shape, strict=True))
        return Grid((z, y, x), info.grid.unit)

    def _show_memory(self) -> None:
        if self.info is not None:
            chosen = self.selection
            voxels = math.prod(max(0, stop - start) for start, stop in (crop.span for crop in self.crop))
            needed = voxels * len(chosen.channels or ()) * self.info.dtype.itemsize
            self.memory.setText(f"{memory(needed)}, of {memory(psutil.virtual_memory().available)} free")
            self.changed.emit()

    @property
    def problem(self) -> str:
        """Why such a part cannot be loaded; empty where it can."""
        if self.info is None:
            return ""
        if not self.selection.channels:
            return "Choose at least one channel."
        for axis, crop in zip("zyx", self.crop, strict=True):
            start, stop = crop.span
            if stop <= start:
                return f"Crop {axis}: expected an end after {start}; got {stop}."
        return ""

    @property
    def selection(self) -> Selection:
        """What the form says; a spacing only where it was mended."""
        grid = self._level_grid(self.info) if self.info else Grid()
        mended = not self.voxel_size.shows(grid)
        checked = (self.channels.item(i).checkState() == Qt.CheckState.Checked for i in range(self.channels.count()))
        z, y, x = (crop.span for crop in self.crop)
        return Selection(
            channels=tuple(index for index, is_checked in enumerate(checked) if is_checked),
            time=self.time.value(),
            level=max(0, self.level.currentIndex()),
            crop=(z, y, x),
            spacing=self.voxel_size.spacing if mended else None,
            unit=self.voxel_size.unit if mended else None,
        )
