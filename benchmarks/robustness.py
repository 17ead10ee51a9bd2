"""How much the bundled models lose on held-out images that are changed: brightness, voxel size, noise, orientation.

``python benchmarks/robustness.py --data DIR [NAME…]`` measures Dice on the images of each card, as they are and changed
together with their truth, the voxel size given, and prints a Markdown table.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unetseg import load_model, segment
from napari_unetseg.core.models.card import VerificationSet
from napari_unetseg.core.models.catalogue import list_models
from napari_unetseg.core.models.verification import Example, examples, figures, mean_scores
from napari_unetseg.engine.networks.model_file import Model

Array = npt.NDArray[Any]
Zoom = tuple[float, ...]
ONE_WAY_ROUND = ("hippocampus-3d",)
"""Models of what always lies the same way in a scanner."""
NOISE = 0.05
"""Standard deviation, as a share of the range between the 1st and the 99th percentile."""
GAMMA = 1.5


def inverted(example: Example) -> Example:
    """Bright becomes dark."""
    array = example.volume.array.astype(np.float32)
    return _with_image(example, array.max() + array.min() - array)


def stretched(example: Example) -> Example:
    """Three times the range, an offset, and an exponent."""
    array = example.volume.array.astype(np.float32)
    low, high = array.min(), array.max()
    return _with_image(example, 3 * (high - low) * ((array - low) / max(high - low, 1e-6)) ** GAMMA + 100)


def noisy(example: Example) -> Example:
    """Gaussian noise."""
    array = example.volume.array.astype(np.float32)
    low, high = np.percentile(array, (1, 99))
    noise = np.random.default_rng(0).standard_normal(array.shape, dtype=np.float32)
    return _with_image(example, array + NOISE * (high - low) * noise)


def turned(example: Example) -> Example:
    """By 90° in the plane."""
    return _with(example, lambda image: np.rot90(image, axes=(-2, -1)), lambda truth: np.rot90(truth, axes=(-2, -1)))


def finer(example: Example) -> Example:
    """Half the voxel size."""
    return _resampled(example, tuple(map(float, _steps(example))), _nearest)


def coarser(example: Example) -> Example:
    """Twice the voxel size; the image is smoothed first, as a coarser microscope would. An odd last voxel goes."""
    steps = _steps(example)
    even = tuple(slice(0, length // step * step) for length, step in zip(example.volume.shape, steps, strict=True))
    example = _with(example, lambda image: image[:, *even], lambda truth: truth[even])
    return _resampled(example, tuple(1 / step for step in steps), _majority)


CHANGES: dict[str, Callable[[Example], Example]] = {
    "as it is": lambda example: example,
    "inverted": inverted,
    "stretched": stretched,
    "0.5 × voxel size": finer,
    "2 × voxel size": coarser,
    "noise": noisy,
    "turned by 90°": turned,
}


def _with_image(example: Example, image: Array) -> Example:
    return _with(example, lambda _: image, lambda truth: truth)


def _with(example: Example, image: Callable[[Array], Array], truth: Callable[[Array], Array]) -> Example:
    volume, labels = example.volume, example.truth
    return Example(
        replace(volume, array=np.ascontiguousarray(image(volume.array))),
        replace(labels, array=np.ascontiguousarray(truth(labels.array))),
    )


def _steps(example: Example) -> tuple[int, ...]:
    """By how much each axis is resampled: a 2D image keeps its one slice."""
    return tuple(1 if length == 1 else 2 for length in example.volume.shape)


def _resampled(example: Example, zoom: Zoom, truth: Callable[[Array, Zoom], Array]) -> Example:
    """On a grid with `zoom` times as many voxels along each axis."""
    blur = [0.0, *(0.5 / f if f < 1 else 0.0 for f in zoom)]

    def image(array: Array) -> Array:
        smooth = ndimage.gaussian_filter(array.astype(np.float32), blur)
        return ndimage.zoom(smooth, (1, *zoom), order=1, grid_mode=True, mode="nearest")

    changed = _with(example, image, lambda labels: truth(labels, zoom))
    spacing = tuple(length / f for length, f in zip(example.volume.grid.spacing, zoom, strict=True))
    grid = replace(example.volume.grid, spacing=spacing)
    return Example(replace(changed.volume, grid=grid), replace(changed.truth, grid=grid))


def _nearest(labels: Array, zoom: Zoom) -> Array:
    return ndimage.zoom(labels, zoom, order=0, grid_mode=True, mode="nearest")


def _majority(labels: Array, zoom: Zoom) -> Array:
    """The label that most of the voxels have which a coarse one covers; the highest of those that are even.

    The nearest one would not do: the middle of a coarse voxel lies between fine ones, so that it is half a voxel away.
    """
    steps = [round(1 / f) for f in zoom]
    corners = itertools.product(*(range(step) for step in steps))
    covered = np.stack([labels[tuple(map(slice, corner, labels.shape, steps))] for corner in corners])
    votes = np.array([(covered == one).sum(0) for one in covered])
    best = np.where(votes == votes.max(0), covered, 0)
    return best.max(0)


def dice(model: Model, rule: VerificationSet, data: Path, change: Callable[[Example], Example]) -> float:
    """Mean over images and structures."""
    found = []
    for example in map(change, examples(rule, data)):
        predicted = segment(example.volume, model).labels
        found += list(figures(rule, predicted, example.truth, model.card.structures))
    return float(np.mean([score.value for score in mean_scores(rule.name, found) if score.metric == "Dice"]))


def rows(name: str, data: Path) -> Iterator[str]:
    """A line for each group of held-out images."""
    model = load_model(name)
    for rule in model.card.held_out:
        values = [
            float("nan") if change is turned and name in ONE_WAY_ROUND else dice(model, rule, data, change)
            for change in CHANGES.values()
        ]
        cells = ["–" if np.isnan(value) else f"{value:.3f}" for value in values]
        yield f"| {name} | {rule.name} | {' | '.join(cells)} | {values[0] - np.nanmin(values):.3f} |"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models; default: all that have held-out images")
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    options = parser.parse_args()
    names = options.names or [card.name for card in list_models() if card.held_out]
    print(f"| model | held-out images | {' | '.join(CHANGES)} | most that is lost |\n|{'---|' * (len(CHANGES) + 3)}")
    for name in names:
        for row in rows(name, options.data):
            print(row, flush=True)


if __name__ == "__main__":
    main()
