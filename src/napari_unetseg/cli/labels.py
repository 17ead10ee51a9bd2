"""The commands that work on labels: score, measure, clean, mesh and report them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_unetseg.cli import terminal
from napari_unetseg.cli.options import AllowMissing, Anonymous, Json, Overwrite, Spacing, option, selection_of
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.privacy import neutral_name, shown_name
from napari_unetseg.core.settings import SegmentSettings, help_of
from napari_unetseg.errors import SettingsError

if TYPE_CHECKING:
    from napari_unetseg.core.metrics.limits import Limits
    from napari_unetseg.core.metrics.scores import Evaluation
    from napari_unetseg.core.settings import Selection
    from napari_unetseg.core.volume import Volume

Image = Annotated[Path | None, typer.Option("--image", help="The image that the labels are of.")]
LabelFile = Annotated[Path, typer.Argument(metavar="LABELS", help="A file of labels.")]
STEP = "'KIND NAME=VALUE…'"
Steps = Annotated[
    list[str] | None,
    typer.Option(
        "--step",
        metavar=STEP,
        help="A step, once for each, in order: keep_largest [parts=2], remove_small volume=10 unit=um, "
        "fill_holes [per_slice=true], smooth radius=1, dilate distance=1, erode distance=1, separate [depth=1] "
        "[along=edges], number_parts, merge_tiles tile=64,256,256, renumber; and, first of all, "
        "crf [per_slice=true] with --image, prior [strength=0.5] with --map or --painted. All take structures=1,2.",
    ),
]
OwnSteps = Annotated[list[str] | None, typer.Option("--step", metavar=STEP, help=help_of(SegmentSettings, "cleanup"))]
Probabilities = Annotated[
    Path | None,
    typer.Option("--probabilities", help="For crf and prior: channels background and structures. Else: the labels."),
]
MISSED = 1
"""Exit code where a structure misses a limit."""
LimitsName = Annotated[
    str | None,
    typer.Option(
        "--limits",
        metavar="NAME|FILE",
        help="Hold each structure against clinical, planning, volumetry or detection, or a file (.toml, .json). Exit "
        "code 1 if one misses a limit, and of two levels the acceptable one.",
    ),
]
Soft = Annotated[
    Path | None,
    typer.Option(
        "--probabilities",
        help="What segment --write probabilities wrote: surfaces and volumes are measured finer than voxels.",
    ),
]
Map = Annotated[
    Path | None,
    typer.Option("--map", help="For prior: how likely each structure is at each place, channel by channel."),
]
Painted = Annotated[
    Path | None,
    typer.Option(
        "--painted", help="For prior, instead of a map: painted slices, 0 unknown, 1 background, 2… structures."
    ),
]


def evaluate(
    predicted: Annotated[Path, typer.Argument(help="Labels to score, or a folder of them.")],
    reference: Annotated[Path, typer.Argument(help="Labels that are right, or a folder with the same names.")],
    spacing: Spacing = None,
    objects: Annotated[
        bool | None,
        typer.Option("--objects/--classes", help="What the numbers are. Default: as the files say, or by how many."),
    ] = None,
    painted: Annotated[
        bool, typer.Option("--painted", help="The reference is paint: 0 unknown, 1 background, 2… structures.")
    ] = False,
    tolerance: Annotated[float | None, option(MetricSettings, "tolerance")] = None,
    limits: LimitsName = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Also write the table, as CSV.")] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="For folders. Default: one for each processor.")
    ] = None,
    allow_missing: AllowMissing = False,
    anonymous: Anonymous = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Score labels against a reference, structure by structure; of two folders, file by file."""
    from napari_unetseg.core.io.outputs import TABLE, check_output
    from napari_unetseg.core.metrics.folders import is_labels_folder
    from napari_unetseg.core.metrics.limits import find_limits
    from napari_unetseg.core.metrics.table import save_table

    terminal.hide([predicted, reference], names=anonymous)
    wanted = () if limits is None else find_limits(limits)
    settings = MetricSettings(tolerance=tolerance, objects=objects)
    selection = selection_of(spacing, allow_missing=allow_missing)
    if out is not None:
        check_output(out, TABLE, overwrite=overwrite, inputs=[predicted, reference])
    found: Evaluation | dict[str, Evaluation]
    if is_labels_folder(predicted) or is_labels_folder(reference):
        if painted:
            raise SettingsError("Painted labels are scored file by file; give two files.")
        found = _evaluate_folders(predicted, reference, selection, settings, processes)
        if anonymous:
            found = {neutral_name("case", i, len(found)): scores for i, scores in enumerate(found.values())}
    else:
        found = _evaluate_files(predicted, reference, selection, settings, painted)
    if out is not None:
        save_table(out, found, wanted)
    title = f"{terminal.title(predicted, anonymous)} against {terminal.title(reference, anonymous)}"
    if not _tell_scores(found, title, wanted, as_json):
        raise typer.Exit(MISSED)


