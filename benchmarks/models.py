"""How good the bundled models are on images that training never saw: the figures of their cards.

``python benchmarks/models.py`` writes ``benchmarks/models.md`` from the cards; with ``--data shared/data`` it measures
every figure again and prints both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the recipes know the held-out images

from napari_unetseg import load_model  # noqa: E402
from napari_unetseg.core.card import ModelCard, Score  # noqa: E402
from napari_unetseg.core.models import find_model, list_models  # noqa: E402

HEAD = """# Bundled models on held-out images

Means over images that training never saw (`training/splits.toml`), measured through the verbs that a user calls, on a
CPU, with the weights as they are shipped. Written by `python benchmarks/models.py`; `--data DIR` measures them again.

| model | size | held-out images | structure | figure | value | training |
|---|---|---|---|---|---|---|
"""


def rows(card: ModelCard) -> Iterator[str]:
    """One line of the table for each figure."""
    size = find_model(card.name).stat().st_size / 1e6
    for score in card.scores:
        held_out = f"{score.images} × {score.held_out}"
        cells = (card.name, f"{size:.1f} MB", held_out, score.structure, score.metric, f"{score.value:.3f}")
        yield f"| {' | '.join(cells)} | {took(card)} |\n"


def took(card: ModelCard) -> str:
    """Steps and minutes, from the last sentence of the card's words on training."""
    return card.training.rstrip(".").rsplit(". ", 1)[-1]


def measured_again(card: ModelCard, data: Path) -> tuple[Score, ...]:
    """The card's figures, from the data."""
    from training.make_models import recipe_named
    from training.scores import score_model

    recipe = recipe_named(card.name)
    return score_model(load_model(card.name), recipe, recipe.data(data).held_out)


def main() -> None:
    """Write the table, or measure every figure again and print it beside the card's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the labelled sets; measures again")
    options = parser.parse_args()
    cards = list_models()
    if options.data is None:
        text = HEAD + "".join(row for card in cards for row in rows(card))
        (ROOT / "benchmarks/models.md").write_text(text)
        print(text)
        return
    for card in cards:
        for old, new in zip(card.scores, measured_again(card, options.data), strict=True):
            print(f"{card.name}: {new.held_out}, {new.structure}, {new.metric}: {new.value:.4f}; card {old.value:.4f}")


if __name__ == "__main__":
    main()
