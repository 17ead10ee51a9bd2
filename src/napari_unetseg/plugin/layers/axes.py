"""Axes of a layer: which is what, and how its array becomes (C, Z, Y, X) and a result comes back to them.

Axes are a string with one letter per axis of the layer: T, C, Z, Y, X. Y and X are always the last two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.errors import InputError

CHOICES = {
    2: ("YX",),
    3: ("ZYX", "CYX", "TYX"),
    4: ("TZYX", "CZYX", "ZCYX", "TCYX"),
    5: ("TCZYX", "TZCYX", "CTZYX"),
}
MOST_CHANNELS = 4
"""An axis of so few entries, before the image's own, is taken for channels until the user says otherwise."""


def choices_of(ndim: int) -> tuple[str, ...]:
    """What the axes of a layer may be; raises `InputError` for a layer of one axis or of more than five."""
    if ndim not in CHOICES:
        raise InputError(f"Expected a layer of 2 to 5 axes; got one of {ndim}. Take a part of it.")
    return CHOICES[ndim]


def guess_axes(shape: Sequence[int], names: Sequence[str] = ()) -> str:
    """The likeliest axes of a layer: by their names where they have any, else by their lengths.

    Parameters
    ----------
    shape : sequence of int
        Of the layer, without the colour axis of an RGB layer.
    names : sequence of str
        The layer's axis labels, such as ``("time", "z", "y", "x")``; napari's own ``("-2", "-1")`` tell nothing.
    """
    choices = choices_of(len(shape))
    named = "".join(name[:1].upper() for name in names)
    if named in choices:
        return named
    few = [index for index, length in enumerate(shape[:-2]) if 1 < length <= MOST_CHANNELS]
    return next((axes for axes in choices if few and axes.find("C") == few[0]), choices[0])


def to_volume(array: npt.NDArray[Any], axes: str, time: int = 0) -> npt.NDArray[Any]:
    """A view of shape (C, Z, Y, X) of one time point, of an array with these axes."""
    if "T" in axes:
        array, axes = np.moveaxis(array, axes.index("T"), 0)[time], axes.replace("T", "")
    array = array.transpose([axes.index(axis) for axis in "CZYX" if axis in axes])
    missing = [index for index, axis in enumerate("CZYX") if axis not in axes]
    return np.expand_dims(array, missing)


def kept_axes(axes: str) -> str:
    """The axes that labels of a layer have: all of it but leading channels, over which napari repeats them itself."""
    return axes.removeprefix("C")


def from_spatial(array: npt.NDArray[Any], axes: str, channels: int = 1) -> npt.NDArray[Any]:
    """An array (Z, Y, X) brought to `kept_axes`: one time point long, repeated over channels that are not leading."""
    kept = kept_axes(axes)
    if "Z" not in kept:
        array = array[0]
    array = np.expand_dims(array, [index for index, axis in enumerate(kept) if axis in "TC"])
    return np.repeat(array, channels, kept.index("C")) if "C" in kept else array
