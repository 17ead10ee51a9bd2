"""How good learning from a few painted slices is, off those slices, beside a random forest on hand-made features.

``python benchmarks/fewshot.py --data DIR --csv rows.csv`` lets an annotator paint evenly spaced slices of volumes that
no bundled model was trained on, whole slices (`--shares 1`) or scribbles (`--shares 0.02`), lets every contender learn
from them, and scores it on the slices without paint: Dice, mean over structures; its fall from the slices nearest to
the paint to the farthest; the seconds that it took and those of all cores. Each row is appended to the file as it
comes, and what is there already is not measured again, so a run may be stopped, and a table gathered from several.
`--volumes`, `--contenders`, `--slices` and `--starts` choose; ``--starts none`` begins with random weights.
At the end it prints Markdown of the rows that were asked for, and a summary of the whole file; ``--table`` does only
that.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewshot_tables import FORESTS, LIGHT, NO_START, Row, Trial, append_row, read_rows, summary, table
from fewshot_volumes import VOLUMES, labelled
from napari_unetseg.api import load_model
from napari_unetseg.core.models.catalogue import list_models
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings, starting_model
from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot.fine_tune import iter_fine_tune
from napari_unetseg.engine.fewshot.run import AnnotationDataset, FineTuningRun
from napari_unetseg.engine.inference.predict import iter_predict

Learner = Callable[[Volume, np.ndarray, str], np.ndarray]
"""Output labels of a volume, from its painted labels and the name of the model to begin with."""
NOTHING = "none"


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


def forest(*, flat: bool) -> Learner:
    """A random forest on scikit-image's features, with the settings of its gallery."""

    def learned(volume: Volume, painted: np.ndarray, _: str) -> np.ndarray:
        from skimage.feature import multiscale_basic_features
        from sklearn.ensemble import RandomForestClassifier

        def features(image: np.ndarray) -> np.ndarray:
            return multiscale_basic_features(
                image, intensity=True, edges=False, texture=True, sigma_min=1, sigma_max=16
            )

        image = volume.array[0].astype(np.float32)
        found = np.stack([features(plane) for plane in image]) if flat else features(image)
        known = painted > 0
        model = RandomForestClassifier(n_estimators=50, n_jobs=-1, max_depth=10, max_samples=0.05, random_state=0)
        model.fit(found[known], painted[known])
        return model.predict(found.reshape(-1, found.shape[-1])).reshape(painted.shape) - 1

    return learned


def ours(minutes: float, **asked: Any) -> Learner:
    """What `fine_tune` and `segment` give; in no minutes, that is the light head."""

    def learned(volume: Volume, painted: np.ndarray, start: str) -> np.ndarray:
        limit = {"minutes": minutes} if minutes else {"steps": 0}
        settings = FineTuneSettings(**limit, device="cpu", **asked)
        model = load_model(start) if start != NOTHING else None
        tuned = finish(iter_fine_tune(FineTuningRun(AnnotationDataset([volume], [painted]), model, settings)))
        return finish(iter_predict(tuned.model, volume, SegmentSettings(device="cpu"))).classes

    return learned


CEILING = "60 s, every other slice"
CONTENDERS: dict[str, Learner] = {
    "forest 2D": forest(flat=True),
    "forest 3D": forest(flat=False),
    LIGHT: ours(0),
    "60 s": ours(1),
    "300 s": ours(5),
    "U-Net itself, 60 s": ours(1, whole=True),
    CEILING: ours(1),
}


def dice(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the structures that are there: 2 |P ∩ L| / (|P| + |L|)."""
    found = [
        2 * ((predicted == s) & (labels == s)).sum() / ((predicted == s).sum() + (labels == s).sum())
        for s in np.unique(labels[labels > 0])
    ]
    return float(np.mean(found)) if found else float("nan")


def measure(data: Path, trial: Trial, seed: int) -> Row | None:
    """Paint, learn, predict, and score on the slices without paint; None where there is none."""
    volume, labels = labelled(data, trial.volume)
    slices = [int((i + 0.5) * len(labels) / trial.slices) for i in range(trial.slices)]
    painted = paint(labels, slices, trial.share, seed)
    away = np.abs(np.arange(len(labels))[:, None] - slices).min(1)
    off = away > 0
    if trial.contender == CEILING:
        painted = np.maximum(painted, paint(labels, list(range(0, len(labels), 2)), 1, seed))
        off &= np.arange(len(labels)) % 2 == 1
    if not off.any():
        return None
    began, cores = time.perf_counter(), time.process_time()
    predicted = CONTENDERS[trial.contender](volume, painted, trial.start)
    seconds, core_seconds = time.perf_counter() - began, time.process_time() - cores
    near, far = ((away == distance) & off for distance in (away[off].min(), away[off].max()))
    fall = dice(predicted[near], labels[near]) - dice(predicted[far], labels[far])
    return Row(
        **asdict(trial), dice=dice(predicted[off], labels[off]), fall=fall, seconds=seconds, core_seconds=core_seconds
    )


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
    """Measure what is asked for, row by row, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the labelled sets")
    parser.add_argument("--csv", type=Path, default=Path("fewshot.csv"), help="file of the rows")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what the file has")
    parser.add_argument("--volumes", nargs="*", choices=list(VOLUMES), default=list(VOLUMES))
    parser.add_argument("--contenders", nargs="*", choices=list(CONTENDERS), default=list(CONTENDERS)[:4])
    parser.add_argument("--slices", type=int, nargs="*", default=[3], help="slices that are painted: 1 3 5 9")
    parser.add_argument("--shares", type=float, nargs="*", default=[1.0], help="painted of each; 0.02: scribbles")
    parser.add_argument("--starts", nargs="*", default=[starting_model(list_models()) or NOTHING])
    parser.add_argument("--seed", type=int, default=0, help="of the scribbles")
    asked: Any = parser.parse_args()
    rows = read_rows(asked.csv)
    known = {Trial(*(getattr(row, f.name) for f in fields(Trial))) for row in rows}
    for trial in [] if asked.table else trials(asked):
        row = measure(asked.data, trial, asked.seed) if trial not in known else None
        if row is not None:
            rows.append(row)
            append_row(asked.csv, row)
            known.add(trial)
    shown = [row for row in rows if is_asked_for(row, asked)]
    print(f"{facts()}\nDice off the paint (fall from near to far, seconds of all cores).")
    print(table(shown, list(CONTENDERS), CEILING))
    print(summary(rows, asked.starts[0]))


def is_asked_for(row: Row, asked: Any) -> bool:
    """Whether a row is among those to show."""
    return (
        row.volume in asked.volumes
        and row.contender in asked.contenders
        and row.slices in asked.slices
        and row.share in asked.shares
        and row.start in (NO_START, *asked.starts)
    )


def trials(asked: Any) -> list[Trial]:
    """Everything asked for; what begins with nothing is not repeated for each start."""
    return [
        Trial(volume, slices, share, contender, NO_START if contender in FORESTS else start)
        for share in asked.shares
        for slices in asked.slices
        for start in asked.starts
        for contender in asked.contenders
        for volume in asked.volumes
    ]


if __name__ == "__main__":
    main()
