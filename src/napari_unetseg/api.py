"""The verbs, headless: each a plain call and, where it takes long, an ``iter_`` form that yields progress.

Importing this module loads neither torch nor napari: the engine is loaded by the first verb that computes.

Examples
--------
>>> import napari_unetseg as unetseg
>>> result = unetseg.segment("stack.tif", model="nuclei-3d")  # doctest: +SKIP
>>> unetseg.save_labels("nuclei.ome.tif", result.labels)  # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core import cases, cleanup, metrics
from napari_unetseg.core.card import Score
from napari_unetseg.core.choice import choose_model
from napari_unetseg.core.cleanup import NOTHING, Crf, Evidence, Refine, Step, parse_step, weighing_first
from napari_unetseg.core.fine_tuning import FineTuneSettings, model_name, starting_model
from napari_unetseg.core.formats import inspect, load_labels, load_volume, save_labels, save_volume
from napari_unetseg.core.formats.selecting import with_spacing
from napari_unetseg.core.metrics import Evaluation, MetricSettings
from napari_unetseg.core.models import list_models
from napari_unetseg.core.outcome import classes_of, objects_of, probabilities_of, smallest_part, wants_objects
from napari_unetseg.core.prior import KnownSlices
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.settings import SegmentSettings, Selection
from napari_unetseg.core.volume import Grid, Labels, Triple, Volume
from napari_unetseg.errors import InputError, ModelError

if TYPE_CHECKING:
    from napari_unetseg.core.held_out import Check
    from napari_unetseg.engine.finetune import FineTuned
    from napari_unetseg.engine.forecast import Forecast
    from napari_unetseg.engine.model_file import Model

__all__ = [
    "Evaluation",
    "Evidence",
    "FineTuneSettings",
    "Labels",
    "MetricSettings",
    "SegmentSettings",
    "Segmentation",
    "Selection",
    "Volume",
    "clean",
    "evaluate",
    "evaluate_folders",
    "fine_tune",
    "fine_tune_file",
    "forecast",
    "inspect",
    "iter_clean",
    "iter_evaluate_folders",
    "iter_fine_tune",
    "iter_segment",
    "iter_verify",
    "list_models",
    "load_labels",
    "load_model",
    "load_volume",
    "look_at",
    "save_labels",
    "save_volume",
    "segment",
    "segment_file",
    "verify",
]

Image = Volume | str | Path | npt.NDArray[Any]
"""An image in any form that the verbs take; a bare array is (Y, X), (Z, Y, X) or (C, Z, Y, X)."""

Labelling = Labels | str | Path | npt.NDArray[Any]
"""Labels in any form that the verbs take; a bare array is (Y, X) or (Z, Y, X)."""

DEFAULTS = SegmentSettings()
FINE_TUNING = FineTuneSettings()
EVERYTHING = Selection()
MEASURES = MetricSettings()


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
    """

    labels: Labels
    probabilities: Volume | None
    model: str
    device: str
    seconds: float
    notes: tuple[str, ...] = ()


