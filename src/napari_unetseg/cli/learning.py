"""The command *finetune*: learning from paint, from corrections, or a recorded session again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_unetseg.cli import terminal
from napari_unetseg.cli.correcting import CorrectedFiles, check_corrected, learn_corrected, learned_record
from napari_unetseg.cli.options import AllowMissing, Anonymous, Json, Overwrite, Spacing, option, selection_of
from napari_unetseg.core.annotations.expected_dice import expected_lines
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.privacy import neutral_name
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.steps import Step


def finetune(
    out: Annotated[Path, typer.Option("-o", "--out", help="Model file to write, .safetensors.")],
    inputs: Annotated[list[Path] | None, typer.Argument(metavar="INPUT...", help="Images of one kind.")] = None,
    painted: Annotated[
        list[Path] | None,
        typer.Option("--painted", help="Painted labels, once for each image: 0 unknown, 1 background, 2… structures."),
    ] = None,
    corrected: Annotated[
        list[Path] | None,
        typer.Option("--corrected", help="A result as a person has corrected it, once for each image, with --result."),
    ] = None,
    result: Annotated[
        list[Path] | None,
        typer.Option("--result", help="The same result as it was. The model that made it goes on learning."),
    ] = None,
    right: Annotated[
        list[str] | None,
        typer.Option("--right", metavar="AXIS=N,N…", help="Corrected slices that are right as a whole: z=12,40."),
    ] = None,
    labels_out: Annotated[
        Path | None,
        typer.Option("--labels-out", help="Also write the next result, with all corrections; of several: a folder."),
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option("--session", help="Make the model of a recorded session again: M.session.json, beside M."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="A model to begin with. Default: the most general one.")
    ] = None,
    minutes: Annotated[float | None, option(FineTuneSettings, "minutes")] = None,
    steps: Annotated[int | None, option(FineTuneSettings, "steps")] = None,
    spacing: Spacing = None,
    device: Annotated[str, option(FineTuneSettings, "device")] = "auto",
    seed: Annotated[int, option(FineTuneSettings, "seed")] = 0,
    whole: Annotated[bool, option(FineTuneSettings, "whole")] = False,
    keep_structures: Annotated[bool, option(FineTuneSettings, "keep_structures")] = False,
    structure_weight: Annotated[float, option(FineTuneSettings, "structure_weight")] = 1.0,
    boundary_weight: Annotated[float, option(FineTuneSettings, "boundary_weight")] = 0.0,
    learning_rate: Annotated[float, option(FineTuneSettings, "learning_rate")] = 1.0,
    several_scales: Annotated[bool, option(FineTuneSettings, "several_scales", "--several-scales")] = False,
    step: Annotated[
        list[str] | None,
        typer.Option(
            "--step",
            metavar="'KIND NAME=VALUE…'",
            help="With --painted: what every result of the model goes through, such as separate; see clean.",
        ),
    ] = None,
    allow_missing: AllowMissing = False,
    anonymous: Anonymous = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a model that continues what was painted or corrected. Killed in the middle, the same command goes on."""
    from napari_unetseg.core.io.outputs import MODEL, check_output
    from napari_unetseg.core.steps import parse_step

    files = CorrectedFiles(inputs or (), corrected or (), result or (), right or (), labels_out)
    read = [*files.read, *(painted or ())]
    terminal.hide(read, names=anonymous)
    check_output(out, MODEL, overwrite=overwrite, inputs=read)
    settings = FineTuneSettings(
        minutes, steps, device, seed, structure_weight, boundary_weight, learning_rate, whole, keep_structures,
        several_scales,
    )  # fmt: skip
    selection, cleanup = selection_of(spacing, allow_missing=allow_missing), tuple(map(parse_step, step or ()))
    if cleanup and not painted:
        raise typer.BadParameter("Expected a --step with --painted labels; other models keep the steps that they have.")
    if session is not None:
        if anonymous:
            raise typer.BadParameter("A recorded --session gives the model that it recorded: it cannot be --anonymous.")
        shown = _replay(session, out, files.images)
    elif corrected or result:
        _check_only_corrected(files, painted, settings)
        shown = learn_corrected(files, out, model, selection, settings, anonymous=anonymous, overwrite=overwrite)
    elif right or labels_out is not None:
        raise typer.BadParameter("Expected --right and --labels-out with a --result and its --corrected copy.")
    elif inputs and painted:
        shown = _learn_paint((inputs, painted), out, model, selection, settings, anonymous, cleanup)
    else:
        raise typer.BadParameter(
            "Expected images and their --painted labels, or a --result with its --corrected copy, or a --session."
        )
    if as_json:
        terminal.say_json(shown)
    else:
        facts = {name: str(value) for name, value in shown.items() if name != "expected_dice"}
        terminal.facts(facts | {"expected Dice": expected_lines(shown["expected_dice"])})


def _check_only_corrected(files: CorrectedFiles, painted: list[Path] | None, settings: FineTuneSettings) -> None:
    if painted or settings.whole or settings.keep_structures:
        raise typer.BadParameter(
            "Expected a --result and its --corrected copy alone: the model that made it is trained, and its structures "
            "are kept, without --painted, --whole and --keep-structures."
        )
    check_corrected(files)


def _learn_paint(
    files: tuple[list[Path], list[Path]],
    out: Path,
    model: str | None,
    selection: Selection,
    settings: FineTuneSettings,
    anonymous: bool,
    cleanup: tuple[Step, ...],
) -> dict[str, Any]:
    """Learn from images and their painted labels, and return the record for programs."""
    from napari_unetseg import api

    with terminal.notes_at_end() as notes, terminal.progress_bar(terminal.title(files[0][0], anonymous)) as show:
        images = [api.load_volume(path, selection) for path in files[0]]
        paint = [api.load_labels(path, selection) for path in files[1]]
        if anonymous:
            images = [replace(image, name=neutral_name("image", i, len(images))) for i, image in enumerate(images)]
        record = api.fine_tune_file(images, paint, out, model, settings, show, anonymous=anonymous, cleanup=cleanup)
        notes.extend(record.notes)
    return learned_record(out, record.steps, record.mean_dice, record.seconds, record.expected)


def _replay(session: Path, out: Path, inputs: Sequence[Path]) -> dict[str, Any]:
    """Make a recorded session's model again, and return the record for programs."""
    from napari_unetseg import api

    began = time.perf_counter()
    with terminal.notes_at_end() as notes, terminal.progress_bar("session") as show:
        done = api.replay(session, out, inputs, show)
        notes.extend(done.notes)
    seconds = time.perf_counter() - began
    return learned_record(out, done.steps, done.version.mean_dice, seconds, done.version.expected)
