"""PNG, JPEG, BMP and WebP pictures, by Pillow and, for deep colour PNG that it would cut to 8 bits, imagecodecs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_unetseg.core.io.source import Part, Source, VolumeInfo, check_declared, decoding
from napari_unetseg.core.volume import COLOUR, Grid, default_channels

GREY = {"1": "bool", "L": "uint8", "LA": "uint8", "I;16": "uint16", "I;16B": "uint16", "I": "int32", "F": "float32"}
OPACITY = ("LA", "RGBA", "PA", "La", "RGBa")


def open_source(path: Path) -> Source:
    """Open a picture by its header: one z slice, grey or red, green and blue, without a physical size.

    Raises
    ------
    InputError
        If it is no such picture, or is damaged.
    """
    with decoding(path, "picture"), Image.open(path) as image:
        (x, y), mode = image.size, image.mode
    deep = mode in ("RGB", "RGBA") and _is_deep_png(path)
    info = VolumeInfo(
        path=path,
        format=path.suffix[1:].upper(),
        shape=(1, y, x),
        channels=default_channels(1) if mode in GREY else COLOUR,
        dtype=np.dtype("uint16" if deep else GREY.get(mode, "uint8")),
        grid=Grid(),
        notes=("The opacity channel is left out.",) if mode in OPACITY else (),
    )
    if path.suffix.lower() == ".png":
        check_declared(path, info.nbytes // (8 if mode == "1" else 1))
    return Source(info, partial(_read, path, deep), chunk=None, unit=info.nbytes)


def _read(path: Path, deep: bool, part: Part) -> npt.NDArray[Any]:
    with decoding(path, "picture"):
        if deep:
            array = imagecodecs.png_decode(path.read_bytes())
        else:
            with Image.open(path) as image:
                array = np.asarray(image if image.mode in GREY else image.convert("RGB"))
    array = array if array.ndim == 3 else array[..., None]
    return np.moveaxis(array[part.box[1], part.box[2]], -1, 0)[list(part.channels), None]


def _is_deep_png(path: Path) -> bool:
    """Whether a PNG has 16 bits a channel (https://www.w3.org/TR/png-3/#11IHDR)."""
    with path.open("rb") as file:
        header = file.read(25)
    return header.startswith(b"\x89PNG") and header[24] == 16
