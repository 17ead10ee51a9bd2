"""Output of the commands: results on standard output, progress and notes on standard error.

All that is printed passes `core.text`: names and messages come from files of others. Folders of what is read are left
out of notes, see `core.privacy`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box, filesize
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from napari_unetseg.core import privacy
from napari_unetseg.core.notes import Note, as_note, note_records
from napari_unetseg.core.privacy import shown_name
from napari_unetseg.core.progress import Progress, told_warnings
from napari_unetseg.core.text import display_lines, display_text, json_line
from napari_unetseg.core.units import quantity

if TYPE_CHECKING:
    from napari_unetseg.core.io.source import VolumeInfo
    from napari_unetseg.core.models.card import ModelCard

WIDTH = 120
FIGURE = re.compile(r"[-−]?[\d .]*(?:·10⁻?[⁰¹²³⁴-⁹]+| million| billion)?|–|[-−]?∞")
"""What is aligned to the right."""
Cell = str | Sequence[str]
"""Of a table: a text, or several on lines of their own."""

_hidden: dict[str, str] = {}
"""What notes of this command leave out; see `hide`."""
_told: list[Note] = []
"""The notes of this command, for its record; see `say_json`."""


def hide(paths: Iterable[Path], *, names: bool = False, anew: bool = False) -> None:
    """Leave the folders of `paths` out of all notes from now on; with `names`, those of the files too."""
    if anew:
        _hidden.clear()
        _told.clear()
    _hidden.update(privacy.hidden_parts(paths, names=names))


def without_hidden(text: str) -> str:
    """A message without what is hidden."""
    return privacy.without_hidden(text, _hidden)


def title(path: Path, anonymous: bool, index: int = 0, count: int = 1) -> str:
    """What a file is called in what is printed; the one of that number, from 0, where its name must not be told."""
    return privacy.neutral_name("image", index, count) if anonymous else shown_name(path)


def _output() -> Console:
    """Standard output; where it is not a terminal there is no reason to fold tables at 80 characters."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def say(text: str) -> None:
    """Print one line of a result: no wrapping, no markup."""
    _line(Console(), display_text(text))


def say_json(record: Mapping[str, Any]) -> None:
    """Print a result for programs, with the notes of the command: one JSON object on one line."""
    notes = [*record.get("notes", ()), *shown_notes(_told)]
    unique = [note for index, note in enumerate(notes) if note not in notes[:index]]
    _line(Console(), json_line({**record, "notes": unique}))


def note(text: str) -> None:
    """Print one line that is not part of a result, to standard error."""
    _line(Console(stderr=True), display_text(without_hidden(" ".join(text.split()))))


def tell(notes: Iterable[str]) -> None:
    """Print notes, each once, to standard error, and keep them for the record for programs."""
    for text in dict.fromkeys(notes):
        note(f"note: {text}")
        _told.append(as_note(text))


def shown_notes(notes: Iterable[str]) -> list[dict[str, str]]:
    """Notes for programs, without what is hidden."""
    return [record | {"text": without_hidden(record["text"])} for record in note_records(notes)]


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _shown(cell: Cell) -> str:
    return display_text(cell) if isinstance(cell, str) else "\n".join(map(display_text, cell))


