"""Learning from corrections, as the command *finetune* does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_unetseg.cli import terminal
from napari_unetseg.core.annotations.corrections import parse_right
from napari_unetseg.core.annotations.expected_dice import ExpectedDice, expected_record
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.privacy import neutral_name
from napari_unetseg.core.settings import Selection
from napari_unetseg.errors import SettingsError


@dataclass(frozen=True)
class CorrectedFiles:
    """What the command was given: images, results and their corrected copies, as many of each.

    Parameters
    ----------
    right : sequence of str
        As typed, see `core.annotations.corrections.parse_right`.
    labels_out : Path or None
        A file for one image; a folder for several.
    """

    images: Sequence[Path]
    corrected: Sequence[Path]
    results: Sequence[Path]
    right: Sequence[str] = ()
    labels_out: Path | None = None

    @property
    def read(self) -> list[Path]:
        """All that is read."""
        return [*self.images, *self.corrected, *self.results]


def check_corrected(files: CorrectedFiles) -> None:
    """Raise `SettingsError` unless each image has a result and a corrected copy."""
    if not len(files.images) == len(files.corrected) == len(files.results):
        raise SettingsError(
            "Expected a --result and its --corrected copy for each image; got "
            f"{len(files.images)} images, {len(files.results)} and {len(files.corrected)}."
        )


def learned_record(
    out: Path, steps: int, mean_dice: float | None, seconds: float, expected: Mapping[int, ExpectedDice]
) -> dict[str, Any]:
    """What programs are told of a model that was learned."""
    record = {"model": str(out), "steps": steps, "held_out_dice": mean_dice, "seconds": seconds}
    return {**record, "expected_dice": expected_record(expected)}


def learn_corrected(
    files: CorrectedFiles,
    out: Path,
    model: str | None,
    selection: Selection,
    settings: FineTuneSettings,
    *,
    anonymous: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Learn from corrections, write the model and the next results, and return the record for programs."""
    from napari_unetseg import api

    rights, targets = parse_right(files.right, len(files.images)), _targets(files, anonymous, overwrite)
    with terminal.notes_at_end() as notes, terminal.progress_bar(terminal.title(files.images[0], anonymous)) as show:
        images = []
        for i, (image, result, corrected) in enumerate(zip(files.images, files.results, files.corrected, strict=True)):
            volume = api.load_volume(image, selection)
            if anonymous:
                volume = replace(volume, name=neutral_name("image", i, len(files.images)))
            images.append(api.corrected_image(volume, result, api.load_labels(corrected, selection), rights[i]))
        start = api.maker_of([each.result for each in images], [*files.results, *files.corrected], model)
        learned = api.learn_corrections(images, out, start, settings, targets, show, anonymous=anonymous)
        notes.extend(learned.notes)
    tuned = learned.tuned
    record = learned_record(out, tuned.steps, tuned.mean_dice, tuned.seconds, tuned.expected)
    outputs = {"labels": [str(path) for path in targets]} if targets else {}
    return {**record, "start": learned.start, "corrected": learned.corrected, **outputs}


def _targets(files: CorrectedFiles, anonymous: bool, overwrite: bool) -> list[Path]:
    """Where the next results go; that they can be written there is checked before anything is computed."""
    from napari_unetseg.api import corrections_path
    from napari_unetseg.core.io.batch import plan_tasks
    from napari_unetseg.core.io.outputs import LABELS, check_output

    if files.labels_out is None:
        return []
    with terminal.notes_at_end():
        tasks = plan_tasks(files.images, files.labels_out, LABELS.name, overwrite=overwrite, anonymous=anonymous)
    if len(tasks) != len(files.images):
        raise SettingsError("Expected images one by one with --labels-out, no folders of them.")
    for task in tasks:
        check_output(task.target, LABELS, overwrite=overwrite, inputs=files.read)
        check_output(corrections_path(task.target), LABELS, overwrite=overwrite, inputs=files.read)
    return [task.target for task in tasks]
