"""The catalogue of models, and their cards: read from the file's header without loading weights or torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydantic

from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.errors import ModelError

BUNDLED = Path(__file__).parents[2] / "weights"
CARD_KEY = "unetseg_card"
MAX_HEADER = 16 * 1024**2  # a card with its picture is far below; a random file's first bytes are far above


def list_models() -> list[ModelCard]:
    """The cards of the bundled models, by name."""
    return [read_card(path) for path in sorted(BUNDLED.glob("*.safetensors"))]


def find_model(model: str | Path) -> Path:
    """The file of a bundled model's name, or of a path.

    Raises
    ------
    ModelError
        If there is neither such a name nor such a file.
    """
    bundled = BUNDLED / f"{model}.safetensors"
    if bundled.is_file():
        return bundled
    if Path(model).is_file():
        return Path(model)
    names = ", ".join(path.stem for path in sorted(BUNDLED.glob("*.safetensors")))
    raise ModelError(f"Expected a bundled model ({names}) or a .safetensors file; there is no {str(model)!r}.")


def picture_of(model: str | Path) -> Path | None:
    """The picture beside a model, of what it finds in an image that it never saw; None where there is none.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    path = find_model(model)
    picture = path.parent / "pictures" / f"{path.stem}.png"
    return picture if picture.is_file() else None


def read_card(path: Path) -> ModelCard:
    """Read the card from a model file's header.

    Raises
    ------
    ModelError
        If the file is not a whole safetensors file, or has no valid card.
    """
    try:
        return ModelCard.model_validate_json(_metadata(path)[CARD_KEY])
    except KeyError as error:
        raise ModelError(f"{path} holds weights but no napari-unetseg card; expected a model saved by it.") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "card"
        raise ModelError(f"{path} has a card that does not fit: {where}: {first['msg']}.") from error


def _metadata(path: Path) -> dict[str, str]:
    """The header's metadata: 8 bytes of length, then JSON (https://huggingface.co/docs/safetensors)."""
    broken = ModelError(f"{path} is not a model file: expected whole .safetensors, never a pickle (.pt, .pth).")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: Any = json.loads(file.read(min(length, MAX_HEADER)))
        metadata = dict(header.pop("__metadata__", {}))
        ends = [entry["data_offsets"][1] for entry in header.values()]
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise broken from error
    if path.stat().st_size != 8 + length + max(ends, default=0):
        raise ModelError(f"{path} is cut off: its header declares more weights than it holds. Copy it again.")
    return metadata
