"""Measures without a reference: how much there is of each structure, and size, surface, extent and brightness."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.measure import regionprops_table

from napari_unetseg.core.geometry.isosurface import covered_size, sharpened, structure_field, surface_size
from napari_unetseg.core.geometry.label_arrays import (
    Box,
    LabelArray,
    connected_parts,
    grown_box,
    plain,
    present_labels,
    regions,
    renumbering,
)
from napari_unetseg.core.geometry.same_grid import common_grid
from napari_unetseg.core.metrics.surface import Mask, count_parts
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import InputError

Row = dict[str, Any]
PROPERTIES = ("area", "centroid", "equivalent_diameter_area", "axis_major_length", "axis_minor_length")
"""What scikit-image is asked of each object; its ``area`` is the volume in three dimensions."""


@dataclass(frozen=True)
class StructureSummary:
    """How much there is of one structure.

    Parameters
    ----------
    voxels : int
    size : float or None
        Volume in the grid's unit cubed, or area squared where there is one slice; None without a physical spacing.
    objects : int or None
        How many numbered objects; None where the labels are classes.
    """

    name: str
    colour: str
    voxels: int
    size: float | None
    objects: int | None


def summarise(labels: Labels) -> list[StructureSummary]:
    """Count every structure; one that was not found has 0 voxels."""
    counts = np.bincount(labels.array.reshape(-1))
    if labels.are_objects:
        objects = int(np.count_nonzero(counts[1:]))
        return [_summary(labels, 0, int(counts[1:].sum()), objects)]
    padded = np.pad(counts, (0, max((s.label + 1 for s in labels.structures), default=0)))
    return [_summary(labels, i, int(padded[s.label]), None) for i, s in enumerate(labels.structures)]


def measure_structures(labels: Labels, image: Volume | None = None, probabilities: Volume | None = None) -> list[Row]:
    """Measure every structure that occurs; numbered objects are one structure together.

    Parameters
    ----------
    labels : Labels
    image : Volume, optional
        On the same grid; adds its mean intensities.
    probabilities : Volume, optional
        That the labels were made of, on the same grid, from 0 to 1: background first, then structures, or the one
        structure alone. Adds ``subvoxel_volume`` and ``subvoxel_surface``, see `core.geometry.isosurface`: the
        labels say which voxels are inside, the probabilities where between two centres the surface passes.

    Returns
    -------
    list of dict
        A row a structure: ``label``, ``name``, ``voxels``, ``volume`` (in 2D the area), ``surface`` (area of the
        marching-cubes mesh; in 2D the length of the marching-squares contour), ``parts`` (objects, or parts connected
        at faces, edges or corners), ``extent_z``, ``extent_y``, ``extent_x`` (sides of the bounding box),
        ``mean_intensity``, one for each channel, and ``unit``: lengths are in it, areas in its square, volumes in its
        cube. No labels, no rows.

    Raises
    ------
    InputError
        If labels and image are not on one grid; the message says what differs.
    """
    scene = _Scene.of(labels, image, probabilities)
    array = (scene.array > 0).view(np.uint8) if labels.are_objects else scene.array
    rows = []
    for label, box in regions(array):
        mask = array[box] == label
        voxels = int(np.count_nonzero(mask))
        parts = len(present_labels(scene.array)) if labels.are_objects else count_parts(mask)
        size = {"voxels": voxels, "volume": voxels * float(np.prod(scene.spacing))}
        surface = {"surface": surface_size(mask, scene.spacing), "parts": parts}
        fine = scene.subvoxel(array, label, label, box)
        rows.append({"label": label, "name": scene.name(label)} | size | fine | surface | scene.place(box, mask))
    return rows


def measure_objects(labels: Labels, image: Volume | None = None, probabilities: Volume | None = None) -> list[Row]:
    """Measure every object: each number of numbered objects, or each connected part of a structure.

    Image and probabilities as for `measure_structures`.

    Returns
    -------
    list of dict
        A row an object: ``object`` (its number), ``structure`` (its name), ``volume`` (in 2D the area), ``centre_z``,
        ``centre_y``, ``centre_x`` (from the centre of the first voxel), ``equivalent_diameter`` (of a ball of this
        volume), ``major_axis`` and ``minor_axis`` (of the ellipsoid with the same second moments), and
        ``extent_z``, ``extent_y``, ``extent_x``, ``mean_intensity`` and ``unit`` as of structures. No objects, no rows.

    Raises
    ------
    InputError
        If labels and image are not on one grid; the message says what differs.
    """
    scene = _Scene.of(labels, image, probabilities)
    objects, numbers = _objects(scene.array, labels.are_objects)
    shapes = regionprops_table(objects, spacing=scene.spacing, properties=PROPERTIES)
    rows = []
    for index, (label, box) in enumerate(regions(objects)):
        mask = objects[box] == label
        owner = 1 if labels.are_objects else int(scene.array[box][mask][0])
        names = {"object": int(numbers[index]), "structure": scene.name(owner)}
        fine = scene.subvoxel(objects, label, owner, box)
        rows.append(names | fine | _shape(shapes, index, scene.axes) | scene.place(box, mask))
    return rows


@dataclass(frozen=True)
class _Scene:
    """Labels, and an image's channels by name, on one grid; with two axes instead of three where Z = 1."""

    array: LabelArray
    names: dict[int, str]
    channels: dict[str, npt.NDArray[Any]]
    spacing: tuple[float, ...]
    unit: str
    probabilities: npt.NDArray[Any] | None = None

    @classmethod
    def of(cls, labels: Labels, image: Volume | None, probabilities: Volume | None = None) -> _Scene:
        grid = labels.grid if image is None else common_grid(image, labels)
        first = 0 if labels.array.shape[0] == 1 else slice(None)
        channels = {} if image is None else dict(zip(image.channels, image.array[:, first], strict=True))
        names = {s.label: s.name for s in labels.structures} or ({1: "object"} if labels.are_objects else {})
        soft = None if probabilities is None else _checked(probabilities, labels)[:, first]
        return cls(plain(labels.array[first]), names, channels, grid.spacing[first == 0 :], grid.unit, soft)

    def subvoxel(self, array: LabelArray, value: int, label: int, box: Box) -> Row:
        """Size and surface of a value's voxels by the probabilities of a structure; empty where there are none."""
        if self.probabilities is None:
            return {}
        around = grown_box(box, (1,) * array.ndim, array.shape)
        field = structure_field(self.probabilities[:, *around], label)
        fine = sharpened(array[around] == value, field)
        return {
            "subvoxel_volume": covered_size(fine, self.spacing),
            "subvoxel_surface": surface_size(fine, self.spacing),
        }

    @property
    def axes(self) -> str:
        return "zyx"[-self.array.ndim :]

    def name(self, label: int) -> str:
        return self.names.get(label, f"structure {label}")

    def place(self, box: Box, mask: Mask) -> Row:
        """Extent and mean intensities of a mask in its box, and the unit."""
        sides = zip(self.axes, box, self.spacing, strict=True)
        extent = {f"extent_{axis}": (side.stop - side.start) * step for axis, side, step in sides}
        means = {name: float(channel[box][mask].mean(dtype=float)) for name, channel in self.channels.items()}
        column = "mean_intensity {}" if len(means) > 1 else "mean_intensity"
        return extent | {column.format(name): mean for name, mean in means.items()} | {"unit": self.unit}


