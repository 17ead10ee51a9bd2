"""An anatomical prior: how likely each structure is at each place, whatever the image shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import edt
import numpy as np
import numpy.typing as npt
from scipy.interpolate import interp1d
from scipy.special import expit

from napari_unetseg.core.annotations.sparse_labels import painted_planes, to_classes
from napari_unetseg.core.grid import Grid, Triple
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import InputError, SettingsError

Probabilities = npt.NDArray[np.float32]
ROUNDING = 0.01
"""How far above 1 a probability may come out, in half precision."""


def apply_prior(probabilities: npt.NDArray[Any], prior: npt.NDArray[Any], strength: float = 1.0) -> Probabilities:
    """Multiply probabilities by a prior to the power of `strength`, and make them add up to 1 again.

    Parameters
    ----------
    probabilities, prior : ndarray of float, shape (S + 1, Z, Y, X)
        Channel 0 is background.
    strength : float
        0 leaves the probabilities as they are, 1 is Bayes' rule.

    Returns
    -------
    ndarray of float32, shape (S + 1, Z, Y, X)
        Where the prior excludes all that is probable, the probabilities as they were.

    Raises
    ------
    InputError
        If the shapes differ.
    SettingsError
        If the strength is negative or not finite.
    """
    if probabilities.shape != prior.shape:
        raise InputError(f"Expected a prior of the probabilities' shape {probabilities.shape}; got {prior.shape}.")
    if not 0 <= strength < np.inf:
        raise SettingsError(f"Expected a strength of 0 or more; got {strength}.")
    product = probabilities * np.asarray(prior, np.float32) ** strength
    total = product.sum(axis=0)
    possible = total > np.finfo(np.float32).tiny
    return np.where(possible, product / np.where(possible, total, 1), probabilities).astype(np.float32)


@dataclass(frozen=True)
class KnownSlices:
    """Labelled slices of a volume, and the part of it that is looked at.

    Parameters
    ----------
    planes : ndarray of integers, shape (n, A, B)
        0 is background, 1… are structures; below 0 is not known, and taken for background.
    places : tuple of int
        Where along `axis` each of them lies, in ascending order.
    axis : int
        0, 1 or 2: z, y or x.
    shape : (z, y, x)
        Of the volume.
    grid : Grid
    part : (start, stop) or None
        Slices along z that are looked at; None for all.

    Raises
    ------
    SettingsError
        If there is no slice.
    """

    planes: npt.NDArray[Any]
    places: tuple[int, ...]
    axis: int
    shape: tuple[int, int, int]
    grid: Grid = field(default_factory=Grid)
    part: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not self.places:
            raise SettingsError("Expected labelled slices for a prior; there are none.")

    @classmethod
    def of(cls, painted: Labels) -> Self:
        """The painted slices of a volume (0 unknown, 1 background, 2… structures), in their commonest orientation.

        A slice counts from a fifth of the paint of the fullest one on: other strokes are no outlines.

        Raises
        ------
        InputError
            If nothing is painted.
        """
        found = painted_planes(painted.array)
        if not found:
            raise InputError("Expected painted slices for a prior; nothing is painted: 1 is background, 2… structures.")
        axis, least = found[0].axis, found[0].voxels / 5
        places = tuple(sorted(plane.index for plane in found if plane.axis == axis and plane.voxels >= least))
        z, y, x = painted.array.shape
        planes = np.moveaxis(painted.array.take(places, axis), axis, 0)
        return cls(to_classes(planes), places, axis, (z, y, x), painted.grid)

    @property
    def seen(self) -> slice:
        """The slices along z that are looked at."""
        return slice(*self.part) if self.part is not None else slice(0, self.shape[0])

    def outline(self) -> Labels:
        """A stand-in for what is looked at, without voxels: for comparing grids."""
        depth = self.seen.stop - self.seen.start
        return Labels(np.broadcast_to(np.uint8(0), (depth, *self.shape[1:])), self.grid)


def prior_from_slices(known: KnownSlices, labels: Sequence[int], spacing: Triple, softness: float) -> Probabilities:
    """Interpolate a prior from labelled slices, by the signed distance to each structure's outline.

    Between two slices the distances are interpolated linearly, beyond the outermost ones they stay (shape-based
    interpolation; Raya and Udupa 1990, DOI 10.1109/42.52980). A structure's prior is a logistic function of its
    distance, and the background's what is left.

    Parameters
    ----------
    known : KnownSlices
    labels : sequence of int
        The structures; all else in the slices is background.
    spacing : (z, y, x)
        Voxel size.
    softness : float
        Distance from the outline, in the unit of `spacing`, at which the prior is 0.73 inside and 0.27 outside.

    Returns
    -------
    ndarray of float32, shape (structures + 1, Z, Y, X)
        Adds up to 1.

    Raises
    ------
    SettingsError
        If the softness is not above 0.
    """
    if not 0 < softness < np.inf:
        raise SettingsError(f"Expected a softness above 0; got {softness}.")
    plane_spacing = tuple(np.delete(spacing, known.axis))
    wanted = np.arange(known.shape[known.axis])
    rows = slice(None) if known.axis == 0 else known.seen  # z is then the first axis of the planes
    wanted = wanted[known.seen] if known.axis == 0 else wanted
    prior = np.empty((len(labels) + 1, len(wanted), *known.planes[0, rows].shape), np.float32)
    for channel, label in enumerate(labels, start=1):
        distances = np.stack([_signed_distance(plane == label, plane_spacing)[rows] for plane in known.planes])
        prior[channel] = expit(_between(known.places, distances, wanted) / softness)
    total = np.maximum(prior[1:].sum(axis=0), 1)
    prior[1:] /= total
    prior[0] = 1 - prior[1:].sum(axis=0)
    return np.moveaxis(prior, 1, known.axis + 1)


def with_background(probabilities: npt.NDArray[Any], structures: int) -> Probabilities:
    """Probabilities with the background first, adding up to 1.

    Parameters
    ----------
    probabilities : ndarray of float, shape (structures + 1, Z, Y, X), or (structures, Z, Y, X) without background

    Returns
    -------
    ndarray of float32, shape (structures + 1, Z, Y, X)
        Where all of them are 0: background.

    Raises
    ------
    InputError
        If there are other channels, or values that are not from 0 to 1.
    """
    channels = len(probabilities)
    if channels not in (structures, structures + 1):
        raise InputError(
            f"Expected probabilities of background and {structures} structure(s), or of these alone; got {channels} "
            "channel(s)."
        )
    low, high = float(probabilities.min()), float(probabilities.max())
    if not (low >= 0 and high <= 1 + ROUNDING):  # NaN fails as well
        raise InputError(f"Expected probabilities from 0 to 1; got values from {low:.4g} to {high:.4g}.")
    found = np.empty((structures + 1, *probabilities.shape[1:]), np.float32)
    found[-channels:] = probabilities
    if channels == structures:
        found[0] = np.maximum(1 - found[1:].sum(axis=0), 0)
    total = found.sum(axis=0)
    found[0][total == 0] = 1
    found /= np.where(total > 0, total, 1)
    return found


def _signed_distance(mask: npt.NDArray[np.bool_], spacing: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Distance to the outline, half-way between voxel centres: above 0 inside; at most the plane's diagonal."""
    far = float(np.linalg.norm(np.multiply(mask.shape, spacing)))
    inside, outside = (np.minimum(edt.edt(one, anisotropy=spacing), far) for one in (mask, ~mask))
    half = min(spacing) / 2
    return np.asarray(np.where(mask, inside - half, half - outside), np.float32)


def _between(
    places: Sequence[int], distances: npt.NDArray[np.float32], wanted: npt.NDArray[np.integer]
) -> npt.NDArray[np.float32]:
    """Distances (wanted, A, B) at other places than those of `distances` (places, A, B)."""
    if len(places) == 1:
        return np.repeat(distances, len(wanted), axis=0)
    ends = (distances[0], distances[-1])
    lines = interp1d(places, distances, axis=0, bounds_error=False, fill_value=ends, assume_sorted=True)
    return np.asarray(lines(wanted), np.float32)
