"""The whole table of surface and overlap figures beside MONAI's surface metrics: time, memory, agreement.

Run it with ``python benchmarks/metrics.py``; MONAI must be installed. Each tool works in a fresh process on the same
volume. MONAI is given one structure at a time, as cheap as it gets: all of them at once, one-hot, would need eleven
volumes of floats twice. Its three calls leave out overlap, boundary Dice and parts, which are in our time.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import platform
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import psutil
from scipy import ndimage

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.volume import Labels

GRID = Grid((2.0, 1.0, 1.0), "mm")
STRUCTURES = 10
TOLERANCE = 2.0
FIGURES = ("hausdorff", "assd", "nsd")
LabelArray = npt.NDArray[np.uint8]
Result = tuple[float, float, float, npt.NDArray[np.float64]]


def volumes(shape: tuple[int, int, int]) -> tuple[LabelArray, LabelArray]:
    """A reference of bumpy ellipsoids and a prediction that is moved and has other bumps."""
    rng = np.random.default_rng(0)
    steps = np.ogrid[tuple(slice(0, 1, length * 1j) for length in shape)]
    pair = []
    for shift in (0.0, 0.01):
        labels = np.zeros(shape, np.uint8)
        coarse = rng.normal(scale=0.15, size=(9, 17, 17)).astype(np.float32)
        bumps = ndimage.zoom(coarse, np.array(shape) / coarse.shape, order=1)
        for label in range(1, STRUCTURES + 1):
            row, column = divmod(label - 1, 5)
            centre = (0.3 + 0.4 * row + shift, 0.1 + 0.2 * column, 0.25 + 0.5 * (label % 2) + shift)
            radii = (0.17, 0.09, 0.2)
            distance = sum(((s - c) / r) ** 2 for s, c, r in zip(steps, centre, radii, strict=True))
            labels[distance + bumps < 1] = label
        pair.append(labels)
    return pair[1], pair[0]


def ours(predicted: LabelArray, reference: LabelArray) -> npt.NDArray[np.float64]:
    """Every figure of every structure; three of them are compared."""
    evaluation = evaluate(Labels(predicted, GRID), Labels(reference, GRID))
    return np.array([[getattr(score, name) for name in FIGURES] for score in evaluation.structures])


def monais(predicted: LabelArray, reference: LabelArray) -> npt.NDArray[np.float64]:
    """The same three figures by MONAI."""
    import torch
    from monai import metrics

    rows = []
    for label in range(1, STRUCTURES + 1):
        pair = [torch.from_numpy(array == label)[None, None] for array in (predicted, reference)]
        options = {"include_background": True, "spacing": list(GRID.spacing)}
        rows.append(
            [
                metrics.compute_hausdorff_distance(*pair, **options).item(),
                metrics.compute_average_surface_distance(*pair, symmetric=True, **options).item(),
                metrics.compute_surface_dice(*pair, class_thresholds=[TOLERANCE], **options).item(),
            ]
        )
    return np.array(rows)


def measured(tool: Callable[..., npt.NDArray[np.float64]], shape: tuple[int, int, int]) -> Result:
    """Seconds, seconds of all cores, peak memory in GB above that of the two volumes, and the figures."""
    tool(*volumes((16, 32, 32)))  # imports and first calls
    pair = volumes(shape)
    with ThreadPoolExecutor(1) as watcher:
        done = threading.Event()
        peak = watcher.submit(highest_memory, done)
        started = time.perf_counter(), time.process_time()
        figures = tool(*pair)
        seconds, of_cores = time.perf_counter() - started[0], time.process_time() - started[1]
        done.set()
    return seconds, of_cores, peak.result(), figures


def highest_memory(done: threading.Event) -> float:
    """GB that this process takes at most until `done`, more than now."""
    process = psutil.Process()
    first = highest = process.memory_info().rss
    while not done.wait(0.005):
        highest = max(highest, process.memory_info().rss)
    return (highest - first) / 1e9


def main() -> None:
    """Run both tools and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 512, 512))
    shape = tuple(parser.parse_args().shape)
    results = {}
    for name, tool in {"napari-unetseg": ours, f"MONAI {version('monai')}": monais}.items():
        with multiprocessing.get_context("spawn").Pool(1) as process:
            results[name] = process.apply(measured, (tool, shape))
    print(f"{' × '.join(map(str, shape))}, {STRUCTURES} structures, spacing 2 × 1 × 1 mm; {machine()}\n")
    print("| tool | seconds | seconds of all cores | GB above the volumes |\n|---|---|---|---|")
    for name, (seconds, of_cores, memory, _) in results.items():
        print(f"| {name} | {seconds:.1f} | {of_cores:.1f} | {memory:.2f} |")
    (mine, my_cores, _, figures), (theirs, their_cores, _, expected) = results.values()
    print(f"\n{theirs / mine:.1f} times as fast ({their_cores / my_cores:.1f} times by the cores' seconds)")
    print(f"Largest relative difference of the three figures: {difference(figures, expected):.1e}")


def difference(figures: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> float:
    """Largest relative difference of two tables."""
    return float(np.max(np.abs(figures - expected) / np.abs(expected)))


def machine() -> str:
    """Where and when it ran."""
    processors = multiprocessing.cpu_count()
    return f"{processors} cores ({platform.machine()}), Python {platform.python_version()}, {datetime.date.today()}"


if __name__ == "__main__":
    main()
