"""The verbs that make a model from paint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unetseg.api.inputs import Image, Labelling, as_labels, as_volume
from napari_unetseg.api.segmenting import load_model
from napari_unetseg.core.geometry.same_grid import check_place
from napari_unetseg.core.models.catalogue import list_models
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings, anonymous_card, starting_model, written_card
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.steps import Step
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import InputError

if TYPE_CHECKING:
    from napari_unetseg.engine.fewshot.fine_tune import FineTuned
    from napari_unetseg.engine.fewshot.replay import Replayed
    from napari_unetseg.engine.networks.model_file import Model


FINE_TUNING = FineTuneSettings()


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
        What to begin with: a U-Net of one channel, or an earlier result. None takes the most general bundled one.

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
    from napari_unetseg.engine.fewshot import fine_tune as finetune
    from napari_unetseg.engine.fewshot.run import AnnotationDataset, FineTuningRun

    images = [as_volume(image) for image in several(volume)]
    paint = [as_labels(labels) for labels in several(painted)]
    for labels in paint:
        _check_is_no_result(labels)
    for image, labels in zip(images, paint, strict=False):  # that there are as many is seen to with their shapes
        check_place(image, labels)
    names = {s.label - 1: s.name for labels in paint for s in labels.structures if s.label > 1}
    start = model if model is not None else starting_model(list_models())
    loaded = load_model(start) if isinstance(start, (str, Path)) else start
    known = len(loaded.card.structures) if settings.corrects and loaded is not None else 0
    dataset = AnnotationDataset(images, [labels.array for labels in paint], names, known)
    return (yield from finetune.iter_fine_tune(FineTuningRun(dataset, loaded, settings), checkpoint))


def fine_tune_file(
    volumes: Sequence[Volume],
    painted: Sequence[Labels],
    target: Path,
    model: str | Path | None = None,
    settings: FineTuneSettings = FINE_TUNING,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    anonymous: bool = False,
    cleanup: Sequence[Step] = (),
) -> FineTuned:
    """`fine_tune`, and write the model, named after its file. Killed in the middle, the same call goes on.

    With `anonymous`, its card has no names of files. Its results go through the steps of `cleanup`.

    Raises
    ------
    OutputError
        If the model cannot be written.
    InputError, ModelError, SettingsError, ResourceError
        As `fine_tune`.
    """
    from napari_unetseg.engine.networks.model_file import save_model

    checkpoint = target.with_name(f".{target.name}")
    tuned = finish(iter_fine_tune(volumes, painted, model, settings, checkpoint), on_progress)
    card = written_card(tuned.model.card, target.stem, volumes, cleanup)
    card = anonymous_card(card) if anonymous else card
    return replace(tuned, model=save_model(target, replace(tuned.model, card=card), half=True))


def replay(
    session: str | Path,
    target: str | Path,
    inputs: Sequence[str | Path] = (),
    on_progress: Callable[[Progress], None] | None = None,
) -> Replayed:
    """Make the model of a session that was recorded in napari again, and write it.

    On a CPU with the same instructions it is the same bit for bit.

    Parameters
    ----------
    session : str or Path
        The record, ``M.session.json``, with what lies beside it.
    target : str or Path
        The model file to write.
    inputs : sequence of str or Path
        The images, in the order of the record, where they do not lie beside it: a record names no folders.

    Raises
    ------
    InputError
        If the record, an image or its paint cannot be read, or is another one.
    ModelError
        If the model that it began with is another one.
    OutputError
        If the model cannot be written.
    """
    return finish(iter_replay(session, target, inputs), on_progress)


def iter_replay(session: str | Path, target: str | Path, inputs: Sequence[str | Path] = ()) -> Job[Replayed]:
    """`replay` as a generator of progress; closing it stops it, and nothing is written."""
    from napari_unetseg.engine.fewshot import replay as live_replay

    return (yield from live_replay.iter_replay(Path(session), Path(target), [Path(path) for path in inputs]))


def _check_is_no_result(labels: Labels) -> None:
    """Raise `InputError` for a model's result: its first structure has the value that is background in paint."""
    if labels.made_by is not None:
        raise InputError(
            f"Expected painted labels, 1 background and 2… structures; {labels.name} is a result of "
            f"{labels.made_by.name}. Give its corrected copy with --corrected, and it itself with --result."
        )


def several(given: Any) -> Sequence[Any]:
    """One, or as many as are given, as a sequence."""
    return given if isinstance(given, (list, tuple)) else [given]
