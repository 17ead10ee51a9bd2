"""A picture of a segmentation: the planes that show most of it, with filled outlines, a legend and a scale bar."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import InputError

Plane = npt.NDArray[Any]
Colour = tuple[int, int, int]

WIDTH, HEIGHT = 1400, 1000
GAP, LINE = 12, 26
PAPER: Colour = (22, 24, 29)
INK: Colour = (232, 234, 237)
UNNAMED: Colour = (230, 159, 0)
FILL = 0.28
FONT = ImageFont.load_default(17)


@dataclass(frozen=True)
class _View:
    """One plane through the volume: `axis` is cut at `index`; `turned` puts z on the horizontal axis."""

    title: str
    axis: int
    index: int
    turned: bool
    height: int
    width: int

    def cut(self, array: Plane) -> Plane:
        """The plane of a (Z, Y, X) or (Z, Y, X, 3) array, in voxels."""
        plane: Plane = array.take(self.index, axis=self.axis)
        return plane.swapaxes(0, 1) if self.turned else plane

    def enlarged(self, labels: Plane) -> Plane:
        """A plane of labels in the picture's pixels, each that of the voxel which it lies in."""
        rows = np.arange(self.height) * labels.shape[0] // self.height
        columns = np.arange(self.width) * labels.shape[1] // self.width
        pixels: Plane = labels[np.ix_(rows, columns)]
        return pixels


def save_overlay(path: str | Path, volume: Volume, segmentations: Mapping[str, Labels]) -> None:
    """Write `draw_overlay` as a PNG, atomically.

    Raises
    ------
    InputError
        If shapes differ.
    OutputError
        If the file cannot be written.
    """
    picture = draw_overlay(volume, segmentations)
    with atomic_path(Path(path)) as temporary:
        picture.save(temporary, format="PNG", optimize=True)


def draw_overlay(volume: Volume, segmentations: Mapping[str, Labels]) -> Image.Image:
    """Draw the image alone, and each segmentation over it.

    Each shows the plane along y and x and, of a stack, those along y and z, and x and z, in their true proportions: the
    planes in which the first segmentation covers most, or the middle ones where it covers nothing.

    Parameters
    ----------
    volume : Volume
        Colour pictures keep their colours; of several channels the first is shown.
    segmentations : mapping of title to Labels
        At least one. Structures have their own colours; numbered objects have one colour each.

    Returns
    -------
    PIL.Image.Image
        RGB, at most about 1400×1000 pixels.

    Raises
    ------
    InputError
        If a segmentation has another shape than the volume.
    """
    for title, labels in segmentations.items():
        if labels.array.shape != volume.shape:
            raise InputError(f"{title} has shape {labels.array.shape}; expected the image's, {volume.shape}.")
    stacked, scale = _layout(volume, 1 + len(segmentations))
    views = _views(volume, next(iter(segmentations.values())), scale)
    plain = [_smooth(_stretched(view.cut(_shown(volume))), view) for view in views]
    blocks = [_block("image", plain)]
    _annotate(blocks[0], volume, views)
    for title, labels in segmentations.items():
        cuts = (view.enlarged(view.cut(labels.array)) for view in views)
        planes = [_painted(base, cut, labels) for base, cut in zip(plain, cuts, strict=True)]
        blocks.append(_block(_caption(title, labels), planes))
    named = [labels for labels in segmentations.values() if not labels.are_objects]
    legend = {structure.name: structure.colour for labels in named for structure in labels.structures}
    return _sheet(blocks, stacked, legend)