def _tell_scores(found: Evaluation | dict[str, Evaluation], title: str, limits: Limits, as_json: bool) -> bool:
    """Print scores; returns whether no structure misses a limit."""
    from napari_unetseg.cli import scores

    if isinstance(found, dict):
        if as_json:
            terminal.say_json(scores.cases_record(found, limits))
        else:
            scores.show_cases(found, title, limits)
        return all(scores.passes(evaluation, limits) for evaluation in found.values())
    if as_json:
        terminal.say_json(scores.evaluation_record(found, limits))
    else:
        scores.show_evaluation(found, title, limits)
    return scores.passes(found, limits)


def _evaluate_files(
    predicted: Path, reference: Path, selection: Selection, settings: MetricSettings, painted: bool
) -> Evaluation:
    from napari_unetseg import api
    from napari_unetseg.core.metrics.evaluation import evaluate, evaluate_painted

    with terminal.notes_at_end():
        result, truth = (api.load_labels(path, selection) for path in (predicted, reference))
        return evaluate_painted(result, truth, settings) if painted else evaluate(result, truth, settings)


def _evaluate_folders(
    predicted: Path, reference: Path, selection: Selection, settings: MetricSettings, processes: int | None
) -> dict[str, Evaluation]:
    from napari_unetseg import api
    from napari_unetseg.core.progress import finish

    with terminal.notes_at_end(), terminal.progress_bar("evaluate") as show:
        return finish(api.iter_evaluate_folders(predicted, reference, selection, settings, processes), show)