def print_table(heading: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table; a column of figures is aligned to the right."""
    grid = Table(
        title=display_text(heading), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    shown = [tuple(map(_shown, row)) for row in rows]
    for number, column in enumerate(columns):
        figures = all(_is_figure(row[number]) for row in shown)
        grid.add_column(display_text(column), justify="right" if figures else "left", overflow="fold")
    for row in shown:
        grid.add_row(*row)
    _output().print(grid, markup=False)


def facts(record: Mapping[str, Cell]) -> None:
    """Print names and values in two columns, without what is empty."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in record.items():
        if value:
            grid.add_row(display_text(name), _shown(value))
    _output().print(grid, markup=False)


def show_rows(rows: Sequence[Mapping[str, Any]], heading: str) -> None:
    """Print rows that have the same columns; nothing to show is said."""
    if not rows:
        say(f"{heading}: no labels")
        return
    cells = ([quantity(value) if isinstance(value, float) else str(value) for value in row.values()] for row in rows)
    print_table(heading, list(rows[0]), cells)


def show_segmented(record: Mapping[str, Any]) -> None:
    """Print one line for each file that was written."""
    for result in record.get("results", [record]):
        found = f"{result['objects']} objects, " if "objects" in result else ""
        say(f"{result['output']} ({found}{result['model']}, {result['device']}, {result['seconds']:.1f} s)")


def show_models(cards: Sequence[ModelCard]) -> None:
    """Print one row for each model."""
    columns = ("model", "dim", "structures", "voxel size", "held-out scores")
    rows = []
    for card in cards:
        names = ", ".join(structure.name for structure in card.structures)
        rows.append((card.name, f"{card.dimensions}D", names, _size(card), _scores(card)))
    print_table("bundled models", columns, rows)


def card_facts(card: ModelCard) -> dict[str, Cell]:
    """A model's card for people."""
    return {
        "model": f"{card.name} {card.version}",
        "title": card.title,
        "what": display_lines(card.description).splitlines(),
        "takes": f"{card.dimensions}D, channels: {', '.join(card.channels)}",
        "finds": ", ".join(f"{s.label} {s.name}" for s in card.structures),
        "as": "numbered objects" if card.finds_objects else "classes",
        "voxel size": _size(card),
        "held-out scores": _scores(card),
        "training": card.training,
        "training data": [f"{d.name}: {d.source} ({d.licence})" for d in card.training_data],
        "known failures": card.known_failures,
        "licence": card.licence,
    }


def volume_record(info: VolumeInfo, notes: Sequence[str] | None = None) -> dict[str, Any]:
    """What a file holds, and what would be read of it, in plain values for programs."""
    grid = info.grid
    return {
        "path": shown_name(info.path),
        "format": info.format,
        "shape": info.shape,
        "channels": info.channels,
        "dtype": str(info.dtype),
        "spacing": grid.spacing,
        "unit": grid.unit,
        "origin": grid.origin,
        "times": info.times,
        "levels": info.levels,
        "bytes": info.nbytes,
        "images": info.images,
        "notes": note_records(info.notes if notes is None else notes),
    }


def volume_facts(info: VolumeInfo, notes: Sequence[str] | None = None) -> dict[str, Cell]:
    """What a file holds, and what would be read of it, for people."""
    spacing = " × ".join(f"{step:.4g}" for step in info.grid.spacing)
    return {
        "file": shown_name(info.path),
        "format": info.format,
        "size (z, y, x)": " × ".join(map(str, info.shape)),
        "voxel size": f"{spacing} {info.grid.unit}" if info.grid.is_physical else "not known",
        "channels": ", ".join(info.channels),
        "dtype": str(info.dtype),
        "memory": filesize.decimal(info.nbytes),
        "images": [f"{number}: {text}" for number, text in enumerate(info.images)],
        "time points": str(info.times) if info.times > 1 else "",
        "levels": ", ".join("×".join(map(str, level)) for level in info.levels) if len(info.levels) > 1 else "",
        "notes": info.notes if notes is None else notes,
    }


@contextmanager
def progress_bar(heading: str) -> Iterator[Callable[[Progress], None]]:
    """Give a function that shows progress, as a bar where standard error is a terminal and not at all elsewhere."""
    console = Console(stderr=True)
    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        shown = display_text(heading)
        task = bar.add_task(shown, total=None)

        def show(progress: Progress) -> None:
            stage = f"{shown}: {display_text(progress.stage)}"
            bar.update(task, completed=progress.done, total=progress.total, description=stage)

        yield show


@contextmanager
def notes_at_end() -> Iterator[list[str]]:
    """Tell our own warnings, and what is added to the list, once the work is done.

    If it fails, its error is all there is to say.
    """
    told: list[str] = []
    with told_warnings(told.append):
        yield told
    tell(told)


def _size(card: ModelCard) -> str:
    size = card.voxel_size
    return f"{' × '.join(f'{step:.3g}' for step in size.spacing)} {size.unit}" if size else "any"


def _scores(card: ModelCard) -> list[str]:
    return card.expected_words or [f"{s.metric} {s.value:.3f} {s.structure}: {s.held_out}" for s in card.scores]


def _is_figure(text: str) -> bool:
    return FIGURE.fullmatch(text) is not None
