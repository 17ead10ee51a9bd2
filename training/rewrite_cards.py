"""Bring the cards of finished models up to date, without touching a weight: ``python -m training.rewrite_cards``.

Only the text in the header of a model file is written anew: where the held-out images lie, plain names for their
groups, and with ``--data DIR`` the scores on the held-out ones, as prediction gives them now. The bytes of the tensors
stay as they are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from napari_unetseg.api import verify
from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.catalogue import BUNDLED, CARD_KEY, read_card
from napari_unetseg.core.models.verification import Check
from training.held_out import RULES

RENAMED = {
    "fluo": "fluorescence",
    "colour": "stained tissue",
    "grey": "bright field",
    "plant_1135": "plant nuclei, confocal",
    "ovule": "plant ovule nuclei",
    "embryo_16cell": "mouse embryo nuclei",
    "hippocampus": "hippocampus, T1 MR",
    "rat nerve": "rat nerve, SEM",
    "fly medulla": "fly medulla, FIB-SEM",
    "plant ovule": "plant ovule, membrane stain",
    "plant leaf": "plant leaf, EM",
}


def rewritten(card: ModelCard) -> ModelCard:
    """The card with plain words for its groups, and with its held-out rules."""
    scores = tuple(s.model_copy(update={"held_out": RENAMED.get(s.held_out, s.held_out)}) for s in card.scores)
    return card.model_copy(update={"scores": scores, "held_out": RULES.get(card.name, card.held_out)})


def measured(card: ModelCard, checks: tuple[Check, ...]) -> ModelCard:
    """The card with its scores as they were measured again; those that were not are left out."""
    scores = tuple(c.score.model_copy(update={"value": c.measured}) for c in checks if c.measured is not None)
    return card.model_copy(update={"scores": scores})


def replace_card(path: Path, card: ModelCard) -> None:
    """Write another card into a model file: 8 bytes of length, a JSON header, then the tensors' bytes as they were."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"][CARD_KEY] = card.model_dump_json()
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    with atomic_path(path) as temporary:
        temporary.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])


def main() -> None:
    """Rewrite the cards of the models that are named, or of all bundled ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=sorted(path.stem for path in BUNDLED.glob("*.safetensors")))
    parser.add_argument("--data", type=Path, help="folder of the labelled sets: measure the scores again")
    asked = parser.parse_args()
    for name in asked.names:
        path = BUNDLED / f"{name}.safetensors"
        replace_card(path, rewritten(read_card(path)))
        if asked.data is not None:
            replace_card(path, measured(read_card(path), verify(path, asked.data)))


if __name__ == "__main__":
    main()
