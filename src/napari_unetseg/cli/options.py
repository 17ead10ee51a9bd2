"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_unetseg.core.settings import Selection, help_of
from napari_unetseg.core.units import parse_spacing, parse_unit
from napari_unetseg.errors import SettingsError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Spacing = Annotated[
    str | None, typer.Option("--spacing", metavar="Z,Y,X[UNIT]", help="Voxel size, instead of the file's.")
]

Anonymous = Annotated[
    bool,
    typer.Option("--anonymous", help="Leave out the names of files too; those of folders never are in a result."),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace any file of that name. Else: a file of the same kind. Never: a folder of others."
    ),
]

AllowMissing = Annotated[bool, typer.Option("--allow-missing", help=help_of(Selection, "allow_missing"))]


Series = Annotated[str | None, typer.Option("--series", metavar="N|UID", help=help_of(Selection, "series"))]
Resample = Annotated[bool | None, typer.Option("--resample/--no-resample", help=help_of(Selection, "resample"))]


OUTPUT = ("-o", "--out")


def given_paths(arguments: Sequence[str]) -> list[Path]:
    """The inputs among arguments as typed, as far as they are or look like paths; outputs are not among them."""
    values, is_output = [], False
    for argument in arguments:
        name, _, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        if value and not is_output and name not in OUTPUT:
            values.append(value)
        is_output = argument in OUTPUT
    return [Path(value) for value in values if not value.startswith("-") and _is_path(value)]


def _is_path(text: str) -> bool:
    try:
        return "\0" not in text and (os.sep in text or Path(text).exists())
    except OSError:
        return False


def option(record: type, name: str, *flags: str) -> Any:
    """A command's option whose help is that of a settings field."""
    return typer.Option(*flags, help=help_of(record, name))


def selection_of(
    spacing: str | None,
    unit: str | None = None,
    channels: str | None = None,
    time_point: str | None = None,
    level: int = 0,
    *,
    image: int | None = None,
    allow_missing: bool = False,
    series: str | None = None,
    resample: bool | None = None,
) -> Selection:
    """Which part of a file to load, from options as typed."""
    size, size_unit = parse_spacing(spacing) if spacing else (None, None)
    unit = parse_unit(unit) if unit else size_unit
    return Selection(
        _whole_numbers(channels),
        _time(time_point),
        level,
        spacing=size,
        unit=unit,
        allow_missing=allow_missing,
        image=image,
        series=series,
        resample=resample,
    )


def _time(text: str | None) -> int | Literal["all"] | None:
    """Read ``"3"`` or ``"all"``."""
    if text is None:
        return None
    if text == "all":
        return "all"
    if not text.lstrip("-").isdecimal():
        raise SettingsError(f"Expected a time point, counted from 0, or all; got {text!r}.")
    return int(text)


def _whole_numbers(text: str | None) -> tuple[int, ...] | None:
    """Read ``"0,2"``."""
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(f"Expected channels as whole numbers from 0, such as 0 or 0,2; got {text!r}.") from error