def _summary(labels: Labels, index: int, voxels: int, objects: int | None) -> StructureSummary:
    structure, grid = labels.structures[index], labels.grid
    spacing = grid.spacing[1:] if labels.array.shape[0] == 1 else grid.spacing
    size = voxels * math.prod(spacing) if grid.is_physical else None
    return StructureSummary(structure.name, structure.colour, voxels, size, objects)


def _checked(probabilities: Volume, labels: Labels) -> npt.NDArray[Any]:
    """Probabilities on the labels' grid, with a channel for each label; raises `InputError` where they are not."""
    common_grid(probabilities, labels)
    highest = 1 if labels.are_objects else int(labels.array.max(initial=0))
    if len(probabilities.array) == 1 and highest > 1:
        raise InputError(f"Expected probabilities of background and {highest} structures; got a single channel.")
    return probabilities.array


def _objects(array: LabelArray, are_objects: bool) -> tuple[LabelArray, npt.NDArray[Any]]:
    """Objects numbered 1 … n, and the number that each of them has in the volume, or gets here."""
    if are_objects:
        numbers = present_labels(array)
        return np.asarray(renumbering(numbers)(array)), numbers
    parts, count = connected_parts(array)
    return parts, np.arange(1, count + 1)


def _shape(shapes: dict[str, npt.NDArray[Any]], index: int, axes: str) -> Row:
    columns = {"volume": "area"} | {f"centre_{axis}": f"centroid-{i}" for i, axis in enumerate(axes)}
    columns |= {"equivalent_diameter": "equivalent_diameter_area"}
    columns |= {"major_axis": "axis_major_length", "minor_axis": "axis_minor_length"}
    return {column: float(shapes[name][index]) for column, name in columns.items()}
