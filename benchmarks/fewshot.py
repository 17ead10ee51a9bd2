"""How good learning from a few painted slices is, off those slices, beside a random forest on hand-made features.

``python benchmarks/fewshot.py --data DIR`` paints `--slices` evenly spaced slices of labelled volumes, dense or as
scribbles, lets every contender learn from them, and prints a Markdown table: Dice on the slices without paint, mean
over structures, with its fall from the nearest to the farthest slices and the seconds it took. `--volumes` and
`--contenders` choose some of each.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_unetseg.api import load_labels, load_model, load_volume
from napari_unetseg.core.fine_tuning import FineTuneSettings, starting_model
from napari_unetseg.core.models import list_models
from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Grid, Volume
from napari_unetseg.engine.finetune import iter_fine_tune
from napari_unetseg.engine.lesson import Lesson
from napari_unetseg.engine.predict import iter_predict

Labelled = tuple[Volume, np.ndarray]
ToOutput = Callable[[np.ndarray], np.ndarray]
# fmt: off
VOLUMES: dict[str, tuple[str, str, int, ToOutput, tuple[float, float, float]]] = {
    "nuclei, plant": ("nuclei3d/plant_1135_image.tif", "_label", 1, np.sign, (0.28, 0.127, 0.127)),
    "nuclei, embryo": ("nuclei3d/embryo_16cell_image.tif", "_label", 1, np.sign, (1.75, 0.8, 0.8)),
    "membranes, light": ("cells3d/ovule_image.tif", "_boundary", 1, np.sign, (0.235, 0.15, 0.15)),
    "membranes, EM": ("em3d/gala_image.tif", "_label", 1, lambda labels: labels == 0, (1, 1, 1)),
    "chloroplasts": ("chloroplast2d/image.tif", "label", 4, np.sign, (4, 1, 1)),
    "sandstone": ("sandstone2d/image.tif", "label", 2, lambda labels: labels - labels.min(), (50, 1, 1)),
    "sarcoma, CT": ("sarcoma3d/STS_001_CT_image.nii.gz", "_mask", 1, np.sign, (3.3, 1, 1)),
    "hippocampus": ("hippocampus3d/images/hippocampus_001.nii.gz", "labels", 1, np.asarray, (1, 1, 1)),
}
# fmt: on
"""Image, what its labels have in place of ``_image`` or ``images``, every how many pixels are taken, labels to output
labels, and the voxel size."""


def labelled(data: Path, name: str) -> Labelled:
    """A volume and its output labels (Z, Y, X)."""
    image, kind, every, to_output, spacing = VOLUMES[name]
    label = image.replace("_image" if kind.startswith("_") else "images" if kind == "labels" else "image", kind)
    volume, labels = load_volume(data / image), load_labels(data / label).array
    thin = (slice(None), slice(None, None, every), slice(None, None, every))
    output = np.asarray(to_output(labels[thin].astype(np.int64))).astype(np.uint8)
    return Volume(volume.array[:, *thin], Grid(spacing), name=name), output


def paint(labels: np.ndarray, slices: list[int], share: float, seed: int) -> np.ndarray:
    """Painted labels: whole slices, or strokes of one class each that cover `share` of them."""
    painted = np.zeros_like(labels)
    if share >= 1:
        painted[slices] = labels[slices] + 1
        return painted
    rng = np.random.default_rng(seed)
    for z in slices:
        present = np.unique(labels[z])
        for label in present:
            _scribble(painted[z], labels[z] == label, label + 1, share * labels[z].size / len(present), rng)
    return painted


def _scribble(plane: np.ndarray, where: np.ndarray, value: int, pixels: float, rng: np.random.Generator) -> None:
    """Straight strokes, 3 pixels wide and 20 long, from random places of a class, until enough of it is painted."""
    places = np.argwhere(where)
    for _ in range(1000):
        if (plane == value).sum() >= min(pixels, len(places)):
            return
        y, x = places[rng.integers(len(places))]
        angle = rng.random() * np.pi
        along = np.arange(-10, 11)
        for offset in (-1, 0, 1):
            rows = np.clip(np.round(y + along * np.sin(angle) + offset).astype(int), 0, plane.shape[0] - 1)
            columns = np.clip(np.round(x + along * np.cos(angle)).astype(int), 0, plane.shape[1] - 1)
            inside = where[rows, columns]
            plane[rows[inside], columns[inside]] = value


def forest(volume: Volume, painted: np.ndarray, flat: bool) -> np.ndarray:
    """A random forest on scikit-image's features, with the settings of its gallery."""
    from skimage.feature import multiscale_basic_features
    from sklearn.ensemble import RandomForestClassifier

    def features(image: np.ndarray) -> np.ndarray:
        return multiscale_basic_features(image, intensity=True, edges=False, texture=True, sigma_min=1, sigma_max=16)

    image = volume.array[0].astype(np.float32)
    found = np.stack([features(plane) for plane in image]) if flat else features(image)
    known = painted > 0
    model = RandomForestClassifier(n_estimators=50, n_jobs=-1, max_depth=10, max_samples=0.05, random_state=0)
    model.fit(found[known], painted[known])
    return model.predict(found.reshape(-1, found.shape[-1])).reshape(painted.shape) - 1


