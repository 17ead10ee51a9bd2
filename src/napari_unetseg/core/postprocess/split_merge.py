"""Changes of what counts as one object: cutting, joining, numbering."""

from __future__ import annotations

from typing import Any, Literal

import edt
import fastremap
import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from napari_unetseg.core.geometry.label_arrays import LabelArray, connected_parts, present_labels, renumbering
from napari_unetseg.core.postprocess.morphology import Mask
from napari_unetseg.errors import SettingsError

Along = Literal["distance", "edges", "bright"]
Numbered = npt.NDArray[np.uint32]


def separate(mask: Mask, depth: float, spacing: tuple[float, ...], along: Along, image: LabelArray | None) -> Numbered:
    """Cut a mask into objects with a thick core each, and number them from 1.

    A core is a maximum of the distance to the outside that rises more than `depth` above the way to any higher one
    (an extended maximum; Soille, DOI 10.1007/978-3-662-05088-0). A part of the mask without a core is one object.

    Parameters
    ----------
    mask : ndarray of bool, shape (Y, X) or (Z, Y, X)
        With a border of background where the structure does not reach the end of the volume.
    depth : float
        In the unit of `spacing`.
    along : str
        Where to cut: see `core.steps.Separate`.
    image : ndarray, shape of `mask`, or None
        Needed unless `along` is ``distance``.

    Raises
    ------
    SettingsError
        If the image is missing.
    """
    if along != "distance" and image is None:
        raise SettingsError(f"Separating along {along} needs the image; give it, or separate along distance.")
    if mask.all():  # without an outside there is no distance to it
        return np.ones(mask.shape, np.uint32)
    thickness = edt.edt(mask, anisotropy=spacing)
    cores, count = connected_parts(mask & local_maxima(reconstruction(thickness - depth, thickness)))
    parts, _ = connected_parts(mask)
    coreless = np.isin(parts, np.unique(parts[cores > 0]), invert=True) & mask
    markers = np.where(coreless, parts + count, cores).astype(np.int32)
    cut: npt.NDArray[Any] = watershed(
        _landscape(thickness, along, image), markers, connectivity=np.ones((3,) * mask.ndim), mask=mask
    )
    numbered: Numbered = fastremap.renumber(cut.astype(np.uint32), preserve_zero=True)[0].astype(np.uint32)
    return numbered


def _landscape(thickness: npt.NDArray[Any], along: Along, image: LabelArray | None) -> npt.NDArray[Any]:
    """What a watershed floods: low in the middle of objects, high where they meet."""
    if along == "distance" or image is None:
        return -thickness
    blurred = ndimage.gaussian_gradient_magnitude if along == "edges" else ndimage.gaussian_filter
    return np.asarray(blurred(image.astype(np.float32), 1))


def merge_tiles(array: LabelArray, tile: tuple[int, ...], contact: float) -> LabelArray:
    """Join objects that were numbered tile by tile, without an overlap of the tiles.

    Two of them become one where they lie on both sides of a tile's face, and the area in which they meet there is at
    least `contact` of the smaller one's whole area on that face. The smallest number stays.

    Parameters
    ----------
    array : ndarray of integers, shape (Y, X) or (Z, Y, X)
    tile : size of the tiles along each axis; the first tile begins at 0
    """
    numbers = present_labels(array)
    renumber = renumbering(numbers)
    faces = [
        _meeting(renumber(array.take(plane - 1, axis)), renumber(array.take(plane, axis)), contact, len(numbers) + 1)
        for axis, (length, step) in enumerate(zip(array.shape, tile, strict=True))
        for plane in range(step, length, step)
    ]
    if not faces:
        return array
    ends = np.concatenate(faces, axis=1)
    graph = sparse.coo_array((np.ones(ends.shape[1]), tuple(ends)), shape=(len(numbers) + 1,) * 2)
    _, groups = sparse.csgraph.connected_components(graph, directed=False)
    _, first = np.unique(groups, return_index=True)
    owners = np.concatenate([[0], numbers.astype(np.int64)])[first[groups]]
    merged: LabelArray = fastremap.remap(array, dict(zip(numbers.tolist(), owners[1:].tolist(), strict=True)) | {0: 0})
    return merged


def _meeting(one: LabelArray, other: LabelArray, contact: float, count: int) -> npt.NDArray[np.int64]:
    """The pairs of numbers, shape (2, n), that meet on enough of a face."""
    both = (one > 0) & (other > 0)
    pairs, areas = np.unique(np.stack([one[both], other[both]]), axis=1, return_counts=True)
    sizes, other_sizes = (np.bincount(side.ravel(), minlength=count) for side in (one, other))
    smaller = np.minimum(sizes[pairs[0]], other_sizes[pairs[1]])
    return pairs[:, areas >= contact * smaller].astype(np.int64)
