"""Scores and measures as the commands tell them: tables and advice for people, records for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_unetseg.cli.terminal import print_table, say
from napari_unetseg.core.metrics.columns import KINDS, Row, cell, columns_of, label_of, name_of
from napari_unetseg.core.metrics.folders import summarise
from napari_unetseg.core.metrics.limits import MARKS, Limit, Limits, judge, judged
from napari_unetseg.core.metrics.scores import METRICS, Evaluation
from napari_unetseg.core.metrics.table import table_rows
from napari_unetseg.core.models.advice import Advice, advice_record, advise, advise_cases
from napari_unetseg.core.units import quantity

ASKED_FOR = ("dice", "iou", "precision", "sensitivity", "small_recall", "hausdorff95", "assd")
"""Figures that are shown, where they apply."""
Cases = Mapping[str, Evaluation]


def passes(evaluation: Evaluation, limits: Limits) -> bool:
    """Whether no structure misses a limit, and of two levels the acceptable one."""
    return all(judge(row, limits).passed is not False for row in table_rows(evaluation))


def evaluation_record(evaluation: Evaluation, limits: Limits = ()) -> dict[str, Any]:
    """A score for programs, with advice, and how each structure stands to limits.

    That of numbered objects also has the figures most asked for at its top.
    """
    record = evaluation.to_dict() | {"advice": advice_record(advise(evaluation))}
    _add_verdicts(record, evaluation, limits)
    found = evaluation.objects
    if found is not None:
        scores = record["objects"]
        record |= {"f1_50": scores["f1"], "objects": found.predicted, "reference_objects": found.reference}
        record["object_scores"] = scores
    return record


def cases_record(cases: Cases, limits: Limits = ()) -> dict[str, Any]:
    """Many scores for programs: `core.metrics.folders.summarise` with advice, and verdicts in each case."""
    record = summarise(cases) | {"advice": advice_record(advise_cases(cases))}
    for case in record["cases"]:
        _add_verdicts(case, cases[case["case"]], limits)
    return record


def show_evaluation(evaluation: Evaluation, heading: str, limits: Limits = ()) -> None:
    """Print the table of a score: the figures most asked for, those of single objects, and advice."""
    rows = table_rows(evaluation)
    means = {"label": "", "name": "mean", "unit": evaluation.unit} | {name: evaluation.mean(name) for name in METRICS}
    _print_figures(heading, [*rows, means] if len(rows) > 1 else rows, evaluation.dimensions)
    say(f"mean Dice {cell(evaluation.mean_dice)}, mean IoU (mIoU) {cell(evaluation.mean_iou)}")
    if evaluation.objects is not None:
        found = evaluation.objects
        titles = ("objects", "in reference", "matched", "F1@0.5", "PQ@0.5", "splits", "merges")
        figures = (found.predicted, found.reference, found.matched, found.f1, found.panoptic_quality)
        print_table("numbered objects", titles, [tuple(map(cell, (*figures, found.splits, found.merges)))])
    if limits:
        wanted = ("label", "structure", "limits", *(_wanted(limit, evaluation.unit) for limit in limits))
        print_table("limits: good / acceptable", wanted, [_verdict(row, limits) for row in rows])
    _say_advice(advise(evaluation))


def show_cases(cases: Cases, heading: str, limits: Limits = ()) -> None:
    """Print a row a case, the means of each structure over the cases, and advice."""
    summary = summarise(cases)
    rows = [(case, cell(e.mean_dice), cell(e.mean_iou), _missing(e, limits)) for case, e in cases.items()]
    rows.append(("mean", cell(summary["mean_dice"]), cell(summary["mean_iou"]), ""))
    shown = 4 if limits else 3
    titles = ("case", "mean Dice", "mean IoU (mIoU)", "limits missed by")
    print_table(heading, titles[:shown], [row[:shown] for row in rows])
    means = [{**row, "unit": summary["unit"] or "pixel"} for row in summary["structures"]]
    if means:
        dimensions = next(iter(cases.values())).dimensions
        _print_figures(f"means over {len(cases)} cases", means, dimensions)
    _say_advice(advise_cases(cases))


def show_measures(rows: Sequence[Row], dimensions: int, heading: str) -> None:
    """Print what `core.metrics.measure` says, in units in which it is read best; nothing to show is said."""
    if not rows:
        say(f"{heading}: no labels")
        return
    columns, of_objects = columns_of(rows, dimensions), "object" in rows[0]
    titles = ("object" if of_objects else "label", "structure", *(column.heading for column in columns))
    names = (str(row["structure"]) if of_objects else name_of(row) for row in rows)
    cells = [
        (str(label_of(row)), name, *(column.text(row) for column in columns))
        for row, name in zip(rows, names, strict=True)
    ]
    print_table(heading, titles, cells)


def _print_figures(heading: str, rows: Sequence[Row], dimensions: int) -> None:
    columns = [column for column in columns_of(rows, dimensions) if column.key in ASKED_FOR]
    cells = [(str(row["label"]), str(row["name"]), *(column.text(row) for column in columns)) for row in rows]
    print_table(heading, ("label", "structure", *(column.heading for column in columns)), cells)


def _wanted(limit: Limit, unit: str) -> str:
    """What heads a limit's column: ``HD < 5 / 10 mm``."""
    shown = limit.in_unit(unit) or limit
    levels = " / ".join(quantity(level) for level in (shown.value, shown.acceptable) if level is not None)
    return f"{KINDS[limit.metric].title} {'<' if limit.is_distance else '>'} {levels} {shown.unit}".strip()


def _verdict(row: Row, limits: Limits) -> tuple[str, ...]:
    """How a row stands to limits, and each of the figures to its own."""
    marks = (MARKS[limit.rating(row.get(limit.metric), row["unit"])] for limit in limits)
    figures = (f"{mark} {cell(row.get(limit.metric))}".strip() for mark, limit in zip(marks, limits, strict=True))
    return str(row["label"]), str(row["name"]), judge(row, limits).word or "–", *figures


def _missing(evaluation: Evaluation, limits: Limits) -> str:
    """The structures that miss a limit, or a mark that none does."""
    missed = [str(row["name"]) for row in table_rows(evaluation) if judge(row, limits).passed is False]
    return f"✗ {', '.join(missed)}" if missed else "✓"


def _say_advice(advice: Sequence[Advice]) -> None:
    for one in advice:
        say(f"→ {one.text}")


def _add_verdicts(record: dict[str, Any], evaluation: Evaluation, limits: Limits) -> None:
    """Say in a score's record how each structure stands to limits, where there are any."""
    if limits:
        for structure, verdict in zip(record["structures"], judged(table_rows(evaluation), limits), strict=True):
            structure["limits"] = verdict
        record["limits_passed"] = passes(evaluation, limits)
