"""Which model is proposed for held-out images, when nothing is known of them but the image itself.

``python benchmarks/proposals.py --data DIR`` takes the voxel size away, lets `rank_models` choose among all bundled
models of the image's dimensions by its look, and prints a Markdown table.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_unetseg.core.io.loadsave import load_volume
from napari_unetseg.core.models.appearance import describe_image
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.catalogue import list_models
from napari_unetseg.core.models.selection import rank_models
from napari_unetseg.core.models.verification import examples
from napari_unetseg.core.volume import Grid, Volume


def row(images: str, model: str, cards: Sequence[ModelCard], volumes: Sequence[Volume]) -> str:
    """How often the model is proposed first for some images, and what comes instead of it."""
    bare = [replace(volume, grid=Grid()) for volume in volumes]
    first = Counter(rank_models(cards, volume, describe_image(volume))[0].name for volume in bare)
    others = ", ".join(f"{count} × {name}" for name, count in first.items() if name != model)
    return f"| {images} | {model} | {first[model]} of {len(volumes)} | {others} |"


def main() -> None:
    """Print a line for each group of held-out images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    data, cards = parser.parse_args().data, list_models()
    print("| held-out images | their model | it is proposed first | instead of it |\n|---|---|---|---|")
    for card in cards:
        for rule in card.held_out:
            print(row(rule.name, card.name, cards, [example.volume for example in examples(rule, data)]), flush=True)
    print(row("EM of another laboratory", "em-membrane-3d", cards, [load_volume(data / "em3d/gala_image.tif")]))


if __name__ == "__main__":
    main()
