"""How good the bundled models are on images that training never saw: the figures of their cards.

``python benchmarks/models.py`` writes ``benchmarks/models.md`` from the cards; ``napari-unetseg models --verify --data
shared/data`` measures every figure again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.catalogue import find_model, list_models

ROOT = Path(__file__).parents[1]

HEAD = """# Bundled models on held-out images

Means over images that training never saw (`training/splits.toml`), measured through the verbs that a user calls, on a
CPU, with the weights as they are shipped. Written by `python benchmarks/models.py`;
`napari-unetseg models --verify --data DIR` measures them again. [`robustness.md`](robustness.md) tells what changed
images cost.

There is no model for soft-tissue sarcoma: trained on nine patients, the heads of `general-2d` reach a Dice of 0.42,
0.53 and 0.19 on T1 MR of the three held-out ones, and find nothing in their CT (`sarcoma.py`).

`axon-myelin-2d` was trained on five images of three rats. On these themselves it reaches 0.90 to 0.93 for axons and
0.84 to 0.87 for myelin: where a sheath begins is drawn differently from image to image, by hand
(`axons_seen.py`).

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


def main() -> None:
    """Write the table."""
    text = HEAD + "".join(row for card in list_models() for row in rows(card))
    (ROOT / "benchmarks/models.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
