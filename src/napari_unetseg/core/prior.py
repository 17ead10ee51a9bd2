"""An anatomical prior: how likely each structure is at each place, whatever the image shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import edt
import numpy as np
import numpy.typing as npt
from scipy.interpolate import interp1d
from scipy.special import expit

from napari_unetseg.core.volume import Triple
from napari_unetseg.errors import InputError, SettingsError

Probabilities = npt.NDArray[np.float32]


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


def prior_from_slices(
    classes: npt.NDArray[Any],
    slices: Sequence[int],
    structures: int,
    spacing: Triple,
    softness: float,
    axis: int = 0,
) -> Probabilities:
    """Interpolate a prior from labelled slices, by the signed distance to each structure's outline.

    Between two slices the distances are interpolated linearly, beyond the outermost ones they stay (shape-based
    interpolation; Raya and Udupa 1990, DOI 10.1109/42.52980). A structure's prior is a logistic function of its
    distance, and the background's what is left.

    Parameters
    ----------
    classes : ndarray of integers, shape (Z, Y, X)
        0 is background, 1 … `structures`; below 0 is not known, and taken for background in the slices.
    slices : sequence of int
        Indices along `axis` of the slices to believe.
    structures : int
        How many there are.
    spacing : (z, y, x)
        Voxel size.
    softness : float
        Distance from the outline, in the unit of `spacing`, at which the prior is 0.73 inside and 0.27 outside.
    axis : int
        0, 1 or 2: z, y or x.

    Returns
    -------
    ndarray of float32, shape (structures + 1, Z, Y, X)
        Adds up to 1.

    Raises
    ------
    SettingsError
        If there is no slice, one is outside the volume, or the softness is not above 0.
    """
    places = sorted(set(slices))
    if not places or not 0 <= places[0] <= places[-1] < classes.shape[axis]:
        raise SettingsError(f"Expected labelled slices from 0 to {classes.shape[axis] - 1}; got {list(slices)}.")
    if not 0 < softness < np.inf:
        raise SettingsError(f"Expected a softness above 0; got {softness}.")
    planes = np.moveaxis(classes, axis, 0)
    plane_spacing = tuple(np.delete(spacing, axis))
    prior = np.empty((structures + 1, *planes.shape), np.float32)
    for label in range(1, structures + 1):
        distances = np.stack([_signed_distance(planes[place] == label, plane_spacing) for place in places])
        prior[label] = expit(_between(places, distances, len(planes)) / softness)
    total = np.maximum(prior[1:].sum(axis=0), 1)
    prior[1:] /= total
    prior[0] = 1 - prior[1:].sum(axis=0)
    return np.moveaxis(prior, 1, axis + 1)


def _signed_distance(mask: npt.NDArray[np.bool_], spacing: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Distance to the outline, half-way between voxel centres: above 0 inside; at most the plane's diagonal."""
    far = float(np.linalg.norm(np.multiply(mask.shape, spacing)))
    inside, outside = (np.minimum(edt.edt(one, anisotropy=spacing), far) for one in (mask, ~mask))
    half = min(spacing) / 2
    return np.asarray(np.where(mask, inside - half, half - outside), np.float32)


def _between(places: list[int], distances: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    if len(places) == 1:
        return np.repeat(distances, length, axis=0)
    ends = (distances[0], distances[-1])
    lines = interp1d(places, distances, axis=0, bounds_error=False, fill_value=ends, assume_sorted=True)
    return np.asarray(lines(np.arange(length)), np.float32)
