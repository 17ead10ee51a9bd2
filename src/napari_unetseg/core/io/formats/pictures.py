"""PNG, JPEG, BMP and WebP pictures, by Pillow and, for deep colour PNG that it would cut to 8 bits, imagecodecs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.formats.photometric import OPACITY, Pixels, Stored, pixels_of
from napari_unetseg.core.io.source import Part, Source, VolumeInfo, check_declared, decoding
from napari_unetseg.core.volume import COLOUR, default_channels

GREY = {"1": "bool", "L": "uint8", "LA": "uint8", "I;16": "uint16", "I;16B": "uint16", "I": "int32", "F": "float32"}
WITH_OPACITY = ("LA", "RGBA", "PA", "La", "RGBa")
PALETTE = "P"
DEPTHS = {2: 85, 4: 17}
"""By the bits of a grey PNG: what Pillow multiplies its numbers with, to fill 8."""


def open_source(path: Path, *, as_labels: bool = False) -> Source:
    """Open a picture by its header: one z slice, grey or red, green and blue, without a physical size.

    A palette gives the colours of an image, and the indices of labels; grey of 2 or 4 bits stays the numbers 0 to 3 or
    15.

    Raises
    ------
    InputError
        If it is no such picture, or is damaged.
    """
    with decoding(path, "picture"), Image.open(path) as image:
        (x, y), mode = image.size, image.mode
        table = _table(image) if mode == PALETTE else None
    depth = _png_depth(path)
    deep = mode in ("RGB", "RGBA") and depth == 16
    dtype = np.dtype("uint16" if deep else GREY.get(mode, "uint8"))
    if table is not None:
        pixels = pixels_of(Stored("PALETTE", dtype, table=table), as_labels=as_labels)
    else:
        channels = default_channels(1) if mode in GREY else COLOUR
        notes = (OPACITY,) if mode in WITH_OPACITY else ()
        pixels = Pixels(channels, dtype, tuple(range(len(channels))), notes=notes)
    info = VolumeInfo(
        path=path,
        format=path.suffix[1:].upper(),
        shape=(1, y, x),
        channels=pixels.channels,
        dtype=pixels.dtype,
        grid=Grid(),
        notes=pixels.notes,
    )
    if path.suffix.lower() == ".png":
        check_declared(path, x * y * len(pixels.samples) * dtype.itemsize * min(8, depth or 8) // 8)
    step = DEPTHS.get(depth, 1) if mode == "L" else 1
    read = partial(_read, path, deep, step, pixels)
    differs = table is not None and not as_labels
    labels = partial(open_source, path, as_labels=True) if differs else None
    return Source(info, read, chunk=None, unit=info.nbytes, as_labels=labels)


def _read(path: Path, deep: bool, step: int, pixels: Pixels, part: Part) -> npt.NDArray[Any]:
    with decoding(path, "picture"):
        if deep:
            array = imagecodecs.png_decode(path.read_bytes())
        else:
            with Image.open(path) as image:
                keeps = image.mode in GREY or image.mode == PALETTE
                array = np.asarray(image if keeps else image.convert("RGB"))
    array = (array // step if step > 1 else array)[part.box[1], part.box[2]]
    stored = np.moveaxis(array if array.ndim == 3 else array[..., None], -1, 0)[:, None]
    made = [pixels.made(stored[list(pixels.needed(channel))], channel) for channel in part.channels]
    return np.stack(made)


def _table(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The palette (3, N), in 8 bits."""
    flat = image.getpalette("RGB") or []
    return np.array(flat, np.uint8).reshape(-1, 3).T


def _png_depth(path: Path) -> int:
    """The bits of a sample of a PNG (https://www.w3.org/TR/png-3/#11IHDR); 0 for other pictures."""
    with path.open("rb") as file:
        header = file.read(25)
    return header[24] if header.startswith(b"\x89PNG") and len(header) == 25 else 0
