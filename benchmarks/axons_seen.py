"""What the labels of axons and myelin allow: `axon-myelin-2d` on the very images that it was trained on.

``python benchmarks/axons_seen.py --data DIR`` prints a line for each of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_unetseg import load_model, segment
from napari_unetseg.core.models.verification import examples, figures

SEEN = ("sub-rat1", "sub-rat3", "sub-rat5")
"""The animals that `training/splits.toml` leaves to training."""


def main() -> None:
    """Print the Dice of each structure, image by image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    data, model = parser.parse_args().data, load_model("axon-myelin-2d")
    for rule in (rule.model_copy(update={"begins": SEEN}) for rule in model.card.held_out):
        for example in examples(rule, data):
            found = figures(rule, segment(example.volume, model).labels, example.truth, model.card.structures)
            print(example.volume.name, *(f"{structure} {value:.3f}" for structure, _, value in found), flush=True)


if __name__ == "__main__":
    main()
