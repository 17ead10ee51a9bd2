"""The catalogue of models, and their cards: read from the file's header without loading weights or torch."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pydantic
import safetensors

from napari_unetseg.core.models.architecture import least_weights
from napari_unetseg.core.models.card import U_NET, Appearance, ModelCard
from napari_unetseg.core.volume import MadeBy
from napari_unetseg.errors import ModelError

BUNDLED = Path(__file__).parents[2] / "weights"
APPEARANCES = "appearances.json"
"""Beside the bundled models, what their training images look like, by model: it may change where no weight does."""
CARD_KEY = "unetseg_card"
CHECKSUM_KEY = "unetseg_weights_sha256"
"""Of all that follows the header; files of earlier versions have none."""
CUT_OFF = ("MetadataIncompleteBuffer", "incomplete metadata")
"""Words of safetensors, of whatever version, about a file that ends before its weights do."""


def list_models() -> list[ModelCard]:
    """The cards of the bundled models, by name, with what their training images look like."""
    appearances = _appearances(BUNDLED / APPEARANCES)
    cards = [read_card(path) for path in sorted(BUNDLED.glob("*.safetensors"))]
    return [card.model_copy(update={"appearance": appearances.get(card.name, card.appearance)}) for card in cards]


@functools.cache
def _appearances(path: Path) -> dict[str, Appearance]:
    if not path.is_file():
        return {}
    return pydantic.TypeAdapter(dict[str, Appearance]).validate_json(path.read_bytes())


def find_model(model: str | Path) -> Path:
    """The file of a bundled model's name, or of a path.

    Raises
    ------
    ModelError
        If there is neither such a name nor such a file.
    """
    bundled = BUNDLED / f"{model}.safetensors"
    for path in (bundled, Path(model)):
        with contextlib.suppress(OSError):  # no system has names of any length
            if path.is_file():
                return path
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
        card = ModelCard.model_validate_json(_completed(_metadata(path)[CARD_KEY]))
    except KeyError as error:
        raise ModelError(f"{path} holds weights but no napari-unetseg card; expected a model saved by it.") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "card"
        raise ModelError(f"{path} has a card that does not fit: {where}: {first['msg']}.") from error
    if least_weights(card.architecture) > path.stat().st_size:  # of a byte each, or more
        raise ModelError(f"{path} does not hold the weights of the network that its card describes.")
    return card


def check_weights(path: Path) -> None:
    """Hold the weights of a model file against their checksum, if it has one.

    Raises
    ------
    ModelError
        If they are not those that were saved.
    """
    expected = _metadata(path).get(CHECKSUM_KEY)
    if expected is not None and _digest(path) != expected:
        raise ModelError(f"{path} is damaged: its weights are not those that were saved. Copy it again.")


def weights_sha256(path: Path) -> str:
    """SHA-256 of a model file's weights, as the file has it; of files of earlier versions it is computed.

    Raises
    ------
    ModelError
        If it is not a whole model file.
    """
    return _metadata(path).get(CHECKSUM_KEY) or _digest(path)


def find_maker(made_by: MadeBy, folders: Sequence[Path]) -> Path | None:
    """The model that made a result, by its weights: a bundled one, or one in a folder; None where it is gone.

    Parameters
    ----------
    folders : sequence of Path
        That are looked through, without their subfolders.
    """
    if not made_by.sha256:
        return None
    named = BUNDLED / f"{made_by.name}.safetensors"
    bundled = sorted(BUNDLED.glob("*.safetensors"), key=lambda path: path != named)
    for path in (*bundled, *(path for folder in folders for path in sorted(folder.glob("*.safetensors")))):
        with contextlib.suppress(ModelError, OSError):
            if weights_sha256(path) == made_by.sha256:
                return path
    return None


def _digest(path: Path) -> str:
    """SHA-256 of all that follows the header."""
    with path.open("rb") as file:
        file.seek(int.from_bytes(file.read(8), "little"), os.SEEK_CUR)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _completed(text: str) -> str:
    """A card as it would be written today: what names no kind of network is from when there were U-Nets alone."""
    try:
        card = json.loads(text)
        card["architecture"].setdefault("kind", U_NET)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return text  # not a card: the validation says why
    return json.dumps(card)


def _metadata(path: Path) -> dict[str, str]:
    """The header's metadata; no weights are read."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return dict(file.metadata() or {})
    except safetensors.SafetensorError as error:
        if any(words in str(error) for words in CUT_OFF):
            raise ModelError(
                f"{path} is cut off: its header declares more weights than it holds. Copy it again."
            ) from error
        raise _no_model_file(path) from error
    except (OSError, ValueError) as error:
        raise _no_model_file(path) from error


def _no_model_file(path: Path) -> ModelError:
    return ModelError(f"{path} is not a model file: expected whole .safetensors, never a pickle (.pt, .pth).")
