"""Pixels of DICOM frames: decoded by pydicom and imagecodecs, in the units and colours that the header tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.pixels import apply_color_lut, get_decoder, pixel_array
from pydicom.uid import (  # fmt: skip
    HTJ2K,
    JPEG2000,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from napari_unetseg.core.io.formats.dicom.headers import Frame, open_dataset
from napari_unetseg.core.io.source import decoding
from napari_unetseg.core.notes import Note
from napari_unetseg.core.volume import COLOUR, default_channels
from napari_unetseg.errors import InputError

Array = npt.NDArray[Any]
PALETTE = "PALETTE COLOR"
INVERTED = "MONOCHROME1"
WHITE_IS_ZERO = Note("White is zero in this file: values are inverted, as viewers show them.", "white-is-zero")
WHOLE = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64)
DECODERS: dict[str, Any] = {
    JPEGExtended12Bit: imagecodecs.jpeg8_decode,
    JPEGLossless: imagecodecs.ljpeg_decode,
    JPEGLosslessSV1: imagecodecs.ljpeg_decode,
    JPEGLSLossless: imagecodecs.jpegls_decode,
    JPEGLSNearLossless: imagecodecs.jpegls_decode,
    JPEG2000Lossless: imagecodecs.jpeg2k_decode,
    JPEG2000: imagecodecs.jpeg2k_decode,
    HTJ2K: imagecodecs.jpeg2k_decode,
}
PLUGIN = "imagecodecs"


def is_available(_syntax: str) -> bool:
    """Whether the plugin decodes a transfer syntax, which pydicom asks."""
    return True


def decode_frame(content: bytes, runner: Any) -> bytearray:
    """One compressed frame as bytes of its pixels, for pydicom's decoders."""
    array = DECODERS[runner.transfer_syntax](content)
    runner.set_option("planar_configuration", 0)
    runner.set_option("bits_allocated", array.dtype.itemsize * 8)
    return bytearray(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes())


is_available.DECODER_DEPENDENCIES = dict.fromkeys(DECODERS, ("imagecodecs",))  # type: ignore[attr-defined]


def channels_of(frame: Frame) -> tuple[str, ...]:
    """Names of the channels of a frame, once its colours are made."""
    is_colour = frame.SamplesPerPixel == 3 or frame.PhotometricInterpretation == PALETTE
    return COLOUR if is_colour else default_channels(frame.SamplesPerPixel)


def dtype_of(frames: Sequence[Frame]) -> np.dtype[Any]:
    """What holds the values of all frames: whole where slopes and intercepts are, else real."""
    first = frames[0]
    if first.PhotometricInterpretation == PALETTE:
        return np.dtype(np.uint8)
    stored = _stored_dtype(first)
    lines = {frame.line for frame in frames}
    if lines == {(1.0, 0.0)} or stored.kind == "f":
        return stored
    if not all(slope.is_integer() and intercept.is_integer() for slope, intercept in lines):
        return np.dtype(np.float32 if stored.itemsize <= 2 else np.float64)
    ends = [slope * end + intercept for frame in frames for end in _ends(frame) for slope, intercept in (frame.line,)]
    low, high = min(ends), max(ends)
    fits = (np.dtype(t) for t in (stored.type, *WHOLE) if np.dtype(t).itemsize >= stored.itemsize)
    return next((t for t in fits if np.iinfo(t).min <= low and high <= np.iinfo(t).max), np.dtype(np.float64))


def read_planes(frames: Sequence[Frame], dtype: np.dtype[Any]) -> Iterator[Array]:
    """The values of each frame, shape (channels, rows, columns).

    Raises
    ------
    InputError
        If a file is damaged, or holds other pixels than its header tells.
    """
    path, dataset = None, None
    for frame in frames:
        with decoding(frame.path, "DICOM image"):
            if frame.path != path:
                path, dataset = frame.path, open_dataset(frame.path)
            yield _values(frame, dataset, dtype)


def stored_plane(frame: Frame, dataset: Any) -> Array:
    """The numbers of a frame as they are stored, shape (rows, columns) or (rows, columns, samples)."""
    _use_imagecodecs()
    index = frame.index if frame.NumberOfFrames > 1 else None
    array: Array = pixel_array(dataset, index=index)
    if array.shape[:2] != (frame.Rows, frame.Columns):
        raise InputError(
            f"{frame.path}: a frame holds {array.shape[:2]} pixels, and its header tells of "
            f"{(frame.Rows, frame.Columns)}. Is the file damaged?"
        )
    return array


def _values(frame: Frame, dataset: Any, dtype: np.dtype[Any]) -> Array:
    array = stored_plane(frame, dataset)
    if frame.PhotometricInterpretation == PALETTE:
        colours = apply_color_lut(array, dataset)[..., :3]
        array = colours >> 8 if colours.dtype.itemsize > 1 else colours
    if frame.PhotometricInterpretation == INVERTED and array.dtype.kind in "iu":
        array = sum(_ends(frame)) - array.astype(np.int64)
    slope, intercept = frame.line
    if (slope, intercept) != (1.0, 0.0):
        array = array.astype(np.float64) * slope + intercept
    array = array if array.ndim == 3 else array[..., None]
    return np.moveaxis(array.astype(dtype, copy=False), -1, 0)


def _stored_dtype(frame: Frame) -> np.dtype[Any]:
    if frame.PixelRepresentation is None and frame.BitsAllocated >= 32:
        return np.dtype(f"f{frame.BitsAllocated // 8}")  # a parametric map
    if frame.BitsAllocated not in (1, 8, 16, 32, 64):
        raise InputError(f"{frame.path} has {frame.BitsAllocated} bits a pixel; expected 1, 8, 16 or 32.")
    kind = "i" if frame.PixelRepresentation == 1 else "u"
    return np.dtype(f"{kind}{max(1, frame.BitsAllocated // 8)}")


def _ends(frame: Frame) -> tuple[int, int]:
    """The smallest and the largest number that can be stored."""
    bits = min(max(1, frame.BitsStored or frame.BitsAllocated), 64)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if frame.PixelRepresentation == 1 else (0, 2**bits - 1)


def _use_imagecodecs() -> None:
    """Give pydicom decoders for what it has none of by itself; once."""
    for syntax in DECODERS:
        decoder = get_decoder(syntax)
        if PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(PLUGIN, (__name__, "decode_frame"))
