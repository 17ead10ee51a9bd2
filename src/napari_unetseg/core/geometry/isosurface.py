"""Isosurfaces: where a field that is known at voxel centres passes the half level, and how much is inside.

Between two centres the field is taken to be linear (marching cubes, Lorensen and Cline 1987, DOI 10.1145/37402.37422;
in 2D marching squares). Of a mask the surface runs half-way; of probabilities it is placed finer than the voxels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import find_contours, marching_cubes, mesh_surface_area

from napari_unetseg.errors import InputError

HALF = 0.5
Field = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


def surface_size(field: Field | Mask, spacing: tuple[float, ...]) -> float:
    """Area (in 2D length) of the surface at the half level of a field; beyond the array the field is 0.

    Of a mask it comes out some 8 % too large for a ball, because the mesh follows the voxels' steps; of probabilities
    it does not.

    Parameters
    ----------
    field : ndarray of float or bool, shape (Y, X) or (Z, Y, X)
        What is above the half level is inside. A field that is nowhere above gives 0.
    spacing : (y, x) or (z, y, x)
    """
    padded = np.pad(np.asarray(field, np.float32), 1)
    if padded.max(initial=0) <= HALF:
        return 0.0
    if field.ndim == 2:
        contours = (contour * spacing for contour in find_contours(padded, HALF))
        return float(sum(np.linalg.norm(np.diff(contour, axis=0), axis=1).sum() for contour in contours))
    vertices, faces, _, _ = marching_cubes(padded, HALF, spacing=spacing)
    return float(mesh_surface_area(vertices, faces))


def covered_size(field: Field, spacing: tuple[float, ...]) -> float:
    """Volume (in 2D area) of what is above the half level, with voxels at its surface counted by the share inside.

    The sum of partial volumes (Tohka 2014, DOI 10.4329/wjr.v6.i11.855). The share is how far a voxel is above the half
    level over how steep the field is there (at most 1 a voxel): so blurred edges count as sharp ones do, and a haze
    around them not at all. The mesh encloses less, because it cuts the corners of what is curved.

    Parameters
    ----------
    field : ndarray of float, shape (Y, X) or (Z, Y, X)
        See `sharpened`. Of a mask the size is the number of its voxels.
    """
    slope = np.minimum(ndimage.maximum_filter(_steepness(field), 3), 1.0)
    shares = np.clip(HALF + (field - HALF) / np.maximum(slope, np.finfo(np.float32).tiny), 0, 1)
    return float(shares.sum(dtype=float) * np.prod(spacing))


def _steepness(field: Field) -> Field:
    """Length of the gradient in each voxel, from the larger of its differences to both neighbours along each axis."""
    squares = np.zeros(field.shape, np.float32)
    for axis in range(field.ndim):
        steps = np.moveaxis(np.abs(np.diff(np.asarray(field, np.float32), axis=axis)), axis, 0)
        edge = np.zeros((1, *steps.shape[1:]), np.float32)
        larger = np.maximum(np.concatenate([edge, steps]), np.concatenate([steps, edge]))
        squares += np.moveaxis(larger, 0, axis) ** 2
    return np.sqrt(squares)


def structure_field(probabilities: Field, label: int) -> Field:
    """How far a structure is ahead of all others, as a field that is one half where it meets the next likely one.

    Parameters
    ----------
    probabilities : ndarray of float, shape (channels, …)
        Background first, then structures; a single channel is that of the one structure there is.

    Raises
    ------
    InputError
        If there is no channel for the label, or the values are none from 0 to 1.
    """
    if len(probabilities) != 1 and not 0 < label < len(probabilities):
        raise InputError(
            f"Expected probabilities of background and {label} structures or more; got {len(probabilities)} channels."
        )
    low, high = float(np.min(probabilities)), float(np.max(probabilities))
    if not (low >= 0 and high <= 1 + 1e-3):
        raise InputError(f"Expected probabilities from 0 to 1; got {low:g} to {high:g}.")
    if len(probabilities) == 1:
        return np.asarray(probabilities[0], np.float32)
    others = np.delete(probabilities, label, axis=0).max(axis=0)
    return np.asarray((1.0 + probabilities[label] - others) / 2, np.float32)


def sharpened(mask: Mask, field: Field) -> Field:
    """A mask whose surface is placed by a field: it only moves between the same two centres.

    So clean-up that has moved voxels, or has divided objects, holds: there the surface runs half-way.
    """
    agrees = mask == (field > HALF)
    return np.where(agrees, field, mask).astype(np.float32)
