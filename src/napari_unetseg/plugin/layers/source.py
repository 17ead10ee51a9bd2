"""Layers to volumes, and labels to layers: every widget goes through here, so that all agree on place, scale and names.

The way of a widget, all on the GUI's thread but the middle::

    source = LayerSource.of(layer, axes, time=…)   # a snapshot: what the layer is now, and where it lies
    volume = source.volume()                       # in a background thread: may compute a dask array
    viewer.add_labels(*source.labels(labels, name))

`volume_of` and `labels_of` do it in one step where the data is small or the thread is not the GUI's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.transforms import Affine

from napari_unetseg.core.geometry.same_grid import common_grid, outline, says_nothing
from napari_unetseg.core.grid import Grid, Triple
from napari_unetseg.core.volume import Labels, Structure, Volume, default_channels
from napari_unetseg.plugin.layers.axes import choices_of, from_spatial, guess_axes, kept_axes, to_volume
from napari_unetseg.plugin.layers.place import physical, same_place, shown_grid

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.layers import Labels as LabelsLayer

METADATA = "napari_unetseg"
"""Key of a layer's metadata of our own record: ``grid``, ``axes``, ``channels``, ``structures``, ``are_objects`` and
``made_by``."""
RGB = ("red", "green", "blue")


@dataclass(frozen=True)
class LayerSource:
    """What a layer was when a job began: later changes of the layer, or its removal, do not disturb the job.

    Parameters
    ----------
    data : array-like
        The layer's own array (numpy, dask, zarr) at the chosen level; never written to.
    axes : str
        See `plugin.layers.axes`; without the colour axis of an RGB layer.
    grid, shown : Grid
        Where it lies by its record, as far as that holds, and where napari shows it.
    time : int
        The time point to take, where there is a T axis.
    channel : int or None
        The one channel to take; None takes all.
    transform : Affine
        From the array's indices to napari's physical coordinates; `world` follows it.
    """

    data: Any
    axes: str
    name: str
    grid: Grid
    shown: Grid
    transform: Affine
    world: Affine
    units: tuple[str, ...]
    rgb: bool = False
    time: int = 0
    channel: int | None = None
    channel_names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, layer: Image | LabelsLayer, axes: str | None = None, *, time: int = 0, channel: int | None = None,
        level: int = 0,
    ) -> Self:  # fmt: skip
        """A snapshot of a layer.

        Parameters
        ----------
        axes : str or None
            None guesses, see `axes.guess_axes`.
        level : int
            Of a multiscale layer; 0 is the finest.
        """
        levels = list(layer.data) if layer.multiscale else [layer.data]
        data, ndim = levels[level], layer.ndim
        axes = axes or axes_of(layer)
        factors = np.array([full / size for full, size in zip(levels[0].shape, data.shape, strict=True)][:ndim])
        transform = physical(layer).compose(Affine(scale=factors, translate=(factors - 1) / 2))
        units = tuple(str(unit) for unit in layer.units)
        record = layer.metadata.get(METADATA, {})
        shown = shown_grid(transform, layer.affine, units, axes)
        grid = record["grid"] if "grid" in record and same_place(record["grid"], shown) else shown
        rgb = bool(getattr(layer, "rgb", False))
        names = tuple(record.get("channels", ()))
        if "T" in axes:
            time = min(max(time, 0), data.shape[axes.index("T")] - 1)
        return cls(data, axes, layer.name, grid, shown, transform, layer.affine, units, rgb, time, channel, names)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (C, Z, Y, X) of the volume."""
        size = self._size
        return len(self.channels), size.get("Z", 1), size["Y"], size["X"]

    @property
    def _size(self) -> dict[str, int]:
        return dict(zip(self.axes, self.data.shape, strict=False))

    @property
    def all_channels(self) -> tuple[str, ...]:
        """A name for each channel of the layer."""
        if self.rgb:
            return RGB
        count = self._size.get("C", 1)
        return self.channel_names if len(self.channel_names) == count else default_channels(count)

    @property
    def channels(self) -> tuple[str, ...]:
        """A name for each channel of the volume."""
        return self.all_channels if self.channel is None else (self.all_channels[self.channel],)

    def volume(self, grid: Grid | None = None) -> Volume:
        """The volume, computed where the data is lazy; `grid` stands in for the layer's own."""
        array = to_volume(*self._spatial())
        if self.channel is not None:
            array = array[self.channel : self.channel + 1]
        return Volume(np.ascontiguousarray(array), grid or self.grid, self.channels, self.name)

    def outline(self) -> Volume:
        """A stand-in without the voxels, which takes no memory."""
        return Volume(np.broadcast_to(np.uint8(0), self.shape), self.grid, name=self.name)

    def mended_grid(self, spacing: Triple, unit: str) -> Grid:
        """The layer's grid with another voxel size; its orientation in the patient then holds no longer."""
        if unit == self.grid.unit and np.allclose(spacing, self.grid.spacing, rtol=1e-6, atol=0):
            return self.grid
        return Grid(spacing, unit)

    def _spatial(self) -> tuple[npt.NDArray[Any], str]:
        """The array of the one time point, and its axes: only that is computed of a lazy array."""
        data, axes = self.data, self.axes
        if "T" in axes:
            data = data[(slice(None),) * axes.index("T") + (self.time,)]
            axes = axes.replace("T", "")
        array = np.asarray(data)
        return (np.moveaxis(array[..., :3], -1, 0), f"C{axes}") if self.rgb else (array, axes)

    def labels(self, labels: Labels, name: str) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """The data and attributes of a labels layer that lies on this layer; for ``viewer.add_labels(data, **…)``."""
        array = from_spatial(labels.array, self.axes, self._size.get("C", 1))
        look = appearance(labels)
        look["metadata"][METADATA]["axes"] = kept_axes(self.axes)
        return array, {**self.placement(), **look, "name": name}

    def image(self, array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """The data and attributes of an image layer (Z, Y, X) that lies on this layer."""
        return from_spatial(array, self.axes, self._size.get("C", 1)), self.placement()

    def placement(self) -> dict[str, Any]:
        """Scale, translation, rotation, shear, affine and units of a layer with `kept_axes`, at this time point."""
        kept = [index for index, axis in enumerate(self.axes) if axis in kept_axes(self.axes)]
        start = np.array([self.time if axis == "T" else 0 for axis in self.axes])
        moved = self.transform.compose(Affine(translate=start, ndim=len(self.axes))).set_slice(kept)
        units = tuple(self.units[index] for index in kept)
        place = {
            "scale": moved.scale,
            "translate": moved.translate,
            "units": units,
            "affine": self.world.set_slice(kept),
        }
        if not np.allclose(moved.linear_matrix, np.diag(moved.scale)):
            place |= {"rotate": moved.rotate, "shear": moved.shear}
        return place


def axes_of(layer: Image | LabelsLayer) -> str:
    """A layer's axes: as our record has them, else the likeliest ones; labels have no channels by themselves."""
    recorded = layer.metadata.get(METADATA, {}).get("axes", "")
    if len(recorded) == layer.ndim:
        return str(recorded)
    if not hasattr(layer, "rgb"):
        return choices_of(layer.ndim)[0]
    first = layer.data[0] if layer.multiscale else layer.data
    return guess_axes(first.shape[: layer.ndim], layer.axis_labels)


def volume_of(layer: Image, axes: str | None = None, **choice: Any) -> Volume:
    """An image layer as a volume; see `LayerSource.of` for what may be chosen."""
    return LayerSource.of(layer, axes, **choice).volume()


def labels_of(layer: LabelsLayer, *, time: int = 0) -> Labels:
    """A copy of a labels layer at one time point, with the structures that it was made with."""
    volume = LayerSource.of(layer, time=time, channel=0).volume()
    record = layer.metadata.get(METADATA, {})
    structures, are_objects = tuple(record.get("structures", ())), bool(record.get("are_objects", False))
    made_by = record.get("made_by")
    return Labels(volume.array[0].copy(), volume.grid, structures, are_objects, layer.name, made_by)


def appearance(labels: Labels) -> dict[str, Any]:
    """What a labels layer shows: names in its features, the structures' colours, and our record in its metadata.

    Numbered objects keep napari's cycle of colours, so that neighbours can be told apart.
    """
    record: dict[str, Any] = {"grid": labels.grid, "structures": labels.structures, "are_objects": labels.are_objects}
    if labels.made_by is not None:
        record["made_by"] = labels.made_by
    shown: dict[str, Any] = {"metadata": {METADATA: record}}
    if labels.structures:
        shown["features"] = features(labels)
        if not labels.are_objects:
            shown["colormap"] = colormap(labels.structures)
    return shown


def features(labels: Labels) -> pd.DataFrame:
    """One row per label: ``index`` is the label's value, ``name`` is what it means."""
    if labels.are_objects:
        count = int(labels.array.max())
        name = labels.structures[0].name
        return pd.DataFrame({"index": range(count + 1), "name": ["background", *[name] * count]})
    rows = {0: "background", **{structure.label: structure.name for structure in labels.structures}}
    return pd.DataFrame({"index": list(rows), "name": list(rows.values())})


def colormap(structures: tuple[Structure, ...]) -> DirectLabelColormap:
    """The structures' own colours; other values are shown in grey."""
    colours: dict[int | None, str] = {None: "#808080", 0: "transparent", **{s.label: s.colour for s in structures}}
    return DirectLabelColormap(color_dict=colours)


def grid_on_screen(first: LayerSource, *others: LayerSource | None) -> Grid:
    """The grid of layers that lie on each other as they are shown; the first one's, unless it knows no voxel size.

    Raises
    ------
    InputError
        If shapes, spacings, orientations or positions differ; the message says which.
    """
    shared = first.shown
    for other in others:
        if other is not None:
            found = common_grid(outline(first.outline(), shared), outline(other.outline(), other.shown))
            shared = found if says_nothing(shared) else shared
    return first.grid if shared == first.shown else shared