def measure(
    labels: LabelFile,
    image: Image = None,
    objects: Annotated[bool, typer.Option("--objects", help="One row an object instead of a structure.")] = False,
    probabilities: Soft = None,
    spacing: Spacing = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Also write the table, as CSV.")] = None,
    allow_missing: AllowMissing = False,
    anonymous: Anonymous = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure labels without a reference: volume, surface, parts, extent and brightness."""
    from napari_unetseg import api
    from napari_unetseg.cli.scores import show_measures
    from napari_unetseg.core.io.outputs import TABLE, check_output
    from napari_unetseg.core.metrics.measure import measure_objects, measure_structures
    from napari_unetseg.core.metrics.scores import finite
    from napari_unetseg.core.metrics.table import write_csv

    terminal.hide(filter(None, (labels, image, probabilities)), names=anonymous)
    selection = selection_of(spacing, allow_missing=allow_missing)
    if out is not None:
        check_output(out, TABLE, overwrite=overwrite, inputs=[labels])
    with terminal.notes_at_end():
        found = api.load_labels(labels, selection)
        rows = (measure_objects if objects else measure_structures)(
            found, _load(image, selection), _load(probabilities, selection)
        )
    if out is not None:
        write_csv(out, rows)
    if as_json:
        terminal.say_json({"objects" if objects else "structures": finite(rows), "unit": found.grid.unit})
    else:
        dimensions = 2 if found.array.shape[0] == 1 else 3
        show_measures(rows, dimensions, terminal.title(labels, anonymous))


def clean(
    labels: LabelFile,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")],
    step: Steps = None,
    image: Image = None,
    probabilities: Probabilities = None,
    prior: Map = None,
    painted: Painted = None,
    spacing: Spacing = None,
    allow_missing: AllowMissing = False,
    anonymous: Anonymous = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Clean labels up, step by step."""
    from napari_unetseg import api
    from napari_unetseg.core.io.outputs import LABELS, check_output
    from napari_unetseg.core.steps import parse_step, steps_to_json

    if not step:
        raise SettingsError("Expected one --step or more, such as --step keep_largest; see clean --help.")
    steps, selection = [parse_step(text) for text in step], selection_of(spacing, allow_missing=allow_missing)
    asked = {"image": image, "probabilities": probabilities, "map": prior, "painted": painted}
    beside = {role: path for role, path in asked.items() if path is not None}
    terminal.hide([labels, *beside.values()], names=anonymous)
    check_output(out, LABELS, overwrite=overwrite, inputs=list(beside.values()))
    with terminal.notes_at_end(), terminal.progress_bar(terminal.title(labels, anonymous)) as show:
        seen, soft, likely = (_load(path, selection) for path in (image, probabilities, prior))
        slices = None if painted is None else api.load_labels(painted, selection)
        context = api.cleanup_context(seen, soft, likely, slices)
        cleaned = api.clean(api.load_labels(labels, selection), steps, context, show)
    api.save_labels(out, replace(cleaned, name="labels") if anonymous else cleaned)
    if as_json:
        given = {role: role if anonymous else shown_name(path) for role, path in beside.items()}
        terminal.say_json({"output": str(out), "steps": steps_to_json(steps), **given})
    else:
        terminal.say(str(out))


def report(
    labels: LabelFile,
    out: Annotated[Path, typer.Option("-o", "--out", help="HTML file to write.")],
    image: Image = None,
    reference: Annotated[Path | None, typer.Option("--reference", help="Labels that are right.")] = None,
    limits: Annotated[
        str | None, typer.Option("--limits", metavar="NAME|FILE", help="With --reference: see evaluate --limits.")
    ] = None,
    model: Annotated[str | None, typer.Option("-m", "--model", help="The model that made them: name or file.")] = None,
    step: Steps = None,
    spacing: Spacing = None,
    allow_missing: AllowMissing = False,
    anonymous: Anonymous = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Put a result on one page: pictures, tables, the model's card, versions. Steps tell what clean-up was done."""
    from napari_unetseg import api
    from napari_unetseg.core.io.outputs import PAGE, check_output
    from napari_unetseg.core.metrics.limits import find_limits
    from napari_unetseg.core.models.catalogue import find_model, read_card
    from napari_unetseg.core.models.fine_tuned_card import anonymous_card
    from napari_unetseg.core.report.page import save_report
    from napari_unetseg.core.report.record import Report, record_of
    from napari_unetseg.core.steps import parse_step

    selection, steps = (
        selection_of(spacing, allow_missing=allow_missing),
        tuple(parse_step(text) for text in step or ()),
    )
    files = {role: path for role, path in (("labels", labels), ("image", image), ("reference", reference)) if path}
    terminal.hide(files.values(), names=anonymous)
    wanted = () if limits is None else find_limits(limits)
    check_output(out, PAGE, overwrite=overwrite)
    with terminal.notes_at_end():
        card = None if model is None else read_card(find_model(model))
        result = api.load_labels(labels, selection)
        if card is not None and not result.structures:  # the file has no names: the model knows them
            result = replace(result, structures=card.structures)
        if anonymous:
            result, card = replace(result, name="labels"), card and anonymous_card(card)
        truth = None if reference is None else api.load_labels(reference, selection)
        page = Report(
            result,
            _load(image, selection),
            truth,
            None if truth is None else api.evaluate(result, truth),
            card,
            steps,
            {} if spacing is None else {"spacing": spacing},
            files,
            anonymous,
            wanted,
        )
        save_report(out, page)
    if as_json:
        made = datetime.now(UTC).isoformat(timespec="seconds")
        terminal.say_json({"output": str(out), "made": made, **record_of(page)})
    else:
        terminal.say(str(out))


def surfaces(
    labels: LabelFile,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write one file a structure to.")],
    suffix: Annotated[str, typer.Option("--format", help=".ply or .stl")] = ".ply",
    probabilities: Soft = None,
    spacing: Spacing = None,
    allow_missing: AllowMissing = False,
    anonymous: Anonymous = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write the surface of each structure as a mesh in physical units."""
    from napari_unetseg import api
    from napari_unetseg.core.io.outputs import MESH, check_folder, check_output
    from napari_unetseg.core.report.meshes import save_surfaces, surface_paths

    terminal.hide(filter(None, (labels, probabilities)), names=anonymous)
    check_folder(out)
    with terminal.notes_at_end():
        selection = selection_of(spacing, allow_missing=allow_missing)
        found = api.load_labels(labels, selection)
        for path in surface_paths(out, found, f".{suffix.lstrip('.')}").values():
            check_output(path, MESH, overwrite=overwrite)
        paths = save_surfaces(out, found, f".{suffix.lstrip('.')}", _load(probabilities, selection))
    if not paths:
        terminal.note(f"note: {terminal.title(labels, anonymous)} holds no labels; nothing was written.")
    if as_json:
        terminal.say_json({"outputs": [str(path) for path in paths]})
    else:
        for path in paths:
            terminal.say(str(path))


def _load(image: Path | None, selection: Selection) -> Volume | None:
    from napari_unetseg import api

    return None if image is None else api.load_volume(image, selection)


ALL = (evaluate, measure, clean, surfaces, report)
"""In the order in which help lists them."""
