"""The record of an interactive session's model, and the model made again from it, bit for bit."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_unetseg.core.annotations.journal import read_journal, write_paint
from napari_unetseg.core.annotations.session_record import (
    Place,
    Session,
    SessionImage,
    file_fingerprint,
    fingerprint,
    paint_path,
    read_session,
    session_path,
    start_path,
    write_session,
)
from napari_unetseg.core.annotations.versions import Version
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.formats.registry import exists
from napari_unetseg.core.io.loadsave import inspect, load_volume
from napari_unetseg.core.models.catalogue import BUNDLED, find_model, read_card
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.devices import processor
from napari_unetseg.engine.fewshot.session import LearningSession
from napari_unetseg.engine.fewshot.versions import Origin
from napari_unetseg.engine.networks import precision
from napari_unetseg.engine.networks.model_file import Model, load_model, save_model
from napari_unetseg.errors import InputError, ModelError, UnetsegError

PROGRAM = "napari-unetseg"
OTHER_PROCESSOR = "The session was recorded on {}, and repeated on {}: weights may differ in their last digits."
SLICE_SECONDS = 10.0
"""Of training between two looks at whether it has ended."""


@dataclass(frozen=True)
class Replayed:
    """What a replay gave, and what the user should know of it; its model has been written."""

    version: Version
    steps: int
    notes: tuple[str, ...] = ()


def record_session(live: LearningSession, model: Path, places: Sequence[Place]) -> bool:
    """Write how the current model was made, beside its file, which has just been saved.

    Returns
    -------
    bool
        False for one that was restored from a file: how it was made is not known.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    origin = live.origin
    if origin is None:
        session_path(model).unlink(missing_ok=True)  # of an earlier model of that name
        return False
    images = [_image(live, model, index, place, origin) for index, place in enumerate(places)]
    start, start_hash = _kept_start(live.pretrained, model)
    card = read_card(model)
    session = Session(
        program=version(PROGRAM),
        torch=torch.__version__,
        device=str(live.device),
        threads=torch.get_num_threads(),
        processor=processor(live.device),
        precisions=precision.choices(),
        images=tuple(images),
        start=start,
        start_sha256=start_hash,
        settings=asdict(origin.settings),
        names={structure.label: structure.name for structure in card.structures},
        cleanup=card.cleanup,
    )
    write_session(session_path(model), session)
    return True


def _image(live: LearningSession, model: Path, index: int, place: Place, origin: Origin) -> SessionImage:
    volume, paint = live.volumes[index], paint_path(model, index + 1)
    write_paint(paint, origin.painted[index].dense)
    return SessionImage(
        place=place.without_folders(),
        name=volume.name,
        channels=volume.channels,
        shape=volume.array.shape,
        spacing=volume.grid.spacing,
        unit=volume.grid.unit,
        sha256=live.fingerprints[index],
        paint=paint.name,
        paint_sha256=file_fingerprint(paint),
    )


def _kept_start(start: Model | None, model: Path) -> tuple[str | None, str]:
    """Name and hash of the model to begin with: a bundled one's, or those of a copy beside the record."""
    if start is None:
        return None, ""
    bundled = BUNDLED / f"{start.card.name}.safetensors"
    if bundled.is_file() and _same(load_model(bundled), start):
        return start.card.name, file_fingerprint(bundled)
    save_model(start_path(model), start)
    return start_path(model).name, file_fingerprint(start_path(model))


def _same(one: Model, other: Model) -> bool:
    first, second = one.network.state_dict(), other.network.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k].cpu()) for k in first)


