"""Files as sources of voxels: opened by their header, read a box at a time, a time point at a time."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.grid import Box, Grid, Shape, place
from napari_unetseg.core.io.formats.registry import open_source, stem
from napari_unetseg.core.io.selecting import check_memory, choose_image, grid_of_part, notes_of, select
from napari_unetseg.core.io.source import Part, Source
from napari_unetseg.core.privacy import SERIES, shown_name
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import COLOUR, Labels, MadeBy, Structure, Volume, check_time
from napari_unetseg.errors import InputError

EVERYTHING = Selection()


@dataclass(frozen=True)
class FileVolume:
    """A part of a file, such as one time point, as a `voxels.VoxelSource`; made by `open_volume`.

    Formats that decode the whole for any box (pictures, packed NIfTI and NRRD) are loaded once, when first read.
    """

    path: Path
    selection: Selection
    source: Source
    part: Part
    grid: Grid

    @property
    def shape(self) -> Shape:
        """Size along (z, y, x)."""
        return self.part.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the intensities."""
        return self.source.info.dtype

    @property
    def chunk(self) -> Shape:
        """Voxels along (z, y, x) that are stored together at the finest level."""
        return self.source.chunk or (1, 1, 1)

    @property
    def channels(self) -> tuple[str, ...]:
        """A name for each channel."""
        return tuple(self.source.info.channels[c] for c in self.part.channels)

    @property
    def name(self) -> str:
        """The file's stem; a folder of slices is called ``series``, and not as the folder is."""
        return SERIES if shown_name(self.path) == SERIES else stem(self.path)

    @property
    def is_2d(self) -> bool:
        """Whether there is one slice only."""
        return self.shape[0] == 1

    @property
    def is_colour(self) -> bool:
        """Whether the channels are red, green and blue."""
        return self.channels == COLOUR

    @property
    def time(self) -> int:
        """Which time point it is, counted from 0."""
        return self.part.time

    @property
    def times(self) -> int:
        """How many time points the file has."""
        return self.source.info.times

    def at(self, time: int) -> FileVolume:
        """Another time point; nothing is read yet. Raises `SettingsError` if there is none."""
        check_time(time, self.times)
        part, selection = replace(self.part, time=time), replace(self.selection, time=time)
        return replace(self, part=part, selection=selection)

    def read(self, box: Box) -> npt.NDArray[Any]:
        """A box (C, z, y, x), read from the file now.

        Raises
        ------
        InputError
            If the file is damaged there.
        ResourceError
            If it does not fit into the free memory, with what the format decodes at once.
        """
        if self.source.chunk is None:
            part: npt.NDArray[Any] = self._whole[place(box)]
            return part
        z, y, x = (
            slice(inside.start + start, inside.start + stop)
            for inside, (start, stop) in zip(self.part.box, box, strict=True)
        )
        whole = self.part.whole and (z, y, x) == self.part.box
        asked = replace(self.part, box=(z, y, x), whole=whole)
        check_memory(self.source, asked)
        return self.source.read(asked)

    def load(self) -> Volume:
        """The whole part in memory; other time points are loaded from the file when they are asked for.

        Raises
        ------
        InputError, ResourceError
            As `read`, and where it does not fit into the free memory.
        """
        volume = Volume(self._whole, self.grid, self.channels, self.name)
        load = partial(_load_time, self.path, self.selection)
        return volume.among(self.time, self.times, load) if self.times > 1 else volume

    @cached_property
    def _whole(self) -> npt.NDArray[Any]:
        check_memory(self.source, self.part)
        return np.ascontiguousarray(self.source.read(self.part))

    def __getstate__(self) -> dict[str, Any]:
        """Without what was loaded: another process reads the file itself."""
        return {name: value for name, value in vars(self).items() if name != "_whole"}


