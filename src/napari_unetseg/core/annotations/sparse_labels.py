"""Sparse labels: the only place that knows 0 is unpainted, 1 is background and structures follow from 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.annotations.painted_stack import slices_with_paint
from napari_unetseg.errors import InputError

UNPAINTED, BACKGROUND = 0, 1  # in painted layers
HIGHEST = 128  # painted value: a model has an output for each up to it, and they are kept in 8 bits
IGNORE = -1  # in tensors of network outputs: a voxel that nobody painted
MOST_CLASSES = 64  # more values than this are numbered objects, not structures
LEAST_PART = 0.1  # of a class, in the part to learn from as in the one to score on
ALIKE = 8  # pixels; what lies nearer together than that is much alike
SLICE_CHANCE = 0.05  # Dice; how far one held-out slice may be from all the others
BLOCKS = 6  # blocks along each painted axis, where there are too few planes to hold out whole ones

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Plane:
    """A painted plane: all voxels whose index along `axis` (0 z, 1 y, 2 x) is `index`; `voxels` of them are painted."""

    axis: int
    index: int
    voxels: int

    @property
    def where(self) -> tuple[slice | int, ...]:
        """Index of the plane in an array (Z, Y, X)."""
        return (*(slice(None),) * self.axis, self.index)


class Split(NamedTuple):
    """Sparse labels in two parts, of the same shapes and dtypes, `UNPAINTED` where a voxel is in the other part.

    Parameters
    ----------
    learning, held_out : lists of ndarray (Z, Y, X)
        What to fit to, and what to score on; one an image. Nothing of a class may be held out.
    """

    learning: list[Array]
    held_out: list[Array]


def to_classes(painted: Array) -> Array:
    """Painted values as network outputs: 1 → 0 (background), 2 → 1, …; unpainted voxels become `IGNORE`.

    Returns
    -------
    ndarray of int16, or of int64 where that is too small, the same shape
    """
    kind = np.int16 if painted.max(initial=0) <= np.iinfo(np.int16).max else np.int64
    return np.asarray(painted.astype(kind) - BACKGROUND)


def class_count(painted: Sequence[Array]) -> int:
    """Network outputs that the paint asks for: background and every structure up to the highest one painted."""
    return max((int(p.max(initial=0)) for p in painted), default=0)


def check_painted(painted: Sequence[Array], shapes: Sequence[tuple[int, ...]], known: int = 0) -> None:
    """Check that one can learn from painted labels.

    Parameters
    ----------
    painted : sequence of ndarray (Z, Y, X)
        One an image.
    shapes : sequence of (z, y, x)
        The images' shapes.
    known : int
        Structures of the model that the paint corrects: it knows them and background, so one painted class will do.

    Raises
    ------
    InputError
        If a shape is not its image's, a value is not whole or below 0, nothing is painted, one class only is painted,
        or the values look like numbered objects or are too large.
    """
    if len(painted) != len(shapes):
        raise InputError(f"Expected one painted file for each image; got {len(shapes)} images and {len(painted)}.")
    for paint, shape in zip(painted, shapes, strict=True):
        _check_one(paint, shape)
    _check_classes(sorted({value for paint in painted for value in painted_values(paint)}), known)


def _check_one(paint: Array, shape: tuple[int, ...]) -> None:
    if paint.shape != tuple(shape):
        raise InputError(
            f"Expected paint of the image's shape {tuple(shape)} (z, y, x); got {paint.shape}. Paint on that image."
        )
    if paint.dtype.kind not in "bui" or (paint.dtype.kind == "i" and paint.min(initial=0) < 0):
        raise InputError(f"Expected painted values 0, 1, 2, …; got {paint.dtype} with {paint.min(initial=0)} in it.")


def within(parts: Sequence[Array], painted: Sequence[Array]) -> list[Array]:
    """Parts of paint (Z, Y, X), such as what is held out, where other paint is as well."""
    return [np.where(paint != UNPAINTED, part, UNPAINTED) for part, paint in zip(parts, painted, strict=True)]


def _check_classes(values: list[int], known: int) -> None:
    if not values:
        raise InputError("Nothing is painted. Paint some background with 1 and each structure with 2, 3, ….")
    if values == [BACKGROUND] and not known:
        raise InputError("Only background (1) is painted. Paint some of a structure with 2 as well.")
    if len(values) == 1 and not known:
        raise InputError(
            f"Only structure {values[0] - BACKGROUND} is painted, with {values[0]}. "
            "Paint some background with 1 as well."
        )
    if len(values) > MOST_CLASSES:
        raise InputError(
            f"Expected at most {MOST_CLASSES} painted values; got {len(values)}. "
            "Give all objects of one structure the same value."
        )
    if values[-1] > HIGHEST:
        raise InputError(f"Expected painted values up to {HIGHEST}; got {values[-1]}. Paint structures with 2, 3, ….")


def painted_values(painted: Array) -> set[int]:
    """The values of painted labels (Z, Y, X), without `UNPAINTED`."""
    planes = [painted[z] for z in slices_with_paint(painted)]
    return {int(value) for plane in planes for value in np.unique(plane[plane != UNPAINTED])}


def painted_counts(painted: Array, classes: int) -> npt.NDArray[np.int64]:
    """Painted voxels (Z, classes) of each slice along z and each value 1, …, `classes`."""
    counts = np.zeros((painted.shape[0], classes), np.int64)
    for z in slices_with_paint(painted):
        counts[z] = np.bincount(painted[z].ravel(), minlength=classes + 1)[1:]
    return counts


def _places(painted: Array) -> npt.NDArray[np.intp]:
    """Indices (3, P) of the painted voxels, in order; of a large image the slices without paint are passed over."""
    parts = [np.zeros((3, 0), np.intp)]
    for z in slices_with_paint(painted):
        y, x = np.nonzero(painted[z])
        parts.append(np.stack([np.full_like(y, z), y, x]))
    return np.concatenate(parts, axis=1)


def painted_planes(painted: Array) -> list[Plane]:
    """The planes, in any of the three orientations, that hold the paint; the fullest first.

    Each voxel is counted once: planes are taken greedily, by how many voxels they explain that no earlier one did.
    Nothing painted gives an empty list.
    """
    where = _places(painted)
    planes = []
    while where.shape[1]:
        counts = [np.bincount(along, minlength=1) for along in where]
        axis = int(np.argmax([count.max() for count in counts]))
        index = int(counts[axis].argmax())
        planes.append(Plane(axis, index, int(counts[axis][index])))
        where = where[:, where[axis] != index]
    return planes


def hold_out(painted: Sequence[Array]) -> Split:
    """Split paint into a part to learn from and a part to score on.

    With three planes or more of a fair size over all images, whole planes are held out: every fourth of them, evenly
    spaced, at least one; which ones, the classes say: as many as possible shall be both learned and scored. With fewer
    planes, every fourth block of the painted region is held out. A class that whole planes do not divide, since too
    little of it lies on other planes, gives every fourth block of its own region as well. The split depends on the
    paint alone. A class is never taken away from the learning part altogether: its voxels are then given back.
    """
    depths = [np.array(slices_with_paint(p), np.intp) for p in painted]
    compact = [p[z] for p, z in zip(painted, depths, strict=True)]
    parts = zip(painted, compact, depths, _held_out(compact, depths), strict=True)
    split = Split([], [])
    for paint, slices, z, mask in parts:
        split.learning.append(_among(paint, z, np.where(mask, UNPAINTED, slices)))
        split.held_out.append(_among(paint, z, np.where(mask, slices, UNPAINTED)))
    return split


def _among(painted: Array, depths: Array, slices: Array) -> Array:
    """Slices at their depths, in an array like `painted` that takes memory for them only."""
    found = np.zeros(painted.shape, painted.dtype)
    found[depths] = slices
    return found


def _held_out(painted: Sequence[Array], depths: Sequence[Array]) -> list[npt.NDArray[np.bool_]]:
    """Which voxels to score on, of the slices with paint alone; `depths` are their indices along z."""
    planes = _fair_planes(painted)
    masks = [np.zeros(p.shape, dtype=bool) for p in painted]
    if len(planes) >= 3:
        for image, plane in _spread(painted, planes):
            masks[image][plane.where] = True
    else:
        masks = [_every_fourth_block(p > 0, z) for p, z in zip(painted, depths, strict=True)]
    for value in range(BACKGROUND, class_count(painted) + 1):
        _divide(value, painted, masks, depths)
    _give_back(painted, masks)
    return masks


def chance(held_out: Sequence[Array]) -> float:
    """By how much a model's Dice on held-out paint may be below another's although it is as good.

    Two standard errors of a share among n things are at most 1/√n. Voxels of one stroke are no n things, for they are
    alike; tiles of 8 × 8 pixels nearly are. And slices differ: of s held-out planes, 0.05/√s is left to chance at
    least. 1 where nothing is held out.
    """
    tiles = sum(_painted_tiles(held) for held in held_out)
    planes = len(_fair_planes(held_out))
    return max(tiles**-0.5, SLICE_CHANCE * planes**-0.5) if tiles else 1.0


def _painted_tiles(painted: Array) -> int:
    """Tiles of `ALIKE` pixels along y and x, slice by slice, that have paint."""
    z, y, x = _places(painted)
    _, height, width = painted.shape
    return int(np.unique((z * height + y // ALIKE) * width + x // ALIKE).size)


def _spread(painted: Sequence[Array], planes: Sequence[tuple[int, Plane]]) -> Sequence[tuple[int, Plane]]:
    """Every fourth plane, beginning where most classes are divided, or else left to learn from, or else evenly."""
    most = class_count(painted) + 1
    counts = np.array([np.bincount(painted[image][plane.where].ravel(), minlength=most)[1:] for image, plane in planes])
    step, everything = min(4, len(planes)), counts.sum(0)

    def worth(first: int) -> tuple[int, int, int]:
        held = counts[first::step].sum(0)
        is_learned = everything - held >= LEAST_PART * everything
        return int(_is_divided(held, everything).sum()), int(is_learned.sum()), -abs(first - step // 2)

    return planes[max(range(step), key=worth) :: step]


def _is_divided(held: Array, everything: Array) -> npt.NDArray[np.bool_]:
    """Of voxel counts, by class: whether both parts of a split have at least `LEAST_PART`."""
    return np.asarray((np.minimum(held, everything - held) >= LEAST_PART * everything) & (everything > 0))


def _divide(value: int, painted: Sequence[Array], masks: list[npt.NDArray[np.bool_]], depths: Sequence[Array]) -> None:
    """Hold out blocks of a class's region, where the masks do not divide the class."""
    of_class = [p == value for p in painted]
    everything = np.sum([where.sum() for where in of_class])
    held = np.sum([(where & mask).sum() for where, mask in zip(of_class, masks, strict=True)])
    if everything and not _is_divided(held, everything):
        for where, mask, z in zip(of_class, masks, depths, strict=True):
            mask[where] = False
            mask |= _every_fourth_block(where, z)