def load_model(model: str | Path) -> Model:
    """Load a bundled model by name, or a model file by path; see `engine.model_file.load_model`."""
    from napari_unetseg.engine import model_file

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
        A loaded model, a bundled model's name or a model file. None takes the bundled model whose dimensions,
        channels and voxel size are nearest, and says so in the notes.
    on_progress : callable
        Called with each `Progress`.

    Raises
    ------
    InputError
        If the volume cannot be read.
    ModelError
        If the model cannot be read or does not fit the volume.
    SettingsError
        If the settings ask for what the model cannot give.
    ResourceError
        If the device is not there, or the memory is not enough.
    """
    return finish(iter_segment(volume, model, settings), on_progress)


def iter_segment(
    volume: Image, model: Model | str | Path | None = None, settings: SegmentSettings = DEFAULTS
) -> Job[Segmentation]:
    """`segment` as a generator of progress; its return value is the `Segmentation`, closing it cancels."""
    from napari_unetseg.engine.predict import iter_predict

    started = time.perf_counter()
    volume = as_volume(volume)
    loaded, note = _as_model(model, volume)
    card, objects = loaded.card, wants_objects(loaded.card, settings)
    steps = card.cleanup if settings.cleanup is None else settings.cleanup
    weighing = weighing_first(steps)
    asked = replace(settings, write="probabilities") if weighing else settings
    prediction = yield from iter_predict(loaded, volume, asked)
    classes, soft = prediction.classes, prediction.probabilities
    if weighing and soft is not None:
        evidence = Evidence(volume, probabilities_of(soft, card, volume))
        classes = (yield from iter_clean(classes_of(classes, card, volume, 0), weighing, evidence)).array
    yield Progress(1, 1, "Labelling")
    smallest = smallest_part(card, volume, settings)
    if objects:
        labels = objects_of(classes, prediction.seeds, card, volume, smallest)
    else:
        labels = classes_of(classes, card, volume, smallest)
    if len(steps) > len(weighing):
        labels = yield from iter_clean(labels, steps[len(weighing) :], Evidence(volume))
    return Segmentation(
        labels,
        probabilities_of(soft, card, volume) if soft is not None and settings.write == "probabilities" else None,
        card.name,
        prediction.device,
        time.perf_counter() - started,
        note + prediction.notes,
    )


def clean(
    labels: Labelling,
    steps: Sequence[Step | str],
    evidence: Evidence = NOTHING,
    on_progress: Callable[[Progress], None] | None = None,
) -> Labels:
    """Clean labels up, step by step.

    Parameters
    ----------
    labels : Labels, path, or ndarray of shape (Y, X) or (Z, Y, X)
        They stay as they are.
    steps : sequence of Step or str
        In order; as records, or as people type them: ``"remove_small volume=10 unit=um"``.
    evidence : Evidence
        What steps look at beside the labels: the image, probabilities, a prior. See `look_at`.
    on_progress : callable
        Called with each `Progress`.

    Raises
    ------
    InputError
        If the labels cannot be read, or the evidence does not lie on their grid or fit their structures.
    SettingsError
        If there is no such step, or it needs what is not there.
    """
    return finish(iter_clean(labels, steps, evidence), on_progress)


def iter_clean(labels: Labelling, steps: Sequence[Step | str], evidence: Evidence = NOTHING) -> Job[Labels]:
    """`clean` as a generator of progress; its return value is the `Labels`, closing it cancels."""
    parsed = [parse_step(step) if isinstance(step, str) else step for step in steps]
    refine: Refine | None = None
    if any(isinstance(step, Crf) for step in parsed):
        from napari_unetseg.engine.crf import iter_refine

        refine = iter_refine
    return (yield from cleanup.iter_clean(as_labels(labels), parsed, evidence, refine))


def look_at(
    image: Image | None = None,
    probabilities: Image | None = None,
    prior: Image | None = None,
    painted: Labelling | None = None,
) -> Evidence:
    """What clean-up may look at beside the labels, of files, arrays or volumes; each may be missing.

    Parameters
    ----------
    image : Volume, path or ndarray
        What the labels are of.
    probabilities, prior : Volume, path or ndarray of shape (C, Z, Y, X)
        From 0 to 1: background and each structure, in the order of their labels, or the structures alone. A prior
        says how likely each structure is at each place, whatever the image shows.
    painted : Labels, path or ndarray
        0 unknown, 1 background, 2… structures: slices to make a prior of. What lies between is interpolated.

    Raises
    ------
    InputError
        If one of them cannot be read, or nothing is painted.
    """
    seen, soft, likely = (None if one is None else as_volume(one) for one in (image, probabilities, prior))
    return Evidence(seen, soft, likely, None if painted is None else KnownSlices.of(as_labels(painted)))


def segment_file(
    source: str | Path,
    target: str | Path,
    model: Model | str | Path | None = None,
    selection: Selection = EVERYTHING,
    settings: SegmentSettings = DEFAULTS,
    on_progress: Callable[[Progress], None] | None = None,
) -> Segmentation:
    """Read an image, `segment` it, and write the result: labels, or the probabilities where the settings ask for them.

    Raises
    ------
    OutputError
        If the result cannot be written.
    InputError, ModelError, SettingsError, ResourceError
        As `segment`.
    """
    started = time.perf_counter()
    result = segment(load_volume(source, selection), model, settings, on_progress)
    if result.probabilities is None:
        save_labels(target, result.labels)
    else:
        save_volume(target, result.probabilities)
    return replace(result, seconds=time.perf_counter() - started)


def fine_tune(
    volume: Image | Sequence[Image],
    painted: Labelling | Sequence[Labelling],
    model: Model | str | Path | None = None,
    settings: FineTuneSettings = FINE_TUNING,
    on_progress: Callable[[Progress], None] | None = None,
) -> FineTuned:
    """Make a model that continues what was painted.

    Parameters
    ----------
    volume, painted : one, or as many of each
        Images of one kind, and painted labels of the same shapes: 0 unknown, 1 background, 2… structures.
    model : Model, str, Path or None
        What to begin with: a 2D U-Net of one channel, or an earlier result. None takes the most general bundled one.

    Raises
    ------
    InputError
        If a file cannot be read, nothing is painted, one class only is painted, or paint and image do not fit.
    ModelError
        If the model cannot be read, or is of another kind.
    SettingsError, ResourceError
        If there is no such device.
    """
    return finish(iter_fine_tune(volume, painted, model, settings), on_progress)


def iter_fine_tune(
    volume: Image | Sequence[Image],
    painted: Labelling | Sequence[Labelling],
    model: Model | str | Path | None = None,
    settings: FineTuneSettings = FINE_TUNING,
    checkpoint: Path | None = None,
) -> Job[FineTuned]:
    """`fine_tune` as a generator of progress; closing it stops it.

    With `checkpoint`, a run that was killed goes on from files of that name, where paint and settings are the same.
    """
    from napari_unetseg.engine import finetune
    from napari_unetseg.engine.lesson import Lesson

    images = [as_volume(image) for image in _several(volume)]
    paint = [as_labels(labels) for labels in _several(painted)]
    names = {s.label - 1: s.name for labels in paint for s in labels.structures if s.label > 1}
    start = model if model is not None else starting_model(list_models())
    loaded = load_model(start) if isinstance(start, (str, Path)) else start
    lesson = Lesson(images, [labels.array for labels in paint], names)
    return (yield from finetune.iter_fine_tune(lesson, loaded, settings, checkpoint))


def fine_tune_file(
    volumes: Sequence[Volume],
    painted: Sequence[Labels],
    target: Path,
    model: str | None = None,
    settings: FineTuneSettings = FINE_TUNING,
    on_progress: Callable[[Progress], None] | None = None,
) -> FineTuned:
    """`fine_tune`, and write the model, named after its file. Killed in the middle, the same call goes on.

    Raises
    ------
    OutputError
        If the model cannot be written.
    InputError, ModelError, SettingsError, ResourceError
        As `fine_tune`.
    """
    from napari_unetseg.engine.model_file import save_model

    checkpoint = target.with_name(f".{target.name}")
    tuned = finish(iter_fine_tune(volumes, painted, model, settings, checkpoint), on_progress)
    card = tuned.model.card.model_copy(update={"name": model_name(target.stem)})
    tuned = replace(tuned, model=replace(tuned.model, card=card))
    save_model(target, tuned.model)
    return tuned


def _several(given: Any) -> Sequence[Any]:
    return given if isinstance(given, (list, tuple)) else [given]


def evaluate(
    predicted: Labelling,
    reference: Labelling,
    spacing: Triple | None = None,
    settings: MetricSettings = MEASURES,
) -> Evaluation:
    """Score labels against a reference, structure by structure.

    Parameters
    ----------
    predicted, reference : Labels, path, or ndarray of shape (Y, X) or (Z, Y, X)
    spacing : (z, y, x), optional
        Voxel size of both, instead of their own; in their own unit, or in µm where they have none.
    settings : MetricSettings
        What to measure, and whether the numbers are single objects.

    Raises
    ------
    InputError
        If they cannot be read, or shapes, spacings, orientations or positions differ.
    """
    selection = Selection(spacing=spacing)
    return metrics.evaluate(as_labels(predicted, selection), as_labels(reference, selection), settings)


def evaluate_folders(
    predicted: str | Path,
    reference: str | Path,
    selection: Selection = EVERYTHING,
    settings: MetricSettings = MEASURES,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Evaluation]:
    """Score every file of a folder against the one of the same name in another, in parallel.

    Names are compared up to the first dot, without ``-labels``. `core.cases.summarise` gives the means over cases.

    Parameters
    ----------
    predicted, reference : folder
    selection : Selection
        How to read them; its spacing counts instead of the files' own.

    Returns
    -------
    dict of case to Evaluation
        In alphabetical order.

    Raises
    ------
    InputError
        If a folder has no labels or other names than the other one, or a pair cannot be scored; the message begins
        with its name.
    """
    return finish(iter_evaluate_folders(predicted, reference, selection, settings), on_progress)


def iter_evaluate_folders(
    predicted: str | Path,
    reference: str | Path,
    selection: Selection = EVERYTHING,
    settings: MetricSettings = MEASURES,
    processes: int | None = None,
) -> Job[dict[str, Evaluation]]:
    """`evaluate_folders` as a generator of progress; `processes`: one for each processor if not given."""
    pairs = cases.pair_by_name(Path(predicted), Path(reference))
    return (yield from cases.iter_evaluate_cases(pairs, selection, settings, processes))


def forecast(volume: Image, model: Model | str | Path | None = None, settings: SegmentSettings = DEFAULTS) -> Forecast:
    """How long `segment` would take, and how much memory, before it starts."""
    from napari_unetseg.engine import forecast as engine

    volume = as_volume(volume)
    loaded, _ = _as_model(model, volume)
    return engine.forecast(loaded.card, volume, settings)


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
    from napari_unetseg.core import held_out

    loaded = load_model(model)
    card, scores, done = loaded.card, list[Score](), 0
    if card.scores and not card.held_out:
        raise ModelError(f"{card.name} does not say which images its figures come from; expected a card that does.")
    total = sum(len(held_out.held_out_paths(rule, Path(folder))) for rule in card.held_out)
    for rule in card.held_out:
        measured: list[held_out.Measured] = []
        for example in held_out.examples(rule, Path(folder)):
            yield Progress(min(done, total), max(1, total), f"Measuring {rule.name}")
            predicted = segment(example.volume, loaded).labels
            measured += held_out.figures(rule, predicted, example.truth, card.structures)
            done += 1
        scores += held_out.mean_scores(rule.name, measured)
    return held_out.compare(card.scores, scores)


def as_volume(image: Image, spacing: Triple | None = None) -> Volume:
    """Any image that the verbs take, as a `Volume`.

    Raises
    ------
    InputError
        If a file cannot be read, or an array has neither two, three nor four axes.
    """
    if isinstance(image, Volume):
        return image
    if isinstance(image, (str, Path)):
        return load_volume(Path(image), Selection(spacing=spacing))
    array = np.asarray(image)
    if not 2 <= array.ndim <= 4:
        raise InputError(f"Expected an array of shape (Y, X), (Z, Y, X) or (C, Z, Y, X); got {array.shape}.")
    return Volume(array.reshape((1,) * (4 - array.ndim) + array.shape), Grid(spacing or (1.0, 1.0, 1.0)))


def as_labels(labels: Labelling, selection: Selection = EVERYTHING) -> Labels:
    """Any labels that the verbs take, as `Labels`, with the selection's spacing where it has one.

    Raises
    ------
    InputError
        If a file cannot be read, or an array has neither two nor three axes.
    """
    if isinstance(labels, (str, Path)):
        return load_labels(labels, selection)
    if isinstance(labels, np.ndarray):
        if labels.ndim not in (2, 3):
            raise InputError(f"Expected labels of shape (Y, X) or (Z, Y, X); got {labels.shape}.")
        labels = Labels(labels.reshape((1,) * (3 - labels.ndim) + labels.shape))
    return replace(labels, grid=with_spacing(labels.grid, selection))


def _as_model(model: Model | str | Path | None, volume: Volume) -> tuple[Model, tuple[str, ...]]:
    """The loaded model, and a note where it was chosen here."""
    if isinstance(model, (str, Path)):
        return load_model(model), ()
    if model is not None:
        return model, ()
    card = choose_model(list_models(), volume)
    return load_model(card.name), (f"No model was named: took {card.name}, by the image's dimensions and voxel size.",)
