"""The commands that work on models: list them, and measure their cards' figures again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unetseg.cli import terminal
from napari_unetseg.cli.options import Anonymous, Json, Overwrite
from napari_unetseg.errors import InputError, SettingsError

if TYPE_CHECKING:
    from napari_unetseg.core.models.card import ModelCard
    from napari_unetseg.core.models.verification import Check

FORMAT = "bioimageio"
DISAGREES = 1
"""Exit code where a card's figure is not what was measured."""


def models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Only these: names or model files. Default: all.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Measure the figures again. Exit code 1 if one differs by more than 0.01.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="For --verify: the folder of the labelled sets that the cards name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the bundled models with their held-out scores, or measure these again."""
    from napari_unetseg.core.models.catalogue import BUNDLED, find_model, list_models, picture_of, read_card

    cards = {model: read_card(find_model(model)) for model in names or (card.name for card in list_models())}
    if verify:
        checks = _verify(cards, data)
        _show_checks(checks, as_json)
        if not all(check.agrees for found in checks.values() for check in found):
            raise typer.Exit(DISAGREES)
    elif as_json:
        terminal.say_json({"models": [_record(card, picture_of(model)) for model, card in cards.items()]})
    else:
        terminal.show_models(list(cards.values()))
        terminal.say(f"What each finds in an image that it never saw: {BUNDLED / 'pictures'}")


def _record(card: ModelCard, picture: Path | None) -> dict[str, Any]:
    return card.model_dump(mode="json", exclude={"looks", "appearance"}) | {"picture": picture and str(picture)}


def _verify(names: Iterable[str], data: Path | None) -> dict[str, tuple[Check, ...]]:
    """The checks of each model, by its name."""
    from napari_unetseg import api

    if data is None or not data.is_dir():
        raise InputError(f"Expected --data with the folder of the labelled sets; got {data or 'none'}.")
    checks = {}
    for name in names:
        with terminal.notes_at_end(), terminal.progress_bar(name) as show:
            checks[name] = api.verify(name, data, show)
        if not checks[name]:
            terminal.note(f"note: the card of {name} has no figures.")
    return checks


def _show_checks(checks: Mapping[str, tuple[Check, ...]], as_json: bool) -> None:
    rows = [_row(name, check) for name, found in checks.items() for check in found]
    if as_json:
        terminal.say_json({"figures": rows, "agree": all(row["agrees"] for row in rows)})
    else:
        shown = [{**row, "agrees": "yes" if row["agrees"] else "NO"} for row in rows]
        terminal.show_rows([{k: "–" if v is None else v for k, v in row.items()} for row in shown], "held-out figures")


def _row(model: str, check: Check) -> dict[str, Any]:
    both = check.card is not None and check.measured is not None
    return {
        "model": model,
        "held_out": check.score.held_out,
        "images": check.score.images,
        "structure": check.score.structure,
        "metric": check.score.metric,
        "card": check.card,
        "measured": check.measured,
        "difference": round(check.measured - check.card, 4) if both else None,  # type: ignore[operator] # both are there
        "agrees": check.agrees,
    }


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A bundled model's name or a model file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Package to write, .zip.")],
    form: Annotated[str, typer.Option("--format", help="bioimageio: a package of the BioImage Model Zoo.")] = FORMAT,
    anonymous: Anonymous = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a model as a package for other programs, and check it."""
    from napari_unetseg.core.io.outputs import PACKAGE, check_output
    from napari_unetseg.core.models.catalogue import find_model, read_card
    from napari_unetseg.engine.bioimageio.packages import export_model

    if form != FORMAT:
        raise SettingsError(f"Expected --format {FORMAT}; got {form!r}.")
    check_output(out, PACKAGE, overwrite=overwrite)
    with terminal.notes_at_end():
        export_model(model, out, anonymous=anonymous)
    if as_json:
        terminal.say_json({"output": str(out), "model": read_card(find_model(model)).name, "format": form})
    else:
        terminal.say(str(out))


def import_model(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="A package that napari-unetseg exported, .zip.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Model file to write, .safetensors.")],
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Take a model out of a BioImage Model Zoo package. Nothing in the package is ever executed."""
    from napari_unetseg.core.io.outputs import MODEL, check_output
    from napari_unetseg.engine.bioimageio import packages

    check_output(out, MODEL, overwrite=overwrite)
    card = packages.import_model(package, out)
    if as_json:
        terminal.say_json({"output": str(out), "model": card.name})
    else:
        terminal.say(f"{out} ({card.title})")


ALL = (models, export, import_model)
"""In the order in which help lists them."""
