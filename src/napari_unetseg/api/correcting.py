"""The verbs that learn from corrections: a result, its corrected copy, and the model that made it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unetseg.api.inputs import Image, Labelling, as_labels, as_volume
from napari_unetseg.api.learning import FINE_TUNING, fine_tune_file, several
from napari_unetseg.api.segmenting import Segmentation, iter_segment
from napari_unetseg.core.annotations.corrections import Right, corrections
from napari_unetseg.core.geometry.same_grid import check_place
from napari_unetseg.core.io.formats.registry import stem
from napari_unetseg.core.io.loadsave import load_labels, save_labels
from napari_unetseg.core.models.catalogue import find_maker, find_model, read_card, weights_sha256
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings, anonymous_labels
from napari_unetseg.core.progress import Progress, finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import InputError, ModelError

if TYPE_CHECKING:
    from napari_unetseg.engine.fewshot.fine_tune import FineTuned

ENDING = "-corrections"
"""Behind a result's name: the paint of what a person has corrected in it."""


@dataclass(frozen=True)
class CorrectedImage:
    """An image, a result of a model on it, and what a person says of that.

    Parameters
    ----------
    volume : Volume
    result : Labels
        As the model made it; with corrections of earlier rounds, where there were any.
    painted : Labels
        All corrections, of earlier rounds too, as paint: see `core.annotations.corrections.corrections`.
    """

    volume: Volume
    result: Labels
    painted: Labels


@dataclass(frozen=True)
class LearnedCorrections:
    """What learning from corrections gave.

    Parameters
    ----------
    tuned : FineTuned
        The model, its steps and its held-out Dice.
    results : tuple of Segmentation
        The next result of each image, in which all corrections are as they were painted; empty where none was asked
        for.
    start : str
        What the model to begin with is called.
    corrected : int
        Voxels that were corrected, all in all.
    notes : tuple of str
    """

    tuned: FineTuned
    results: tuple[Segmentation, ...]
    start: str
    corrected: int
    notes: tuple[str, ...] = ()


def corrections_path(result: Path) -> Path:
    """Where the paint of corrections that a result keeps lies: beside it, in its format."""
    name = stem(result)
    return result.with_name(f"{name}{ENDING}{result.name[len(name) :]}")


def corrected_image(
    volume: Image, result: Labelling, corrected: Labelling, right: Right | None = None, earlier: Labelling | None = None
) -> CorrectedImage:
    """What a person has corrected in a result; of a result in a file, what was corrected before lies beside it.

    Raises
    ------
    InputError
        If the grids differ, or nothing is corrected.
    SettingsError
        If a slice that is marked as right is not there.
    """
    image, before, after = as_volume(volume), as_labels(result), as_labels(corrected)
    if before.shape != image.shape:
        raise InputError(
            f"Expected a result on the image's grid, of shape {image.shape} (z, y, x); {before.name} has "
            f"{before.shape}. Name the image that it was made of."
        )
    check_place(image, before)
    paint = _kept_beside(Path(result)) if earlier is None and isinstance(result, (str, Path)) else earlier
    kept = None if paint is None else as_labels(paint)
    return CorrectedImage(image, before, corrections(before, after, right, kept))


def maker_of(results: Sequence[Labels], files: Sequence[Path] = (), model: str | Path | None = None) -> Path:
    """The file of the model that made some results: by its weights, bundled or beside them, or the one that is named.

    Parameters
    ----------
    files : sequence of Path
        Where the results lie, and other places beside which it may lie.
    model : str, Path or None
        A bundled model's name or a model file, in place of the one that made them; a warning says where it is another.

    Raises
    ------
    ModelError
        If it is gone, or nobody knows which one it was.
    """
    makers = {labels.made_by for labels in results} - {None}
    if model is not None:
        path = find_model(model)
        for made_by in makers:
            if made_by is not None and made_by.sha256 not in ("", weights_sha256(path)):
                warnings.warn(
                    f"The result was made by {made_by.name}; learning goes on from {read_card(path).name}.",
                    stacklevel=2,
                )
        return path
    first = results[0]
    if len(makers) > 1 or any(labels.made_by is None for labels in results):
        whose = "different models" if len(makers) > 1 else "no model that it names"
        raise ModelError(
            f"Expected results of one model; {first.name} was made by {whose}. Name the model to go on from with "
            "--model."
        )
    made_by = makers.pop()
    found = (
        None if made_by is None else find_maker(made_by, list(dict.fromkeys(path.absolute().parent for path in files)))
    )
    if made_by is None or found is None:
        name = made_by.name if made_by is not None else "a model"
        raise ModelError(
            f"{first.name} was made by {name}, which is neither bundled nor beside it. Put its file there, or name a "
            "model with --model."
        )
    return found


def learn_corrections(
    images: CorrectedImage | Sequence[CorrectedImage],
    target: str | Path,
    model: str | Path,
    settings: FineTuneSettings = FINE_TUNING,
    labels_out: Sequence[Path] = (),
    on_progress: Callable[[Progress], None] | None = None,
    *,
    anonymous: bool = False,
) -> LearnedCorrections:
    """Let the model that made some results go on learning from what was corrected in them, and write it.

    Its structures are kept: where nobody corrected anything, a frozen copy of it says what stays.

    Parameters
    ----------
    images : CorrectedImage, or sequence of them
        Of one kind; see `corrected_image`.
    target : str or Path
        The model file to write.
    model : str or Path
        What made the results; see `maker_of`.
    labels_out : sequence of Path
        Where the next result of each image is written, and beside it the paint of all corrections.

    Raises
    ------
    OutputError
        If a file cannot be written.
    InputError, ModelError, SettingsError, ResourceError
        As `fine_tune`.
    """
    given: Sequence[CorrectedImage] = several(images)
    card = read_card(find_model(model))
    settings = replace(settings, corrects=True)
    volumes, painted = [each.volume for each in given], [each.painted for each in given]
    target = Path(target)
    tuned = fine_tune_file(volumes, painted, target, model, settings, on_progress, anonymous=anonymous)
    results = []
    for each, path in zip(given, labels_out, strict=bool(labels_out)):
        results.append(_next_result(each, tuned, settings.device, on_progress, anonymous))
        save_labels(corrections_path(path), replace(each.painted, name="corrections") if anonymous else each.painted)
        save_labels(path, results[-1].labels)
    corrected = sum(int(np.count_nonzero(labels.array)) for labels in painted)
    return LearnedCorrections(tuned, tuple(results), card.name, corrected, tuned.notes)


def _next_result(
    image: CorrectedImage,
    tuned: FineTuned,
    device: str,
    on_progress: Callable[[Progress], None] | None,
    anonymous: bool,
) -> Segmentation:
    """What the model finds now, with all corrections kept; numbered objects stay numbered objects."""
    settings = SegmentSettings(device, "objects" if image.result.are_objects else "auto")
    found = finish(iter_segment(image.volume, tuned.model, settings, corrections=image.painted), on_progress)
    return replace(found, labels=anonymous_labels(found.labels)) if anonymous else found


def _kept_beside(result: Path) -> Labels | None:
    """The paint of corrections that a result in a file keeps; a warning where it should be there and is not."""
    labels, path = load_labels(result), corrections_path(result)
    kept = labels.made_by.corrected if labels.made_by is not None else 0
    if not kept:
        return None
    try:
        return load_labels(path)
    except InputError:
        warnings.warn(
            f"{result.name} keeps {kept} corrected voxels, whose paint {path.name} is not beside it: the next result "
            "may lose them.",
            stacklevel=3,
        )
        return None