def ours(volume: Volume, painted: np.ndarray, minutes: float, start: str | None) -> np.ndarray:
    """What `fine_tune` and `segment` give; in no minutes, that is the light head."""
    loaded = load_model(start) if start is not None else None
    settings = FineTuneSettings(minutes=minutes, device="cpu") if minutes else FineTuneSettings(steps=0, device="cpu")
    tuned = finish(iter_fine_tune(Lesson([volume], [painted]), loaded, settings))
    return finish(iter_predict(tuned.model, volume, SegmentSettings(device="cpu"))).classes


def contenders(labels: np.ndarray, start: str | None) -> dict[str, Callable[[Volume, np.ndarray], np.ndarray]]:
    """Everything that learns from paint, by the name of its column."""
    every_other = paint(labels, list(range(0, len(labels), 2)), 1, 0)
    return {
        "forest 2D": lambda volume, painted: forest(volume, painted, flat=True),
        "forest 3D": lambda volume, painted: forest(volume, painted, flat=False),
        "light head": lambda volume, painted: ours(volume, painted, 0, start),
        "60 s": lambda volume, painted: ours(volume, painted, 1, start),
        "60 s, from nothing": lambda volume, painted: ours(volume, painted, 1, None),
        "300 s": lambda volume, painted: ours(volume, painted, 5, start),
        "60 s, every other slice": lambda volume, painted: ours(volume, np.maximum(painted, every_other), 1, start),
    }


def dice(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the structures that are there: 2 |P ∩ L| / (|P| + |L|)."""
    found = [
        2 * ((predicted == s) & (labels == s)).sum() / ((predicted == s).sum() + (labels == s).sum())
        for s in np.unique(labels[labels > 0])
    ]
    return float(np.mean(found)) if found else float("nan")


def measure(data: Path, name: str, chosen: list[str], arguments: argparse.Namespace) -> list[str]:
    """One row: the volume, each contender's Dice off the paint with its fall from near to far, and its seconds."""
    volume, labels = labelled(data, name)
    slices = [int((i + 0.5) * len(labels) / arguments.slices) for i in range(arguments.slices)]
    painted = paint(labels, slices, arguments.share, arguments.seed)
    away = np.abs(np.arange(len(labels))[:, None] - slices).min(1)
    cells = [f"{name}, {' × '.join(map(str, labels.shape))}"]
    for contender in chosen:
        began = time.perf_counter()
        predicted = contenders(labels, arguments.model)[contender](volume, painted)
        seconds = time.perf_counter() - began
        off = away > 0 if contender != "60 s, every other slice" else (away > 0) & (np.arange(len(labels)) % 2 == 1)
        near, far = ((away == d) & off for d in (away[off].min(), away[off].max()))
        fall = dice(predicted[near], labels[near]) - dice(predicted[far], labels[far])
        cells.append(f"{dice(predicted[off], labels[off]):.3f} ({fall:+.2f}, {seconds:.0f} s)")
    return cells


def facts() -> str:
    """The machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    processor = names[0] if names else platform.processor()
    return (
        f"{processor}, {os.cpu_count()} cores, PyTorch {torch.__version__} with {torch.get_num_threads()} threads; "
        f"load when it began {load:.1f}."
    )


def main() -> None:
    """Print the table, row by row."""
    known = list(contenders(np.zeros((2, 1, 1), np.uint8), None))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    parser.add_argument("--volumes", nargs="*", choices=list(VOLUMES), default=list(VOLUMES))
    parser.add_argument("--contenders", nargs="*", choices=known, default=known[:4])
    parser.add_argument("--slices", type=int, default=3, help="slices that are painted")
    parser.add_argument("--share", type=float, default=1.0, help="of each slice that is painted; 0.02: scribbles")
    parser.add_argument("--model", default=starting_model(list_models()), help="what our own begin with")
    parser.add_argument("--seed", type=int, default=0, help="of the scribbles")
    arguments: Any = parser.parse_args()
    print(f"{facts()} {arguments.slices} slices, {arguments.share:.0%} painted, beginning with {arguments.model}.\n")
    print(f"| volume | {' | '.join(arguments.contenders)} |\n|{'---|' * (len(arguments.contenders) + 1)}")
    for name in arguments.volumes:
        print(f"| {' | '.join(measure(arguments.data, name, arguments.contenders, arguments))} |", flush=True)


if __name__ == "__main__":
    main()