@dataclass(frozen=True)
class FileLabels:
    """Labels in a file as a `voxels.LabelSource`; made by `open_labels`."""

    volume: FileVolume

    @property
    def shape(self) -> Shape:
        """Size along (z, y, x)."""
        return self.volume.shape

    @property
    def chunk(self) -> Shape:
        """Voxels along (z, y, x) that are stored together."""
        return self.volume.chunk

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""
        return self.volume.grid

    @property
    def structures(self) -> tuple[Structure, ...]:
        """Names and colours, where the file has them."""
        return self.volume.source.legend.structures

    @property
    def are_objects(self) -> bool:
        """Whether every value above 0 is one object."""
        return self.volume.source.legend.are_objects

    @property
    def made_by(self) -> MadeBy | None:
        """The model whose result they are, where the file says so."""
        return self.volume.source.legend.made_by

    @property
    def name(self) -> str:
        """The file's stem."""
        return self.volume.name

    def read(self, box: Box) -> npt.NDArray[Any]:
        """A box (z, y, x) of unsigned whole numbers, read from the file now.

        Raises
        ------
        InputError
            If the file is damaged there, or a number is negative, not whole or not finite.
        """
        return whole_numbers(_one_channel(self.volume.read(box), self.volume), self.volume.path)

    def load(self) -> Labels:
        """All of them in memory, of the smallest dtype."""
        array = whole_numbers(_one_channel(self.volume.load().array, self.volume), self.volume.path)
        return Labels(array, self.grid, self.structures, self.are_objects, self.name, self.made_by)


def open_volume(path: str | Path, selection: Selection = EVERYTHING) -> FileVolume:
    """Open an image without reading it; see `loadsave.load_volume`.

    Raises
    ------
    InputError
        If there is nothing there, it is damaged, or its format is unknown.
    SettingsError
        If the selection lies outside the file.
    """
    return _opened(choose_image(open_source(Path(path), selection), selection.image), selection)


def open_labels(path: str | Path, selection: Selection = EVERYTHING) -> FileLabels:
    """Open labels without reading them; see `loadsave.load_labels`.

    Raises
    ------
    InputError
        As `open_volume`; also if there is more than one channel. Three of a colour picture are told apart when read.
    SettingsError
        If the selection lies outside the file.
    """
    source = choose_image(open_source(Path(path), selection), selection.image)
    volume = _opened(source.as_labels() if source.as_labels else source, selection)
    if len(volume.channels) != 1 and not volume.is_colour:
        names = ", ".join(volume.channels)
        raise InputError(
            f"{path} has {len(volume.channels)} channels ({names}); expected labels, one number a voxel. Save the "
            "channel that holds them as a file of its own."
        )
    return FileLabels(volume)


def _opened(source: Source, selection: Selection) -> FileVolume:
    part = select(source, selection)
    return FileVolume(source.info.path, selection, source, part, grid_of_part(source, part, selection))


def _one_channel(array: npt.NDArray[Any], volume: FileVolume) -> npt.NDArray[Any]:
    """Labels (Z, Y, X) of what was read; a picture whose colours are all grey holds the same numbers three times."""
    if (array[1:] != array[0]).any():
        raise InputError(
            f"{volume.path} has {len(array)} channels that differ ({', '.join(volume.channels)}); expected labels, one "
            "number a voxel. Save the mask with a palette, or as one channel of numbers."
        )
    labels: npt.NDArray[Any] = array[0]
    return labels


def whole_numbers(array: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """Labels in the smallest unsigned dtype; raises `InputError` where numbers are none, of what is at `path`."""
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.trunc(array)).all()):
        raise InputError(f"{path} holds numbers that are not whole; expected labels 0, 1, 2, …")
    if array.min() < 0:
        raise InputError(f"{path} holds {array.min()}; expected labels of 0 and above.")
    return smallest_dtype(array)


def smallest_dtype(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The labels in the smallest unsigned dtype that holds them."""
    return array.astype(np.min_scalar_type(int(array.max())), copy=False)


def warn_of_notes(volume: FileVolume) -> None:
    """Say what a user should know of a file: an assumed spacing, missing slices."""
    for note in notes_of(volume.source.info, volume.selection):
        warnings.warn(note.about(shown_name(volume.path)), stacklevel=3)


def _load_time(path: Path, selection: Selection, time: int) -> Volume:
    return open_volume(path, replace(selection, time=time)).load()
