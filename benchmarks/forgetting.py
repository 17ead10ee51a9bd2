"""Whether a model forgets structures that nobody painted when it goes on learning from paint on another.

``python benchmarks/forgetting.py --data DIR`` takes a held-out case of `hippocampus-3d`, paints its *anterior* part and
background on three slices, and lets the model learn from them for `--steps`, without a teacher and with the frozen
one (`keep_structures`). It prints the Dice of both parts on the slices without paint, before and after.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewshot import facts
from fewshot_volumes import labelled
from napari_unetseg.api import load_model
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot.run import AnnotationDataset, FineTuningRun
from napari_unetseg.engine.fewshot.unet import UNetFineTuner
from napari_unetseg.engine.fewshot.validation import VALIDATION_SHARE, Schedule, class_dice
from napari_unetseg.engine.inference.predict import iter_predict
from napari_unetseg.engine.networks.model_file import Model

ANTERIOR, POSTERIOR = 1, 2


def scores(model: Model, volume: Volume, labels: np.ndarray, off: np.ndarray) -> str:
    """Dice of the anterior and the posterior part on the slices `off` the paint, as cells of a table."""
    found = finish(iter_predict(model, volume, SegmentSettings(device="cpu"))).classes
    dice = class_dice(*(torch.from_numpy(part[off].astype(np.int64)).flatten() for part in (found, labels)))
    return f"{dice[ANTERIOR]:.3f} | {dice[POSTERIOR]:.3f}"


def trained(start: Model, dataset: AnnotationDataset, steps: int, strength: float) -> Model:
    """The start, trained on all of the paint, whether or not that made it better."""
    settings = FineTuneSettings(steps=int(steps / (1 - VALIDATION_SHARE)), device="cpu", keep_structures=True)
    run = FineTuningRun(dataset, start, settings)
    fitted = finish(UNetFineTuner(run, Schedule.of(run), strength).fit("refit"))
    if fitted is None:
        raise SystemExit("The loss of training was not a number.")
    return replace(start, network=fitted.network)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    parser.add_argument("--steps", type=int, default=30, help="of training, each time")
    asked: Any = parser.parse_args()
    volume, labels = labelled(asked.data, "hippocampus")
    filled = [z for z, plane in enumerate(labels) if (plane == ANTERIOR).any()]
    slices = [filled[int((i + 0.5) * len(filled) / 3)] for i in range(3)]
    painted = np.zeros_like(labels)
    painted[slices] = np.where(labels[slices] == POSTERIOR, 0, labels[slices] + 1)
    off = ~np.isin(np.arange(len(labels)), slices)
    start, dataset = load_model("hippocampus-3d"), AnnotationDataset([volume], [painted])
    print(f"{facts()} {asked.steps} steps.\n")
    print("| hippocampus-3d | anterior (painted) | posterior (not painted) |\n|---|---|---|")
    print(f"| before | {scores(start, volume, labels, off)} |", flush=True)
    for name, strength in (("after, without a teacher", 0.0), ("after, with the frozen teacher", 1.0)):
        print(f"| {name} | {scores(trained(start, dataset, asked.steps, strength), volume, labels, off)} |", flush=True)


if __name__ == "__main__":
    main()
