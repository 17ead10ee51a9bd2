"""Inputs of the verbs: a volume or labels, an array, or a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.grid import Grid, Triple
from napari_unetseg.core.io.loadsave import load_labels, load_volume
from napari_unetseg.core.io.selecting import with_spacing
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import InputError

Image = Volume | str | Path | npt.NDArray[Any]
"""An image in any form that the verbs take; a bare array is (Y, X), (Z, Y, X) or (C, Z, Y, X)."""

Labelling = Labels | str | Path | npt.NDArray[Any]
"""Labels in any form that the verbs take; a bare array is (Y, X) or (Z, Y, X)."""

EVERYTHING = Selection()


def as_volume(image: Image, spacing: Triple | None = None) -> Volume:
    """Any image that the verbs take, as a `Volume`.

    Raises
    ------
    InputError
        If a file cannot be read, or an array has neither two, three nor four axes.
    """
    if isinstance(image, Volume):
        return image
    if isinstance(image, (str, Path)):
        return load_volume(Path(image), Selection(spacing=spacing))
    array = np.asarray(image)
    if not 2 <= array.ndim <= 4:
        raise InputError(f"Expected an array of shape (Y, X), (Z, Y, X) or (C, Z, Y, X); got {array.shape}.")
    return Volume(array.reshape((1,) * (4 - array.ndim) + array.shape), Grid(spacing or (1.0, 1.0, 1.0)))


def as_labels(labels: Labelling, selection: Selection = EVERYTHING) -> Labels:
    """Any labels that the verbs take, as `Labels`, with the selection's spacing where it has one.

    Raises
    ------
    InputError
        If a file cannot be read, or an array has neither two nor three axes.
    """
    if isinstance(labels, (str, Path)):
        return load_labels(labels, selection)
    if isinstance(labels, np.ndarray):
        if labels.ndim not in (2, 3):
            raise InputError(f"Expected labels of shape (Y, X) or (Z, Y, X); got {labels.shape}.")
        labels = Labels(labels.reshape((1,) * (3 - labels.ndim) + labels.shape))
    return replace(labels, grid=with_spacing(labels.grid, selection))
