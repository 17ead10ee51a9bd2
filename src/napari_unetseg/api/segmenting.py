"""The verbs that use a model: find its structures, say how long that takes, measure how good it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unetseg.api.inputs import EVERYTHING, Image, as_volume
from napari_unetseg.api.labelling import iter_clean
from napari_unetseg.core.annotations.corrections import keep_corrections, keep_in_probabilities
from napari_unetseg.core.io.formats.registry import series_writer
from napari_unetseg.core.io.loadsave import load_volume, save_labels, save_series, save_volume
from napari_unetseg.core.io.outputs import LABELS, PROBABILITIES, check_output
from napari_unetseg.core.models.appearance import describe_image
from napari_unetseg.core.models.card import Score
from napari_unetseg.core.models.catalogue import list_models
from napari_unetseg.core.models.fine_tuned_card import anonymous_labels
from napari_unetseg.core.models.selection import NEAREST, select_model
from napari_unetseg.core.postprocess.context import CleanupContext
from napari_unetseg.core.postprocess.from_prediction import (
    classes_of,
    objects_of,
    probabilities_of,
    smallest_part,
    wants_objects,
)
from napari_unetseg.core.privacy import neutral_name
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.settings import SegmentSettings, Selection
from napari_unetseg.core.steps import leading_probability_steps
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import ModelError

if TYPE_CHECKING:
    from napari_unetseg.core.models.normalisation import Normaliser
    from napari_unetseg.core.models.verification import Check
    from napari_unetseg.core.progress import CostEstimate
    from napari_unetseg.engine.networks.model_file import Model


DEFAULTS = SegmentSettings()
IMAGE = neutral_name("image")


@dataclass(frozen=True)
class Segmentation:
    """What `segment` found.

    Parameters
    ----------
    labels : Labels
        On the volume's grid: classes, or numbered objects.
    probabilities : Volume or None
        Channels ``background`` and one for each structure, float; only where the settings ask for them.
    model, device : str
        Which model it was, and where it ran.
    seconds : float
        From the call to the result, reading of files included.
    notes : tuple of str
        What the user should know: a fall back to smaller tiles, voxels that were not finite.
    series : tuple of Labels
        Every time point, where all were asked for; `labels` are the first then.
    """

    labels: Labels
    probabilities: Volume | None
    model: str
    device: str
    seconds: float
    notes: tuple[str, ...] = ()
    series: tuple[Labels, ...] = ()


def load_model(model: str | Path) -> Model:
    """Load a bundled model by name, or a model file by path; see `engine.networks.model_file.load_model`."""
    from napari_unetseg.engine.networks import model_file

    return model_file.load_model(model)


def segment(
    volume: Image,
    model: Model | str | Path | None = None,
    settings: SegmentSettings = DEFAULTS,
    on_progress: Callable[[Progress], None] | None = None,
) -> Segmentation:
    """Find a model's structures in a volume.

    Parameters
    ----------
    volume : Volume, path, or ndarray of shape (Y, X), (Z, Y, X) or (C, Z, Y, X)
        A bare array has no voxel size; give a `Volume` where it is known.
    model : Model, str, Path or None
        A loaded model, a bundled model's name or a model file. None takes the bundled model whose channels, voxel size
        and training images are nearest, and says so in the notes; where none was made for such images, it is refused.
        ``"nearest"`` takes that one all the same.
    on_progress : callable
        Called with each `Progress`.

    Raises
    ------
    InputError
        If the volume cannot be read.
    ModelError
        If the model cannot be read or does not fit the volume, or none was named and none was made for such images.
    SettingsError
        If the settings ask for what the model cannot give.
    ResourceError
        If the device is not there, or the memory is not enough.
    """
    return finish(iter_segment(volume, model, settings), on_progress)


def iter_segment(
    volume: Image,
    model: Model | str | Path | None = None,
    settings: SegmentSettings = DEFAULTS,
    read: Normaliser | None = None,
    corrections: Labels | None = None,
) -> Job[Segmentation]:
    """`segment` as a generator of progress; its return value is the `Segmentation`, closing it cancels.

    `read` is how intensities are read where the volume is a part of a larger one; None measures the volume itself.
    `corrections` is paint on the volume, of which the result keeps every voxel as a person painted it.
    """
    started = time.perf_counter()
    volume = as_volume(volume)
    loaded, note = _as_model(model, volume)
    from napari_unetseg.engine.inference.predict import iter_predict  # what is refused needs no torch

    card, objects = loaded.card, wants_objects(loaded.card, settings)
    steps = card.cleanup if settings.cleanup is None else settings.cleanup
    weighing = leading_probability_steps(steps)
    asked = replace(settings, write="probabilities") if weighing else settings
    prediction = yield from iter_predict(loaded, volume, asked, read)
    classes, soft = prediction.classes, prediction.probabilities
    if weighing and soft is not None:
        context = CleanupContext(volume, probabilities_of(soft, card, volume))
        classes = (yield from iter_clean(classes_of(classes, card, volume, 0), weighing, context)).array
    yield Progress(1, 1, "Labelling")
    smallest = smallest_part(card, volume, settings)
    if objects:
        labels = objects_of(classes, prediction.seeds, card, volume, smallest)
    else:
        labels = classes_of(classes, card, volume, smallest)
    if len(steps) > len(weighing):
        labels = yield from iter_clean(labels, steps[len(weighing) :], CleanupContext(volume))
    labels = replace(labels, made_by=loaded.maker)
    likely = probabilities_of(soft, card, volume) if soft is not None and settings.write == "probabilities" else None
    if corrections is not None:
        labels = keep_corrections(labels, corrections)
        likely = likely and keep_in_probabilities(likely, corrections.array)
    return Segmentation(
        labels,
        likely,
        card.name,
        prediction.device,
        time.perf_counter() - started,
        note + prediction.notes,
    )


def segment_file(
    source: str | Path,
    target: str | Path,
    model: Model | str | Path | None = None,
    selection: Selection = EVERYTHING,
    settings: SegmentSettings = DEFAULTS,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    anonymous: bool = False,
) -> Segmentation:
    """Read an image, `segment` it, and write the result: labels, or the probabilities where the settings ask for them.

    With `anonymous`, the image's name is not in the result. Where the selection's time is ``"all"``, every time point
    is segmented, and a series written.

    Raises
    ------
    OutputError
        If the result cannot be written; known before anything is computed.
    InputError, ModelError, SettingsError, ResourceError
        As `segment`.
    """
    started = time.perf_counter()
    check_output(Path(target), PROBABILITIES if settings.write == "probabilities" else LABELS, overwrite=True)
    if selection.time == "all":
        return _segment_series(source, target, model, selection, settings, on_progress, anonymous=anonymous)
    volume = load_volume(source, selection)
    result = segment(replace(volume, name=IMAGE) if anonymous else volume, model, settings, on_progress)
    if result.probabilities is None:
        save_labels(target, anonymous_labels(result.labels) if anonymous else result.labels)
    else:
        save_volume(target, result.probabilities)
    return replace(result, seconds=time.perf_counter() - started)


def _segment_series(
    source: str | Path,
    target: str | Path,
    model: Model | str | Path | None,
    selection: Selection,
    settings: SegmentSettings,
    on_progress: Callable[[Progress], None] | None,
    *,
    anonymous: bool,
) -> Segmentation:
    """Segment time point after time point with one model, chosen by the first, and write them as one file."""
    started = time.perf_counter()
    first = load_volume(source, replace(selection, time=0))
    if first.times > 1:
        series_writer(Path(target))  # raises where its format cannot hold them
    loaded, note = _as_model(model, first)
    found = list[Segmentation]()
    for number in range(first.times):
        volume = first.at(number)
        volume = replace(volume, name=IMAGE) if anonymous else volume
        found.append(segment(volume, loaded, settings, on_progress and _at_time(on_progress, number, first.times)))
    labels = tuple(anonymous_labels(each.labels) if anonymous else each.labels for each in found)
    likely = [each.probabilities for each in found if each.probabilities is not None]
    if first.times > 1:
        save_series(target, likely or labels)
    elif likely:
        save_volume(target, likely[0])
    else:
        save_labels(target, labels[0])
    notes = tuple(dict.fromkeys(note + tuple(text for each in found for text in each.notes)))
    return replace(found[0], seconds=time.perf_counter() - started, notes=notes, series=labels)


def _at_time(show: Callable[[Progress], None], number: int, times: int) -> Callable[[Progress], None]:
    return lambda progress: show(replace(progress, stage=f"{progress.stage}, time point {number + 1} of {times}"))


def forecast(
    volume: Image, model: Model | str | Path | None = None, settings: SegmentSettings = DEFAULTS
) -> CostEstimate:
    """How long `segment` would take, and how much memory, before it starts."""
    from napari_unetseg.engine.inference import cost as engine

    volume = as_volume(volume)
    loaded, _ = _as_model(model, volume)
    return engine.estimate_cost(loaded.card, volume, settings)


def verify(
    model: str | Path, folder: str | Path, on_progress: Callable[[Progress], None] | None = None
) -> tuple[Check, ...]:
    """Measure the figures of a model's card again, on the held-out images that the card names.

    Parameters
    ----------
    model : str or Path
        A bundled model's name or a model file.
    folder : str or Path
        The labelled sets, laid out as the card's `held_out` says.

    Returns
    -------
    tuple of Check
        Empty where the card claims nothing.

    Raises
    ------
    InputError
        If images are missing or cannot be read.
    ModelError
        If the model cannot be read, or its card has figures but does not say where they come from.
    """
    return finish(iter_verify(model, folder), on_progress)


def iter_verify(model: str | Path, folder: str | Path) -> Job[tuple[Check, ...]]:
    """`verify` as a generator of progress; closing it cancels."""
    from napari_unetseg.core.models import verification

    loaded = load_model(model)
    card, scores, done = loaded.card, list[Score](), 0
    if card.scores and not card.held_out:
        raise ModelError(f"{card.name} does not say which images its figures come from; expected a card that does.")
    total = sum(len(verification.verification_paths(rule, Path(folder))) for rule in card.held_out)
    for rule in card.held_out:
        measured: list[verification.Measured] = []
        for example in verification.examples(rule, Path(folder)):
            yield Progress(min(done, total), max(1, total), f"Measuring {rule.name}")
            predicted = segment(example.volume, loaded).labels
            measured += verification.figures(rule, predicted, example.truth, card.structures)
            done += 1
        scores += verification.mean_scores(rule.name, measured)
    return verification.compare(card.scores, scores)


def _as_model(model: Model | str | Path | None, volume: Volume) -> tuple[Model, tuple[str, ...]]:
    """The loaded model, and a note where it was chosen here."""
    if isinstance(model, (str, Path)) and model != NEAREST:
        return load_model(model), ()
    if model is not None and not isinstance(model, (str, Path)):
        return model, ()
    proposal = select_model(list_models(), volume, describe_image(volume))
    name = proposal.ranked[0].name
    if proposal.is_likely:
        return load_model(name), (f"No model was named: took {name}, by the image's voxel size and its look.",)
    if model != NEAREST:
        raise ModelError(f"{proposal.warning} Name a model (--model), or take that one (--model {NEAREST}).")
    return load_model(name), (f"{proposal.warning} It was taken, as asked.",)
