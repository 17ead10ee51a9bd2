"""Photometric interpretations: what the samples of a stored pixel mean, and the channels that they become.

The names are those of TIFF 6.0 (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf), in tifffile's spelling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.notes import Note
from napari_unetseg.core.volume import COLOUR, default_channels

Array = npt.NDArray[Any]
OPACITY = Note("The opacity channel is left out.", "opacity-left-out")
NOT_INVERTED = Note("White is zero in this file: labels are the numbers that are stored.", "white-is-zero")
COLOURS = {"RGB": 3, "YCBCR": 3, "CIELAB": 3, "ICCLAB": 3, "SEPARATED": 4}
"""How many samples make a colour."""
LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, which TIFF takes where a file says nothing."""


@dataclass(frozen=True)
class Stored:
    """How pixels are stored.

    Parameters
    ----------
    kind : str
        The photometric interpretation, such as ``MINISWHITE``.
    dtype : dtype
        Of a sample, once it is unpacked.
    samples : int
        How many a pixel has.
    bits : int
        Of a sample, as stored.
    extra : tuple of int
        Of the samples behind the colours: 0 is unspecified, 1 and 2 are opacity. Shorter where less is declared.
    table : ndarray, shape (3, N), or None
        The palette, in 8 bits or 16.
    """

    kind: str
    dtype: np.dtype[Any]
    samples: int = 1
    bits: int = 8
    extra: tuple[int, ...] = ()
    table: Array | None = None


@dataclass(frozen=True)
class Pixels:
    """What stored samples become.

    Parameters
    ----------
    channels : tuple of str
        Of one stored pixel.
    dtype : dtype
    samples : tuple of int
        The stored sample that each channel is read from; all together where `is_mixed`.
    change : callable or None
        From stored samples (S, Z, Y, X) to channels (C, Z, Y, X); None where the values stay.
    is_mixed : bool
        Whether a channel needs all samples.
    """

    channels: tuple[str, ...]
    dtype: np.dtype[Any]
    samples: tuple[int, ...]
    change: Callable[[Array], Array] | None = None
    is_mixed: bool = False
    notes: tuple[Note, ...] = ()

    def needed(self, channel: int) -> tuple[int, ...]:
        """The stored samples that a channel is made of."""
        return self.samples if self.is_mixed else (self.samples[channel],)

    def made(self, stored: Array, channel: int) -> Array:
        """One channel (Z, Y, X) of the samples (S, Z, Y, X) that it needs."""
        changed: Array = (stored if self.change is None else self.change(stored))[channel if self.is_mixed else 0]
        return changed.astype(self.dtype, copy=False)


def pixels_of(stored: Stored, *, as_labels: bool = False) -> Pixels:
    """What pixels mean: as an image what every viewer shows, as labels the numbers that are stored.

    A palette gives the colours of an image, one of greys its grey, and the indices of labels. Where white is zero, an
    image is inverted; labels are not: programs with an inverted display, or none, store the numbers as they are.
    """
    colours = COLOURS.get(stored.kind, 1)
    if stored.kind == "PALETTE" and stored.table is not None and not as_labels:
        return _of_palette(stored.table)
    if stored.samples < colours:
        return _as_stored(stored, default_channels(stored.samples))
    kept, notes = _without_opacity(stored)
    if stored.kind in MIXED:
        mixed = partial(MIXED[stored.kind], top=_white(stored))
        note = Note(f"The colours are made of {WORDS[stored.kind]}, without a colour profile.", "colours-converted")
        return Pixels(COLOUR, _colour_dtype(stored), tuple(range(colours)), mixed, True, (note, *notes))
    names = default_channels(len(kept))
    if stored.kind == "RGB":
        names = (*COLOUR, *names[3:])
    pixels = Pixels(names, stored.dtype.newbyteorder("="), kept, notes=notes)
    if stored.kind == "MINISWHITE":
        return replace(pixels, notes=(*notes, NOT_INVERTED)) if as_labels else _inverted(pixels, stored)
    return pixels


def in_units(pixels: Pixels, factor: float, offset: float) -> Pixels:
    """The pixels as factor × value + offset; whole numbers that are only shifted to signed ones stay whole."""
    if (factor, offset) == (1.0, -32768.0) and pixels.dtype == np.uint16:
        return replace(pixels, dtype=np.dtype(np.int16), change=_signed)
    note = Note(f"Values are {factor:g} × those stored + {offset:g}, as the file says.", "values-scaled")
    dtype = np.dtype(np.float32 if pixels.dtype.itemsize <= 2 else np.float64)
    linear = partial(_linear, first=pixels.change, factor=factor, offset=offset, dtype=dtype)
    return replace(pixels, dtype=dtype, change=linear, notes=(*pixels.notes, note))


def looks_like_a_picture(table: Array) -> bool:
    """Whether a palette is of single colours, as a picture's is; that of a display runs smoothly through them."""
    steps = np.abs(np.diff(_eight_bits(table).astype(int), axis=1)).max(axis=0)
    return bool(np.median(steps) > 16)


def is_grey(table: Array) -> bool:
    """Whether all entries of a palette are grey."""
    return bool((table == table[:1]).all())


def _of_palette(table: Array) -> Pixels:
    colours = _eight_bits(table)
    if is_grey(table):
        colours = colours[:1]
    channels = COLOUR if len(colours) == 3 else default_channels(1)
    return Pixels(channels, np.dtype(np.uint8), (0,), partial(_looked_up, colours), True)


def _as_stored(stored: Stored, channels: tuple[str, ...]) -> Pixels:
    return Pixels(channels, stored.dtype.newbyteorder("="), tuple(range(stored.samples)))