def _fair_planes(painted: Sequence[Array]) -> list[tuple[int, Plane]]:
    """(image, plane) in order of place, but for those with less than a fifth of the median plane's paint."""
    planes = [(image, plane) for image, paint in enumerate(painted) for plane in painted_planes(paint)]
    least = np.median([plane.voxels for _, plane in planes]) / 5 if planes else 0
    fair = [(image, plane) for image, plane in planes if plane.voxels >= least]
    return sorted(fair, key=lambda pair: (pair[0], pair[1].axis, pair[1].index))


def _every_fourth_block(where: npt.NDArray[np.bool_], depths: Array) -> npt.NDArray[np.bool_]:
    """Blocks of the bounding box of some voxels, every fourth along its diagonals, so that none touches another.

    Parameters
    ----------
    where : ndarray of bool (slices, Y, X)
    depths : ndarray of whole numbers (slices,)
        Their indices along z, in order.
    """
    found = np.zeros(where.shape, dtype=bool)
    if not where.any():
        return found
    along = [depths, np.arange(where.shape[1]), np.arange(where.shape[2])]
    inside = [axis[where.any(tuple({0, 1, 2} - {number}))] for number, axis in enumerate(along)]
    near = [(axis >= i[0]) & (axis <= i[-1]) for axis, i in zip(along, inside, strict=True)]
    total = np.zeros([int(n.sum()) for n in near], dtype=np.int64)
    for axis, (places, n, i) in enumerate(zip(along, near, inside, strict=True)):
        block = (places[n] - i[0]) * BLOCKS // max(int(i[-1] - i[0]) + 1, BLOCKS)
        shift = np.array([1, 1, 2])[axis]  # (y + 2x) mod 4: no two neighbours, every row and column is met
        total += (block * shift).reshape([-1 if a == axis else 1 for a in range(where.ndim)])
    found[np.ix_(*near)] = total % 4 == 1
    return found


def _give_back(painted: Sequence[Array], masks: list[npt.NDArray[np.bool_]]) -> None:
    for value in range(BACKGROUND, class_count(painted) + 1):
        left = any(bool(((p == value) & ~mask).any()) for p, mask in zip(painted, masks, strict=True))
        if not left:
            for paint, mask in zip(painted, masks, strict=True):
                mask[paint == value] = False
