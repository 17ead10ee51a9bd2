"""Whether *Where next* is worth a click: Dice off the paint when slices are added by our choice, evenly, at random.

``python benchmarks/next_slice.py --data DIR`` paints the middle slice of labelled volumes, and then one slice after
another up to `--slices`, each chosen from what the light head predicts; beside it, as many slices evenly spaced from
the beginning (an annotator who knows how many there will be) and random ones (the mean of `--draws`). It prints the
mean Dice over the structures, on all slices that nobody of the three has painted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewshot import VOLUMES, dice, facts, labelled
from napari_unetseg.api import load_model
from napari_unetseg.core.annotations.next_slice import UncertaintyMap, next_slice
from napari_unetseg.core.annotations.sparse_labels import hold_out
from napari_unetseg.core.models.catalogue import list_models
from napari_unetseg.core.models.fine_tuned_card import starting_model
from napari_unetseg.core.progress import finish
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot.fit_head import iter_fit_head
from napari_unetseg.engine.fewshot.run import feature_sources
from napari_unetseg.engine.fewshot.session import QUICK
from napari_unetseg.engine.fewshot.slice_predictor import prediction_of
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier

SMALL = ("nuclei, plant", "nuclei, embryo", "membranes, light", "membranes, EM", "hippocampus")


class Annotator:
    """Paints whole slices of one volume, and sees what the light head makes of them."""

    def __init__(self, volume: Volume, labels: np.ndarray, start: str | None) -> None:
        self.labels = labels
        self.sources = feature_sources([volume], load_model(start) if start else None, "cpu")
        self._seen: dict[tuple[int, ...], tuple[np.ndarray, UncertaintyMap]] = {}

    def predicted(self, slices: Sequence[int]) -> tuple[np.ndarray, UncertaintyMap]:
        """Output labels (Z, Y, X) when these slices are painted, and the doubt about them."""
        key = tuple(sorted(slices))
        if key not in self._seen:
            painted = np.zeros_like(self.labels)
            painted[list(key)] = self.labels[list(key)] + 1
            fitted = finish(iter_fit_head(self.sources, [painted], hold_out([painted])[1], QUICK))
            network = PixelClassifier(self.sources[0].extractor, fitted.head).eval()
            found, uncertainties = np.zeros_like(self.labels), UncertaintyMap(self.labels.shape)
            with torch.inference_mode():
                for z in range(len(self.labels)):
                    seen = prediction_of(network(self.sources[0][z]))
                    found[z] = seen.labels
                    uncertainties.put(z, seen.summary)
            self._seen[key] = (found, uncertainties)
        return self._seen[key]

    def ours(self, count: int) -> list[int]:
        """The middle slice, and then what is advised."""
        slices = [len(self.labels) // 2]
        while len(slices) < count:
            _, uncertainties = self.predicted(slices)
            is_painted = np.isin(np.arange(len(self.labels)), slices)
            advised = next_slice(uncertainties.along(0), is_painted)
            slices.append(advised if advised is not None else slices[0])
        return slices


def evenly(length: int, count: int) -> list[int]:
    """Slices in the middle of as many equal parts."""
    return [int((i + 0.5) * length / count) for i in range(count)]


def compared(annotator: Annotator, count: int, draws: int) -> list[float]:
    """Dice of our choice, of evenly spaced slices and of random ones, all on the slices that none of them paints."""
    length = len(annotator.labels)
    generator = np.random.default_rng(0)
    rest = [z for z in range(length) if z != length // 2]
    random = [[length // 2, *generator.choice(rest, count - 1, replace=False).tolist()] for _ in range(draws)]
    choices = [annotator.ours(count), evenly(length, count), *random]
    off = ~np.isin(np.arange(length), sorted({z for slices in choices for z in slices}))
    scores = [dice(annotator.predicted(slices)[0][off], annotator.labels[off]) for slices in choices]
    return [scores[0], scores[1], float(np.mean(scores[2:]))]


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    parser.add_argument("--volumes", nargs="*", choices=list(VOLUMES), default=list(SMALL))
    parser.add_argument("--slices", type=int, default=5, help="most slices that are painted")
    parser.add_argument("--draws", type=int, default=3, help="of random slices")
    parser.add_argument("--model", default=starting_model(list_models()), help="what the light head begins with")
    arguments: Any = parser.parse_args()
    counts = range(2, arguments.slices + 1)
    print(f"{facts()} Beginning with {arguments.model}. Our choice / evenly spaced / random.\n")
    print(f"| volume | {' | '.join(f'{count} slices' for count in counts)} |\n|{'---|' * (len(counts) + 1)}")
    rows = []
    for name in arguments.volumes:
        volume, labels = labelled(arguments.data, name)
        annotator = Annotator(volume, labels, arguments.model)
        rows.append([compared(annotator, count, arguments.draws) for count in counts])
        print(f"| {name} | {' | '.join(_cell(scores) for scores in rows[-1])} |", flush=True)
    print(f"| **mean** | {' | '.join(_cell(scores) for scores in np.mean(rows, axis=0).tolist())} |")


def _cell(scores: Sequence[float]) -> str:
    return " / ".join(f"{score:.3f}" for score in scores)


if __name__ == "__main__":
    main()