def _without_opacity(stored: Stored) -> tuple[tuple[int, ...], tuple[Note, ...]]:
    """The samples that are no declared opacity, and a note where there is one: extra samples are the last ones."""
    extra = stored.extra[max(0, len(stored.extra) - stored.samples + 1) :]
    first = stored.samples - len(extra)
    opacity = {first + i for i, meaning in enumerate(extra) if meaning in (1, 2)}
    return tuple(i for i in range(stored.samples) if i not in opacity), (OPACITY,) if opacity else ()


def _inverted(pixels: Pixels, stored: Stored) -> Pixels:
    if stored.dtype.kind == "f":
        note = Note("White is zero in this file, of real numbers: they are read as they are.", "white-is-zero")
        return replace(pixels, notes=(*pixels.notes, note))
    note = Note("White is zero in this file: values are inverted, as viewers show them.", "white-is-zero")
    top = -1 if stored.dtype.kind == "i" else 1 if stored.dtype.kind == "b" else 2**stored.bits - 1
    return replace(pixels, change=partial(_subtracted_from, top), notes=(*pixels.notes, note))


def _white(stored: Stored) -> float:
    return 1.0 if stored.dtype.kind == "f" else float(2**stored.bits - 1)


def _colour_dtype(stored: Stored) -> np.dtype[Any]:
    """Of converted colours: Lab has real numbers, which are as fine as 8 bits or 16."""
    if stored.dtype.kind == "f":
        return np.dtype(np.float32)
    return np.dtype(np.uint8 if stored.dtype.itemsize == 1 else np.uint16)


def _eight_bits(table: Array) -> Array:
    """A palette in 8 bits: TIFF has 16, and some programs write 8 into them."""
    return (table >> 8 if table.max(initial=0) > 255 else table).astype(np.uint8)


def _looked_up(colours: Array, stored: Array) -> Array:
    found: Array = colours[:, np.minimum(stored[0].astype(np.intp, copy=False), colours.shape[1] - 1)]
    return found


def _subtracted_from(top: int, stored: Array) -> Array:
    if stored.dtype.kind == "b":
        return ~stored
    if stored.dtype.kind == "i":
        return np.invert(stored)
    inverted: Array = stored.dtype.type(top) - stored
    return inverted


def _signed(stored: Array) -> Array:
    return (stored.astype(np.int32) - 32768).astype(np.int16)


def _linear(stored: Array, first: Callable[[Array], Array] | None, factor: float, offset: float, dtype: Any) -> Array:
    values = stored if first is None else first(stored)
    return (values.astype(np.float64) * factor + offset).astype(dtype)


def _of_inks(stored: Array, top: float) -> Array:
    """Red, green and blue of cyan, magenta, yellow and black."""
    inks = stored[:4].astype(np.float32)
    return _stored_as(stored, (top - inks[:3]) * (top - inks[3]) / top, top)


def _of_luma(stored: Array, top: float) -> Array:
    """Red, green and blue of luma and two differences of colour, in full range."""
    y, cb, cr = stored[:3].astype(np.float32)
    cb, cr = (c - (top + 1) / 2 for c in (cb, cr))
    red, green, blue = LUMA
    r, b = y + (2 - 2 * red) * cr, y + (2 - 2 * blue) * cb
    return _stored_as(stored, np.stack([r, (y - red * r - blue * b) / green, b]), top)


def _of_lab(stored: Array, top: float) -> Array:
    """SRGB of CIE L*a*b*, whose a* and b* are signed; white stays white, of whichever illuminant it was."""
    signed = stored[1:3].view(f"i{stored.dtype.itemsize}") if stored.dtype.kind == "u" else stored[1:3]
    step = 256.0 if stored.dtype.itemsize == 2 else 1.0
    lightness = stored[0].astype(np.float64)
    if stored.dtype.kind != "f":
        lightness = (stored[0].view(f"u{stored.dtype.itemsize}") if stored.dtype.kind == "i" else lightness) * 100 / top
    return _from_lab(stored, np.stack([lightness, *(signed / step)]), top)


def _of_icc_lab(stored: Array, top: float) -> Array:
    """SRGB of the L*a*b* of ICC profiles, whose a* and b* are shifted by 128."""
    step = 256.0 if stored.dtype.itemsize == 2 else 1.0
    lightness = stored[0] * 100.0 / (0xFF00 if step > 1 else top)
    return _from_lab(stored, np.stack([lightness, *(stored[1:3] / step - 128)]), top)


def _from_lab(stored: Array, lab: Array, top: float) -> Array:
    from skimage.color import lab2rgb  # slow to import, and rarely needed

    return _stored_as(stored, lab2rgb(lab, channel_axis=0) * top, top)


def _stored_as(stored: Array, values: Array, top: float) -> Array:
    if stored.dtype.kind == "f":
        return values.astype(np.float32)
    whole: Array = np.rint(np.clip(values, 0, top)).astype(np.uint8 if stored.dtype.itemsize == 1 else np.uint16)
    return whole


MIXED: dict[str, Callable[..., Array]] = {
    "SEPARATED": _of_inks,
    "YCBCR": _of_luma,
    "CIELAB": _of_lab,
    "ICCLAB": _of_icc_lab,
}
WORDS = {
    "SEPARATED": "the inks cyan, magenta, yellow and black",
    "YCBCR": "luma and colour differences (YCbCr)",
    "CIELAB": "CIE L*a*b*",
    "ICCLAB": "CIE L*a*b*",
}