def draw_thumbnail(volume: Volume, labels: Labels, size: int, z: int | None = None) -> Image.Image:
    """Draw one plane along y and x with a segmentation over it, without words.

    Parameters
    ----------
    volume, labels : Volume and Labels
        Of one shape.
    size : int
        Pixels along the longer side.
    z : int or None
        The plane; None takes that in which the segmentation covers most.

    Returns
    -------
    PIL.Image.Image
        RGB, in true proportions.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    if labels.array.shape != volume.shape:
        raise InputError(f"Expected labels of the image's shape, {volume.shape}; got {labels.array.shape}.")
    _, y, x = _extents(volume)
    height, width = (max(1, round(extent * size / max(y, x))) for extent in (y, x))
    view = _View("xy", 0, _fullest(labels.array, 0) if z is None else z, False, height, width)
    plain = _smooth(_stretched(view.cut(_shown(volume))), view)
    return Image.fromarray(_painted(plain, view.enlarged(view.cut(labels.array)), labels))


def _extents(volume: Volume) -> tuple[float, float, float]:
    z, y, x = (size * step for size, step in zip(volume.shape, volume.grid.spacing, strict=True))
    return z, y, x


def _layout(volume: Volume, blocks: int) -> tuple[bool, float]:
    """Whether blocks stand below each other or side by side, and pixels per unit: whichever is larger."""
    z, y, x = _extents(volume)
    width, height = (x, y) if volume.is_2d else (x + 2 * z, max(y, x))
    below = min((WIDTH - 4 * GAP) / width, (HEIGHT / blocks - LINE - GAP) / height)
    beside = min((WIDTH / blocks - 4 * GAP) / width, (HEIGHT - LINE - GAP) / height)
    return below >= beside, max(below, beside)


def _views(volume: Volume, labels: Labels, scale: float) -> list[_View]:
    z, y, x = (max(1, round(extent * scale)) for extent in _extents(volume))
    views = [_View("xy", 0, _fullest(labels.array, 0), False, y, x)]
    if not volume.is_2d:
        views.append(_View("zy", 2, _fullest(labels.array, 2), True, y, z))
        views.append(_View("zx", 1, _fullest(labels.array, 1), True, x, z))
    return views


def _fullest(labels: Plane, axis: int) -> int:
    """Index of the plane across `axis` that holds most labelled voxels; the middle one where there are none."""
    counts = np.count_nonzero(labels, axis=tuple(a for a in range(3) if a != axis))
    return int(counts.argmax()) if counts.any() else labels.shape[axis] // 2


def _shown(volume: Volume) -> Plane:
    """(Z, Y, X, 3) of a colour picture, else (Z, Y, X) of the first channel."""
    return np.moveaxis(volume.array, 0, -1) if volume.is_colour else volume.array[0]


def _stretched(plane: Plane) -> Plane:
    """RGB of a plane between its 0.5 and 99.8 percentiles; what is not finite is black."""
    values = np.nan_to_num(plane.astype(np.float32), posinf=0, neginf=0)
    low, high = np.percentile(values, [0.5, 99.8])
    bright = (255 * np.clip((values - low) / max(float(high - low), 1e-12), 0, 1)).astype(np.uint8)
    return bright if bright.ndim == 3 else np.repeat(bright[..., None], 3, axis=-1)


def _smooth(picture: Plane, view: _View) -> Plane:
    return np.asarray(Image.fromarray(picture).resize((view.width, view.height), Image.Resampling.BICUBIC))


def _painted(base: Plane, labels: Plane, segmentation: Labels) -> Plane:
    values, indices = np.unique(labels, return_inverse=True)
    colours = np.array([_colour(int(value), segmentation) for value in values], np.float32)[indices.ravel()]
    outline = find_boundaries(labels, connectivity=2, mode="inner")
    strength = np.where(outline, 1, FILL) * (labels > 0)
    mixed: Plane = base + (colours.reshape(base.shape) - base) * strength[..., None]
    return mixed.astype(np.uint8)


def _colour(label: int, labels: Labels) -> Colour:
    if labels.are_objects:  # hues a golden ratio apart: neighbours in number are far apart in colour
        red, green, blue = colorsys.hsv_to_rgb(label * 0.618034 % 1, 0.75, 1)
        return round(255 * red), round(255 * green), round(255 * blue)
    return next((_rgb(s.colour) for s in labels.structures if s.label == label), UNNAMED)


def _rgb(colour: str) -> Colour:
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return red, green, blue


def _caption(title: str, labels: Labels) -> str:
    if not labels.are_objects:
        return title
    name = labels.structures[0].name if labels.structures else "object"
    return f"{title}: {np.count_nonzero(np.unique(labels.array))} x {name}"


def _block(title: str, planes: list[Plane]) -> Image.Image:
    """A title, and the planes side by side below it."""
    width = sum(plane.shape[1] for plane in planes) + GAP * (len(planes) + 1)
    block = Image.new("RGB", (width, LINE + max(plane.shape[0] for plane in planes)), PAPER)
    ImageDraw.Draw(block).text((GAP, 0), title, INK, FONT)
    left = GAP
    for plane in planes:
        block.paste(Image.fromarray(plane), (left, LINE))
        left += plane.shape[1] + GAP
    return block


def _annotate(block: Image.Image, volume: Volume, views: list[_View]) -> None:
    """Name the planes of a stack; draw a bar of a round length over the first where a voxel size is known."""
    draw, left = ImageDraw.Draw(block), GAP
    for view in views if len(views) > 1 else []:
        draw.text((left + 8, LINE + 6), view.title, INK, FONT, stroke_width=2, stroke_fill=PAPER)
        left += view.width + GAP
    if not volume.grid.is_physical:
        return
    extent = _extents(volume)[2]
    length, left, bottom = _round_length(extent / 4), GAP + 12, LINE + views[0].height - 12
    draw.rectangle((left, bottom - 4, left + length / extent * views[0].width, bottom), fill=INK, outline=PAPER)
    unit = volume.grid.unit.replace("µ", "u")  # Pillow's own font has no µ
    draw.text((left, bottom - 28), f"{length:g} {unit}", INK, FONT, stroke_width=2, stroke_fill=PAPER)


def _round_length(at_most: float) -> float:
    """The largest of 1, 2 or 5 times a power of ten that is not above `at_most`."""
    power = 10.0 ** math.floor(math.log10(at_most))
    return max(step * power for step in (1, 2, 5) if step * power <= at_most)


def _sheet(blocks: list[Image.Image], stacked: bool, legend: Mapping[str, str]) -> Image.Image:
    """All blocks on one sheet, with the structures' colours and names at its foot."""
    width, height = blocks[0].size
    columns, rows = (1, len(blocks)) if stacked else (len(blocks), 1)
    foot = LINE if legend else 0
    sheet = Image.new("RGB", (columns * width, rows * (height + GAP) + GAP + foot), PAPER)
    for number, block in enumerate(blocks):
        sheet.paste(block, (0 if stacked else number * width, GAP + (number * (height + GAP) if stacked else 0)))
    draw, left, top = ImageDraw.Draw(sheet), float(GAP), sheet.height - LINE
    for name, colour in legend.items():
        draw.rectangle((left, top + 3, left + 13, top + 16), fill=_rgb(colour))
        draw.text((left + 20, top), name, INK, FONT)
        left += 20 + FONT.getlength(name) + 2 * GAP
    return sheet
