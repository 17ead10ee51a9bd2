"""Draw the pictures beside the bundled models, of held-out images: ``python -m training.pictures [NAME…]``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from PIL import Image

from napari_unetseg.api import segment
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.catalogue import BUNDLED, read_card
from napari_unetseg.core.models.verification import Example, examples
from napari_unetseg.core.report.overlay import draw_thumbnail
from napari_unetseg.core.volume import Labels, Volume

HERE = Path(__file__).parent
SIZE = 176  # pixels of its longer side; in 128 colours that is at most 31 kB
COLOURS = 128
WIDEST = 320  # voxels of the image that it shows, at most


def draw_picture(card: ModelCard, data: Path) -> Image.Image:
    """What the model finds in the card's first held-out images: the one whose middle holds most, by the truth.

    Stacks are seen along the axis along which they were cut; single slices lie flat, however they were cut.
    """
    rule = card.held_out[0]
    axis = "zyx".index("z" if rule.slices else rule.axis or "z")
    fullest = max(examples(rule, data), key=lambda example: _share(example, axis))
    labels = segment(fullest.volume, card.name).labels
    return draw_thumbnail(*_middle(*_turned(fullest.volume, labels, axis)), SIZE).quantize(COLOURS)


def _share(example: Example, axis: int) -> float:
    _, middle = _middle(*_turned(example.volume, example.truth, axis))
    return float((middle.array > 0).mean())


def _turned(volume: Volume, labels: Labels, axis: int) -> tuple[Volume, Labels]:
    """Both with that axis as their first."""
    order = (axis, *(other for other in range(3) if other != axis))
    z, y, x = (volume.grid.spacing[index] for index in order)
    grid = Grid((z, y, x), volume.grid.unit)
    array = volume.array.transpose(0, *(index + 1 for index in order))
    return replace(volume, array=array, grid=grid), replace(labels, array=labels.array.transpose(order), grid=grid)


def _middle(volume: Volume, labels: Labels) -> tuple[Volume, Labels]:
    """At most `WIDEST` voxels along y and x, around the middle."""
    starts = [max(0, (length - WIDEST) // 2) for length in volume.shape[1:]]
    rows, columns = (slice(start, start + WIDEST) for start in starts)
    return (
        replace(volume, array=volume.array[..., rows, columns]),
        replace(labels, array=labels.array[..., rows, columns]),
    )


def main() -> None:
    """Draw the pictures of the models that are named, or of all bundled ones that were measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=sorted(path.stem for path in BUNDLED.glob("*.safetensors")))
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data")
    options = parser.parse_args()
    (BUNDLED / "pictures").mkdir(exist_ok=True)
    for name in options.names:
        card = read_card(BUNDLED / f"{name}.safetensors")
        if card.held_out:
            with atomic_path(BUNDLED / "pictures" / f"{name}.png") as temporary:
                draw_picture(card, options.data).save(temporary, format="PNG", optimize=True)


if __name__ == "__main__":
    main()
