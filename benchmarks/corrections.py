"""How much a corrected slice improves the others: a simulated person corrects the worst slice, and the model learns.

``python benchmarks/corrections.py --data DIR --csv rows.csv`` lets a bundled model segment volumes that its training
never saw. In each of `--rounds` rounds the slice of the lowest Dice is corrected as a whole and marked as right, and
the model goes on learning for `--steps` from all that was corrected so far, as ``finetune --corrected`` does. Beside it
stand the same slices corrected by hand without learning, and *Learn* from nothing (`general-2d`) with the same
slices painted. Dice is the mean over structures, off the corrected slices and over all; *lost* counts corrected voxels
that the next result does not hold. Rows are appended to the file as they come, and what is there is not measured
again; at the end it prints Markdown, and ``--table`` does only that.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from fewshot import facts
from napari_unetseg.api import corrected_image, fine_tune, load_model
from napari_unetseg.api.segmenting import iter_segment
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.models.verification import examples
from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.engine.networks.model_file import Model

MOST = (32, 128, 128)
"""Voxels of a volume that are taken, from its middle: so many a person corrects, and so many are learned in seconds."""
STEPS = 30
"""Of learning in a round: some 20 s of two cores that do nothing else."""
LEARNED = (5,)
"""Rounds after which *Learn* from nothing is measured too: it takes longer than correcting."""


@dataclass(frozen=True)
class Case:
    """A held-out volume of a bundled model, with its truth: `number` counts the examples of its card."""

    model: str
    number: int
    stack: bool = False


CASES = {
    "hippocampus 1": Case("hippocampus-3d", 0),
    "hippocampus 2": Case("hippocampus-3d", 13),
    "hippocampus 3": Case("hippocampus-3d", 26),
    "cell boundaries": Case("cell-boundary-3d", 0),
    "membranes, EM": Case("em-membrane-3d", 0),
    "chloroplasts (2D)": Case("chloroplast-2d", 0, stack=True),
}


@dataclass(frozen=True)
class Row:
    """One volume after one round; Dice off the corrected slices, and over all slices."""

    volume: str
    round: int
    slice: int
    start_off: float
    hand_all: float
    learned_off: float
    learned_all: float
    scratch_off: float | None
    corrected: int
    lost: int
    seconds: float


def loaded(case: Case, data: Path) -> tuple[Model, Volume, np.ndarray]:
    """The model, and the middle of a volume with its output labels (Z, Y, X)."""
    model = load_model(case.model)
    found = (e for rule in model.card.held_out for e in examples(rule, data))
    if case.stack:  # single slices of one stack
        parts = list(found)
        volume = replace(parts[0].volume, array=np.concatenate([part.volume.array for part in parts], axis=1))
        truth = np.concatenate([part.truth.array for part in parts])
    else:
        example = next(e for number, e in enumerate(found) if number == case.number)
        volume, truth = example.volume, example.truth.array
    starts = [max(0, (size - most) // 2) for size, most in zip(truth.shape, MOST, strict=True)]
    inside = tuple(slice(start, start + most) for start, most in zip(starts, MOST, strict=True))
    return model, replace(volume, array=np.ascontiguousarray(volume.array[:, *inside])), truth[inside]


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the structures of the truth, or of what was found where it has none; 1 where neither has one."""
    labels = set(np.unique(truth).tolist()) - {0} or set(np.unique(found).tolist()) - {0}
    pairs = [(found == label, truth == label) for label in labels]
    return fmean(2 * (f & t).sum() / (f.sum() + t.sum()) for f, t in pairs) if pairs else 1.0


def worst_slice(found: np.ndarray, truth: np.ndarray, right: list[int]) -> int:
    """The slice of the lowest Dice, of those that are not right yet; the one with most mistakes where several are."""
    left = [z for z in range(len(truth)) if z not in right]
    return min(left, key=lambda z: (round(dice(found[z], truth[z]), 2), -int((found[z] != truth[z]).sum())))


