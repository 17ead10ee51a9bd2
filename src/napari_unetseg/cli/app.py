"""The verbs as commands.

Exit codes: 0 on success; 2 on what a user can mend, with one line on standard error; 130 after Ctrl-C; 1, with a
traceback, on a fault of ours. With ``--json`` the last line of standard output is one JSON object.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unetseg import __version__
from napari_unetseg.cli import labels, learning, models, terminal
from napari_unetseg.cli.options import (
    AllowMissing,
    Anonymous,
    Json,
    Overwrite,
    Resample,
    Series,
    Spacing,
    given_paths,
    option,
    selection_of,
)
from napari_unetseg.core.allocator import reuse_freed_memory
from napari_unetseg.core.settings import SegmentSettings, Selection, help_of
from napari_unetseg.errors import OutputError, ResourceError, UnetsegError

if TYPE_CHECKING:
    from napari_unetseg.core.io.batch import Task
    from napari_unetseg.engine.networks.model_file import Model

UsageError: Any = typer.BadParameter.__base__  # click's own, or the one inside typer, depending on typer's version
DEFAULTS = SegmentSettings()
EVERYTHING = Selection()
MODEL_SUFFIX = ".safetensors"
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of the signal."""

app = typer.Typer(
    name="napari-unetseg",
    help="U-Net segmentation of microscopy, CT and MR stacks. Without a command, napari opens with the plugin docked.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    logging.getLogger().addHandler(logging.NullHandler())  # libraries' log lines would come between ours
    reuse_freed_memory()
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    terminal.hide(given_paths(sys.argv[1:] if arguments is None else arguments), anew=True)
    try:
        code = int(app(arguments, standalone_mode=False) or 0)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (UnetsegError, MemoryError, UsageError) as error:
        terminal.note(f"error: {_line(error)}")
        return 2
    if code == INTERRUPTED:  # typer makes it of Ctrl-C, too, without a word
        terminal.note("error: Cancelled; nothing half-written is left.")
    return code


def _line(error: Any) -> str:
    """What to tell of a failure that a user can mend."""
    if isinstance(error, MemoryError):
        why = f" ({error})" if str(error) else ""
        return f"Not enough memory{why}. Take a crop, fewer channels or a coarser level."
    if isinstance(error, UsageError):
        return f"{error.format_message()} See napari-unetseg --help."
    return str(error)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """U-Net segmentation of microscopy, CT and MR stacks. Without a command, napari opens with the plugin docked."""
    if version:
        terminal.say(__version__)
    elif context.invoked_subcommand is None:
        _open_viewer()


@app.command()
def segment(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Images, DICOM folders, folders of images.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write; for several images, an existing folder.")],
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            help="A bundled model's name or a model file, or 'nearest', likely or not. Default: by the image.",
        ),
    ] = None,
    device: Annotated[str, option(SegmentSettings, "device")] = DEFAULTS.device,
    write: Annotated[str, option(SegmentSettings, "write")] = DEFAULTS.write,
    flips: Annotated[bool, option(SegmentSettings, "flips", "--flips")] = DEFAULTS.flips,
    vote: Annotated[bool, option(SegmentSettings, "vote", "--vote")] = DEFAULTS.vote,
    smallest: Annotated[float, option(SegmentSettings, "smallest")] = DEFAULTS.smallest,
    scale: Annotated[float, option(SegmentSettings, "scale")] = DEFAULTS.scale,
    step: labels.OwnSteps = None,
    spacing: Spacing = None,
    unit: Annotated[str | None, option(Selection, "unit")] = None,
    channel: Annotated[str | None, option(Selection, "channels", "--channel")] = None,
    time_point: Annotated[str | None, typer.Option("--time", metavar="N|all", help=help_of(Selection, "time"))] = None,
    image: Annotated[int | None, option(Selection, "image", "--image")] = EVERYTHING.image,
    level: Annotated[int, option(Selection, "level")] = EVERYTHING.level,
    series: Series = None,
    resample: Resample = None,
    stack: Annotated[bool, typer.Option("--stack", help="A folder of pictures is one volume, slice by slice.")] = False,
    allow_missing: AllowMissing = False,
    anonymous: Anonymous = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Segment images into labels, numbered objects or probabilities."""
    from napari_unetseg import api
    from napari_unetseg.core.io.batch import plan_tasks
    from napari_unetseg.core.models.selection import NEAREST
    from napari_unetseg.core.steps import parse_step

    steps = tuple(parse_step(text) for text in step) if step else None
    settings = SegmentSettings(device, write, flips, vote, smallest, scale, steps)  # type: ignore[arg-type] # checked when made
    selection = selection_of(
        spacing,
        unit,
        channel,
        time_point,
        level,
        image=image,
        allow_missing=allow_missing,
        series=series,
        resample=resample,
    )
    terminal.hide(inputs, names=anonymous)
    ending = "probabilities" if write == "probabilities" else "labels"
    with terminal.notes_at_end():
        tasks = plan_tasks(inputs, out, ending, stack, overwrite, anonymous=anonymous)
    terminal.hide([task.source for task in tasks], names=anonymous)
    loaded = model if model == NEAREST else api.load_model(model) if model else None
    if len(tasks) == 1:
        record = _segment_one(tasks[0], loaded, selection, settings, anonymous)
    else:
        record = _segment_all(tasks, loaded, selection, settings, anonymous) | {"output": str(out)}
    if as_json:
        terminal.say_json(record)
    else:
        terminal.show_segmented(record)
    if record.get("failures"):
        raise typer.Exit(2)


def _segment_one(
    task: Task, model: Model | str | None, selection: Selection, settings: SegmentSettings, anonymous: bool
) -> dict[str, Any]:
    """Segment one file, say where the result is, and return the record for programs."""
    from napari_unetseg import api
    from napari_unetseg.core.io.outputs import remember_source

    with terminal.notes_at_end() as notes, terminal.progress_bar(terminal.title(task.source, anonymous)) as show:
        result = api.segment_file(task.source, task.target, model, selection, settings, show, anonymous=anonymous)
        notes.extend(result.notes)
    remember_source(task.target, task.source)
    record: dict[str, Any] = {
        "output": str(task.target),
        "model": result.model,
        "device": result.device,
        "seconds": result.seconds,
        "notes": terminal.shown_notes(notes),
    }
    if result.labels.are_objects:
        record["objects"] = sum(int(labels.array.max()) for labels in result.series or (result.labels,))
    return record


def _segment_all(
    tasks: Sequence[Task], model: Model | str | None, selection: Selection, settings: SegmentSettings, anonymous: bool
) -> dict[str, Any]:
    """Segment many files; one that fails is told of and does not stop the others."""
    started = time.perf_counter()
    results, failures = [], []
    for number, task in enumerate(tasks):
        try:
            results.append(_segment_one(task, model, selection, settings, anonymous))
        except UnetsegError as error:
            name = terminal.title(task.source, anonymous, number, len(tasks))
            terminal.note(f"error: {name}: {error}")
            failures.append({"input": name, "error": terminal.without_hidden(str(error))})
            if isinstance(error, OutputError):  # a full disk is full for the next one too
                break
    models, devices = (", ".join(sorted({r[key] for r in results})) for key in ("model", "device"))
    return {
        "model": models,
        "device": devices,
        "seconds": time.perf_counter() - started,
        "results": results,
        "failures": failures,
    }


for _command in (learning.finetune, *labels.ALL, *models.ALL):
    app.command()(_command)


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="An image, a folder, a model file or a bundled model's name.")],
    image: Annotated[int | None, option(Selection, "image", "--image")] = EVERYTHING.image,
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Tell what an image or a model file holds, without loading it."""
    from napari_unetseg.core.models.catalogue import find_model, list_models, picture_of, read_card

    if file.suffix == MODEL_SUFFIX or (str(file) in (card.name for card in list_models()) and not file.exists()):
        card = read_card(find_model(file))
        picture = str(picture_of(file) or "")
        record = card.model_dump(mode="json", exclude={"looks", "appearance"}) | {"picture": picture or None}
        shown = {**terminal.card_facts(card), "picture": picture}
    else:
        from napari_unetseg.core.io.loadsave import inspect
        from napari_unetseg.core.io.selecting import notes_of

        found = inspect(file, image, series=series)
        notes = notes_of(found, Selection(image=image))
        record, shown = terminal.volume_record(found, notes), terminal.volume_facts(found, notes)
    if as_json:
        terminal.say_json(record)
    else:
        terminal.facts(shown)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to; made where it is missing.")] = Path(
        "demo_output"
    ),
    sample: Annotated[str, typer.Option("--sample", help="Which of the bundled images.")] = "hippocampus",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Segment a bundled image, score the result, and write labels, a picture and the table."""
    from napari_unetseg.cli.demo import demo_record, run_demo
    from napari_unetseg.cli.scores import show_evaluation

    with terminal.notes_at_end(), terminal.progress_bar(sample) as show:
        result = run_demo(out, sample, show, overwrite=overwrite)
    if as_json:
        terminal.say_json(demo_record(result))
        return
    show_evaluation(result.evaluation, f"{result.title}, held out from training")
    terminal.facts({"labels": str(result.labels), "picture": str(result.picture), "table": str(result.table)})


def _open_viewer() -> None:
    """Open napari with the plugin's home docked."""
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"} & os.environ.keys():
        raise ResourceError("napari needs a display to open a window; there is none. See napari-unetseg --help.")
    try:
        import napari
        from npe2 import PluginManager
        from qtpy import QtWidgets  # noqa: F401 # napari itself would only fail later, and less clearly
    except ImportError as error:
        raise ResourceError('napari needs Qt to open a window; pip install "napari-unetseg[all]".') from error
    viewer = napari.Viewer()
    PluginManager.instance().commands.execute("napari-unetseg.start", args=(viewer,))
    napari.run()
