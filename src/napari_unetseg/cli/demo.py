"""The main job once, on a bundled image: labels, a picture of them, and a table of how good they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_unetseg import api
from napari_unetseg.cli.scores import evaluation_record
from napari_unetseg.core.io.outputs import LABELS, PICTURE, TABLE, check_output, make_folder
from napari_unetseg.core.io.samples import find_sample
from napari_unetseg.core.metrics.scores import Evaluation
from napari_unetseg.core.metrics.table import save_table
from napari_unetseg.core.progress import Progress
from napari_unetseg.core.report.overlay import save_overlay
from napari_unetseg.core.volume import Labels


@dataclass(frozen=True)
class Demo:
    """What `run_demo` wrote, and how good it was.

    Parameters
    ----------
    title, model, device : str
    image, labels, picture, table : Path
        The bundled image, and the three files that were written.
    seconds : float
        From reading the image to the last file.
    """

    title: str
    model: str
    device: str
    image: Path
    labels: Path
    picture: Path
    table: Path
    evaluation: Evaluation
    seconds: float


def run_demo(
    folder: Path, name: str, on_progress: Callable[[Progress], None] | None = None, *, overwrite: bool = False
) -> Demo:
    """Segment a bundled image into `folder`, which is made where it is missing.

    Raises
    ------
    InputError
        If there is no sample of that name.
    OutputError
        If the folder cannot be made or written to, or a file there is of another kind and not to `overwrite`.
    """
    started = time.perf_counter()
    sample = find_sample(name)
    suffix = "".join(sample.image.suffixes)
    labels, picture, table = (folder / f"{name}{end}" for end in (f"-labels{suffix}", "-overlay.png", "-metrics.csv"))
    make_folder(folder)
    for target, kind in ((labels, LABELS), (picture, PICTURE), (table, TABLE)):
        check_output(target, kind, overwrite=overwrite)
    volume = api.load_volume(sample.image)
    result = api.segment(volume, sample.model, on_progress=on_progress)
    reference = _named(api.load_labels(sample.labels), result.labels)
    evaluation = api.evaluate(result.labels, reference)
    api.save_labels(labels, result.labels)
    save_overlay(picture, volume, {result.model: result.labels, "reference": reference})
    save_table(table, evaluation)
    seconds = time.perf_counter() - started
    return Demo(sample.title, result.model, result.device, sample.image, labels, picture, table, evaluation, seconds)


def demo_record(demo: Demo) -> dict[str, Any]:
    """A demonstration for programs: what was written, how it ran, and the score."""
    paths = {name: str(getattr(demo, name)) for name in ("image", "labels", "picture", "table")}
    run = {"model": demo.model, "device": demo.device, "seconds": demo.seconds}
    return paths | run | evaluation_record(demo.evaluation)


def _named(reference: Labels, predicted: Labels) -> Labels:
    """The reference with the names that the model gives: both mean the same labels."""
    return replace(reference, structures=predicted.structures, are_objects=predicted.are_objects)