def iter_replay(record: Path, target: Path, inputs: Sequence[Path] = ()) -> Job[Replayed]:
    """Make a recorded session's model again, and write it: `api.replay` says what it takes and raises."""
    session = read_session(record)
    if inputs and len(inputs) != len(session.images):
        raise InputError(f"Expected {len(session.images)} images, as in the session; got {len(inputs)}.")
    yield Progress(0, 1, "Reading the images")
    painted = [_paint(record.parent, image) for image in session.images]
    settings = _settings(session)
    volumes = [
        _volume(inputs[index], image) if inputs else _found(record.parent, image)
        for index, image in enumerate(session.images)
    ]
    live = LearningSession(volumes, _start(record.parent, session), session.device, corrects=settings.corrects)
    threads = torch.get_num_threads()
    torch.set_num_threads(session.threads)
    try:
        with precision.repeated(session.precisions):
            learned = yield from _learned(live, painted, session)
    finally:
        torch.set_num_threads(threads)
    live.save(target, session.names, session.cleanup)
    steps = live.origin.settings.steps or 0 if live.origin is not None else 0
    return Replayed(learned, steps, _note_of_processor(session, live.device))


def _note_of_processor(session: Session, device: torch.device) -> tuple[str, ...]:
    """What to say where the record is of a processor that may round in another way."""
    here = processor(device)
    return (OTHER_PROCESSOR.format(session.processor, here),) if session.processor not in ("", here) else ()


def _learned(live: LearningSession, painted: list[npt.NDArray[Any]], session: Session) -> Job[Version]:
    settings = _settings(session)
    if settings.steps == 0:
        return (yield from live.learn(painted, session.names, settings)).version
    while True:
        tuned = yield from live.fine_tune(painted, session.names, settings, SLICE_SECONDS)
        if tuned.verdict is not None:
            return tuned.verdict.version


def _settings(session: Session) -> FineTuneSettings:
    try:
        return FineTuneSettings(**session.settings)
    except TypeError as error:
        raise InputError(f"The session has settings that this version does not know: {error}.") from error


def _paint(folder: Path, image: SessionImage) -> npt.NDArray[np.uint16]:
    path = folder / Path(image.paint).name
    painted = read_journal(path).painted
    if file_fingerprint(path) != image.paint_sha256:
        raise InputError(f"{path} has changed since the session was recorded. Take the one that was saved with it.")
    return painted


def _found(folder: Path, image: SessionImage) -> Volume:
    """The image at its place, as records of earlier versions have it, else beside the record: by name, then by hash.

    Raises
    ------
    InputError
        If it is nowhere there.
    """
    named = Path(image.place.path) if image.place.path is not None else None
    if named is not None:
        place = named if named.is_absolute() and exists(named) else folder / named.name
        if exists(place):
            return _volume(place, image)
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(UnetsegError):
            if _may_be(path, image):
                return _volume(path, image)
    raise InputError(
        f"The image {named.name if named is not None else image.name} of the session does not lie beside the record, "
        "under this or another name. Give its path as INPUT."
    )


def _may_be(path: Path, image: SessionImage) -> bool:
    """Whether a file, or a folder of slices, has as many voxels as the image, by its header."""
    if not (path.is_file() or path.is_dir()):
        return False
    levels = inspect(path).levels
    return image.place.level < len(levels) and prod(levels[image.place.level]) == prod(image.shape[1:])


def _volume(path: Path, image: SessionImage) -> Volume:
    """The image's voxels: those of the file, or of that channel of it which was learned from."""
    whole = load_volume(path, Selection(time=image.place.time, level=image.place.level)).array
    for array in (whole, *(whole[index : index + 1] for index in range(len(whole)))):
        if array.size == np.prod(image.shape) and fingerprint(array) == image.sha256:
            array = np.ascontiguousarray(array).reshape(image.shape)
            return Volume(array, Grid(image.spacing, image.unit), image.channels, image.name)
    raise InputError(f"{path} holds other voxels than the session was recorded on. Give the same image as INPUT.")


def _start(folder: Path, session: Session) -> Model | None:
    if session.start is None:
        return None
    beside = folder / Path(session.start).name
    path = beside if beside.is_file() else find_model(session.start)
    if file_fingerprint(path) != session.start_sha256:
        raise ModelError(f"{path} is another model than the one that the session began with.")
    return load_model(path)