def segmented(volume: Volume, model: Model, painted: Labels | None = None) -> Labels:
    """Classes, with what a person corrected."""
    settings = SegmentSettings(device="cpu", write="classes")
    return finish(iter_segment(volume, model, settings, corrections=painted)).labels


def rounds(name: str, case: Case, data: Path, count: int, steps: int) -> Iterator[Row]:
    """Correct and learn, over and over."""
    model, volume, truth = loaded(case, data)
    settings = FineTuneSettings(steps=steps, device="cpu")
    start = result = segmented(volume, model)
    hand, painted, right = start.array.copy(), None, list[int]()
    for number in range(1, count + 1):
        z = worst_slice(result.array, truth, right)
        right.append(z)
        corrected = result.array.copy()
        corrected[z] = hand[z] = truth[z]
        pair = corrected_image(volume, result, replace(result, array=corrected), {"z": right}, painted)
        began, painted = time.process_time(), pair.painted
        tuned = fine_tune(volume, painted, model, replace(settings, corrects=True))
        took, model = time.process_time() - began, tuned.model
        result = segmented(volume, model, painted)
        told = painted.array > 0
        off = np.setdiff1d(np.arange(len(truth)), right)
        scratch = None
        if number in LEARNED:
            learned = fine_tune(volume, replace(painted, made_by=None), None, settings).model
            scratch = dice(segmented(volume, learned).array[off], truth[off])
        yield Row(
            name, number, z,
            dice(start.array[off], truth[off]), dice(hand, truth),
            dice(result.array[off], truth[off]), dice(result.array, truth),
            scratch, int(told.sum()), int((result.array[told] != truth[told]).sum()), took,
        )  # fmt: skip


def table(rows: list[Row]) -> str:
    """Markdown: a line a volume and round."""
    lines = [
        "| volume | round | off: before | off: learned | off: *Learn* from nothing | all: by hand | all: learned | "
        "corrected voxels | lost | seconds of cores |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.volume} | {r.round} | {r.start_off:.3f} | {r.learned_off:.3f} | "
        f"{'' if r.scratch_off is None else f'{r.scratch_off:.3f}'} | {r.hand_all:.3f} | {r.learned_all:.3f} | "
        f"{r.corrected} | {r.lost} | {r.seconds:.0f} |"
        for r in rows
    ]
    for number in sorted({r.round for r in rows}):
        group = [r for r in rows if r.round == number]
        scratch = [r.scratch_off for r in group if r.scratch_off is not None]
        lines.append(
            f"| **mean of {len(group)}** | {number} | {fmean(r.start_off for r in group):.3f} | "
            f"{fmean(r.learned_off for r in group):.3f} | {f'{fmean(scratch):.3f}' if scratch else ''} | "
            f"{fmean(r.hand_all for r in group):.3f} | {fmean(r.learned_all for r in group):.3f} | | "
            f"{sum(r.lost for r in group)} | |"
        )
    return "\n".join(lines)


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    whole, text = ("round", "slice", "corrected", "lost"), ("volume",)
    return [
        Row(**{k: v if k in text else int(v) if k in whole else float(v) if v else None for k, v in row.items()})  # type: ignore[arg-type]
        for row in found
    ]


def append_row(path: Path, row: Row) -> None:
    """Add a row to a file, with a head where it is new."""
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in asdict(row).items()})


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the labelled sets")
    parser.add_argument("--csv", type=Path, default=Path("corrections.csv"), help="file that rows are appended to")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS, help="of learning in each round")
    parser.add_argument("--volumes", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--table", action="store_true", help="only print what is in the file")
    asked: Any = parser.parse_args()
    done = {row.volume for row in read_rows(asked.csv)}
    if not asked.table:
        for name in asked.volumes:
            for row in rounds(name, CASES[name], asked.data, asked.rounds, asked.steps) if name not in done else ():
                append_row(asked.csv, row)
        print(facts())
    print(table(read_rows(asked.csv)))


if __name__ == "__main__":
    main()
