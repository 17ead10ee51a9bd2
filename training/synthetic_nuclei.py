"""Generated 3D nuclei: crowded, deformed ellipsoids as a microscope might see them.

Real labelled stacks are few, so everything that may differ between microscopes and tissues is drawn at random, wider
than reality: the idea of SynthSeg (arXiv 2107.09559).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unetseg.core.io.atomic import atomic_path

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Stack:
    """A generated image (Z, Y, X), float32, the numbered nuclei in it, and its relative spacing."""

    image: Floats
    objects: npt.NDArray[np.uint16]
    spacing: tuple[float, float, float]


def nuclei_stack(shape: tuple[int, int, int], rng: np.random.Generator) -> Stack:
    """Draw one stack; spacing along z is 1 to 4 times that in the plane."""
    anisotropy = float(np.exp(rng.uniform(0, np.log(4)))) if rng.random() < 0.7 else 1.0
    spacing = (anisotropy, 1.0, 1.0)
    objects = objects_of(shape, spacing, rng)
    return Stack(seen(_stained(objects, spacing, rng), spacing, rng), objects, spacing)


def cached_stacks(count: int, folder: Path, shape: tuple[int, int, int] = (48, 112, 112)) -> list[Stack]:
    """Stacks number 0 … count - 1, each generated once and kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_cached(folder / f"nuclei_{seed:03}.npz", shape, seed) for seed in range(count)]


def _cached(path: Path, shape: tuple[int, int, int], seed: int) -> Stack:
    if not path.is_file():
        stack = nuclei_stack(shape, np.random.default_rng(seed))
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, **vars(stack))
    with np.load(path) as saved:
        z, y, x = (float(s) for s in saved["spacing"])
        return Stack(saved["image"], saved["objects"], (z, y, x))


def smooth_noise(shape: tuple[int, ...], spacing: tuple[float, ...], size: float, rng: np.random.Generator) -> Floats:
    """Noise of about unit deviation with features of `size` in-plane voxels."""
    coarse = [max(3, round(n * s / size) + 3) for n, s in zip(shape, spacing, strict=True)]
    noise = rng.standard_normal(coarse).astype(np.float32)
    steps = [min(s / size, (c - 3) / n) for n, s, c in zip(shape, spacing, coarse, strict=True)]
    axes = [1 + step * np.arange(n, dtype=np.float32) for n, step in zip(shape, steps, strict=True)]
    places = np.meshgrid(*axes, indexing="ij")
    return ndimage.map_coordinates(noise, places, order=1, mode="nearest") * 1.5


def objects_of(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], rng: np.random.Generator
) -> npt.NDArray[np.uint16]:
    """Place nuclei of one population one by one where there is room; touching ones are common."""
    radius = float(np.exp(rng.uniform(np.log(4.5), np.log(18))))
    extent = np.array(shape) * spacing
    elongation, gap = rng.uniform(0, 0.5), rng.uniform(0.72, 1.5)
    centres: list[tuple[npt.NDArray[np.float64], float]] = []
    wanted = rng.uniform(0.08, 1.0) * np.prod(extent) / (4.19 * (gap * radius) ** 3)
    for _ in range(int(6 * wanted) + 4):
        centre, size = rng.uniform(-0.3 * radius, extent + 0.3 * radius), radius * np.exp(rng.normal(0, 0.18))
        if all(np.linalg.norm(centre - c) > gap * (size + r) for c, r in centres):
            centres.append((centre, size))
        if len(centres) >= max(2, wanted):
            break
    return _rendered(shape, spacing, centres, elongation, rng)


def _rendered(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    centres: list[tuple[npt.NDArray[np.float64], float]],
    elongation: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint16]:
    """Each voxel belongs to the ellipsoid it lies deepest in, after a common wobble."""
    best = np.ones(shape, np.float32)
    objects = np.zeros(shape, np.uint16)
    wobble = rng.uniform(0.02, 0.14) * smooth_noise(shape, spacing, rng.uniform(6, 14), rng)
    for number, (centre, radius) in enumerate(centres, start=1):
        axes = radius * np.exp(rng.normal(0, elongation / 2, 3))
        turn = np.linalg.qr(rng.standard_normal((3, 3)))[0] / axes[:, None]
        reach = 1.25 * axes.max()
        box = tuple(
            slice(max(0, int((c - reach) / s)), max(0, int((c + reach) / s) + 2))
            for c, s in zip(centre, spacing, strict=True)
        )
        places = np.stack(
            np.meshgrid(
                *(np.arange(*b.indices(n)) * s - c for b, n, s, c in zip(box, shape, spacing, centre, strict=True)),
                indexing="ij",
            ), axis=-1,
        )  # fmt: skip
        depth = np.linalg.norm(places @ turn.T, axis=-1).astype(np.float32) + wobble[box]
        nearer = depth < best[box]
        best[box][nearer] = depth[nearer]
        objects[box][nearer] = number
    return objects


def _stained(objects: npt.NDArray[np.uint16], spacing: tuple[float, float, float], rng: np.random.Generator) -> Floats:
    """Brightness of each nucleus, chromatin texture, dark nucleoli, bright or dark rim, and stain outside."""
    shape, inside = objects.shape, objects > 0
    brightness = np.exp(rng.normal(0, rng.uniform(0.05, 0.5), objects.max() + 1)).astype(np.float32)
    texture = rng.uniform(0, 0.5) * smooth_noise(shape, spacing, rng.uniform(2, 6), rng)
    spots = smooth_noise(shape, spacing, rng.uniform(4, 9), rng) > rng.uniform(1.6, 3)
    stain = brightness[objects] * np.clip(1 + texture, 0.15, None)
    stain[spots] *= rng.uniform(0.1, 0.7)
    if rng.random() < 0.3:
        rim = inside & (ndimage.grey_erosion(objects, (1, 3, 3)) != objects)
        stain[rim] *= rng.uniform(0.6, 1.8)
    outside = rng.uniform(0, 0.35) * np.abs(1 + 0.6 * smooth_noise(shape, spacing, rng.uniform(5, 40), rng))
    return np.where(inside, stain, outside).astype(np.float32)


def seen(stain: Floats, spacing: tuple[float, float, float], rng: np.random.Generator) -> Floats:
    """Point spread, light from out of focus, uneven light, loss with depth, then photon and camera noise."""
    sigma = rng.uniform(0.3, 1.6)
    axial = sigma * rng.uniform(1, 3) / spacing[0]
    image = ndimage.gaussian_filter(stain, (axial, sigma, sigma))
    haze = ndimage.gaussian_filter(stain, (12 / spacing[0], 8, 8))
    image = image + rng.uniform(0, 0.5) * haze
    image *= np.exp(rng.uniform(0, 0.35) * smooth_noise(image.shape, spacing, rng.uniform(40, 90), rng))
    depth = np.linspace(0, 1, image.shape[0], dtype=np.float32)[:: rng.choice([-1, 1])]
    image *= np.exp(-rng.uniform(0, 1.2) * depth)[:, None, None]
    photons = np.exp(rng.uniform(np.log(4), np.log(300)))
    image = rng.poisson(np.clip(image, 0, None) * photons).astype(np.float32) / photons
    image += rng.normal(0, rng.uniform(0, 0.08), image.shape).astype(np.float32)
    if rng.random() < 0.3:  # a microscope's own smoothing, or a resampled stack
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 0.9))
    return image.astype(np.float32)
