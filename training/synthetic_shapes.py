"""Generated volumes of shapes as tissues have them, in random brightness: what a general start learns shapes from.

Compartments with walls, blobs, and tubes with or without a lumen, each kind at a random size, brightness and texture,
seen through a random microscope or scanner. The idea is that of SynthSeg (arXiv 2107.09559) and anatomix
(arXiv 2411.02372): whoever cannot rely on brightness has to learn shapes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_unetseg.core.io.atomic import atomic_path
from training.synthetic_nuclei import Stack, objects_of, seen, smooth_noise

GROUND, WALL, BLOB, TUBE, LUMEN = range(5)
CLASSES = 5
LEAST_CONTRAST = 0.25  # between two classes of one volume; brightness is 0 to 1
LIGHT = 4  # times as bright as generated nuclei: shapes of little contrast should still be seen

Shape = tuple[int, int, int]
Floats = npt.NDArray[np.float32]


def shapes_stack(shape: Shape, rng: np.random.Generator) -> Stack:
    """Draw one volume; `objects` holds the classes above."""
    anisotropy = float(np.exp(rng.uniform(0, np.log(5)))) if rng.random() < 0.5 else 1.0
    spacing = (anisotropy, 1.0, 1.0)
    classes = np.zeros(shape, np.uint16)
    painters = [_walls, _blobs, _tubes]
    for index in rng.permutation(3)[: rng.integers(1, 4)]:
        painters[index](classes, spacing, rng)
    stain = _stained(classes, spacing, rng)
    if rng.random() < 0.15:
        _streak(stain, rng)
    return Stack(seen(LIGHT * stain, spacing, rng), classes, spacing)


def cached_shapes(count: int, folder: Path, shape: Shape = (40, 128, 128)) -> list[Stack]:
    """Volumes number 0 … count - 1, each generated once and kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    stacks = []
    for seed in range(count):
        path = folder / f"shapes_{seed:03}.npz"
        if not path.is_file():
            with atomic_path(path) as temporary:
                np.savez_compressed(temporary, **vars(shapes_stack(shape, np.random.default_rng(seed))))
        with np.load(path) as saved:
            z, y, x = (float(s) for s in saved["spacing"])
            stacks.append(Stack(saved["image"], saved["objects"], (z, y, x)))
    return stacks


def _places(shape: Shape, spacing: tuple[float, ...]) -> Floats:
    """Where each voxel lies, (voxels, 3), in in-plane voxels."""
    axes = [np.arange(n, dtype=np.float32) * s for n, s in zip(shape, spacing, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _walls(classes: npt.NDArray[np.uint16], spacing: tuple[float, ...], rng: np.random.Generator) -> None:
    """Compartments like cells or neurites: walls where two centres are nearly equally far, bent by smooth noise."""
    shape = classes.shape
    places = _places(shape, spacing)
    size = np.exp(rng.uniform(np.log(8), np.log(40)))
    stretch = np.exp(rng.normal(0, 0.35, 3))
    bend = rng.uniform(0, 0.4) * size
    warped = places + np.stack(
        [bend * smooth_noise(shape, spacing, float(size), rng).ravel() for _ in range(3)], axis=-1
    )
    extent = places.max(0)
    centres = rng.uniform(-0.2, 1.2, (max(4, int(np.prod(1.4 * extent / size))), 3)) * extent
    nearest, _ = cKDTree(centres * stretch).query(warped * stretch, k=2, workers=1)
    thickness = rng.uniform(1.2, max(1.5, 0.2 * size))
    wall = (nearest[:, 1] - nearest[:, 0]) < thickness
    classes[wall.reshape(shape)] = WALL


def _blobs(classes: npt.NDArray[np.uint16], spacing: tuple[float, float, float], rng: np.random.Generator) -> None:
    classes[objects_of(classes.shape, spacing, rng) > 0] = BLOB


def _tubes(classes: npt.NDArray[np.uint16], spacing: tuple[float, ...], rng: np.random.Generator) -> None:
    """Bent tubes, solid or hollow, of one population."""
    extent = np.array(classes.shape) * spacing
    radius, hollow = float(np.exp(rng.uniform(np.log(1.5), np.log(10)))), rng.random() < 0.5
    steps = int(1.5 * extent.max())
    points = []
    for _ in range(rng.integers(2, 14)):
        turn = ndimage.gaussian_filter1d(rng.normal(0, 1, (steps, 3)), rng.uniform(5, 30), axis=0)
        direction = rng.normal(0, 1, 3) + 8 * rng.uniform(0.1, 1) * np.cumsum(turn, axis=0) / 10
        direction /= np.linalg.norm(direction, axis=1, keepdims=True) + 1e-6
        path = np.cumsum(direction, axis=0)
        points.append(path - path[steps // 2] + rng.uniform(0, 1, 3) * extent)
    distance, _ = cKDTree(np.concatenate(points)).query(
        _places(classes.shape, spacing), distance_upper_bound=2 * radius, workers=1
    )
    distance = distance.reshape(classes.shape) * (1 + 0.15 * smooth_noise(classes.shape, spacing, 2 * radius + 4, rng))
    classes[distance < radius] = TUBE
    if hollow and radius > 3:
        classes[distance < rng.uniform(0.4, 0.75) * radius] = LUMEN


def _stained(classes: npt.NDArray[np.uint16], spacing: tuple[float, ...], rng: np.random.Generator) -> Floats:
    """A brightness and a texture for each class."""
    brightness = rng.uniform(0, 1, CLASSES)
    while np.diff(np.sort(brightness)).min() < LEAST_CONTRAST / CLASSES or np.ptp(brightness) < LEAST_CONTRAST:
        brightness = rng.uniform(0, 1, CLASSES)
    stain = np.empty(classes.shape, np.float32)
    for value in range(CLASSES):
        texture = rng.uniform(0, 0.35) * smooth_noise(classes.shape, spacing, float(rng.uniform(2, 12)), rng)
        inside = classes == value
        stain[inside] = brightness[value] * (1 + texture[inside])
    return np.clip(stain, 0, None)


def _streak(stain: Floats, rng: np.random.Generator) -> None:
    """Bright and dark lines through one point of each slice, as metal makes them in CT."""
    _, height, width = stain.shape
    y, x = np.ogrid[:height, :width]
    angle = np.arctan2(y - rng.uniform(0, height), x - rng.uniform(0, width))
    stain += rng.uniform(0.1, 0.5) * np.sin(angle * rng.integers(6, 30) + rng.uniform(0, 6)).astype(np.float32) ** 5
    np.clip(stain, 0, None, out=stain)
