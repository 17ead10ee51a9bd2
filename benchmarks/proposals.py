"""Which model is proposed for held-out images, when nothing is known of them but the image itself.

``python benchmarks/proposals.py --data DIR`` takes the voxel size away, lets `rank_models` choose among all bundled
models of the image's dimensions by its look, and prints a Markdown table.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path

from napari_unetseg.core.choice import rank_models
from napari_unetseg.core.held_out import examples
from napari_unetseg.core.looks import look_of
from napari_unetseg.core.models import list_models
from napari_unetseg.core.volume import Grid


def main() -> None:
    """Print a line for each group of held-out images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    data, cards = parser.parse_args().data, list_models()
    print("| held-out images | their model | it is proposed first | instead of it |\n|---|---|---|---|")
    for card in cards:
        for rule in card.held_out:
            volumes = [replace(example.volume, grid=Grid()) for example in examples(rule, data)]
            first = Counter(rank_models(cards, volume, look_of(volume))[0].name for volume in volumes)
            others = ", ".join(f"{count} × {name}" for name, count in first.items() if name != card.name)
            print(f"| {rule.name} | {card.name} | {first[card.name]} of {len(volumes)} | {others} |", flush=True)


if __name__ == "__main__":
    main()
