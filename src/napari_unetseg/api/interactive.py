"""Interactive learning: paint goes in, and a model comes out that is better with each stroke and can be kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unetseg.api.inputs import Image, Labelling, as_labels, as_volume
from napari_unetseg.core.annotations.annotation import AnnotatedImage, Annotation
from napari_unetseg.core.annotations.corrections import kept_in_slice
from napari_unetseg.core.annotations.session_record import Place
from napari_unetseg.core.annotations.versions import AcceptDecision, SlicePrediction, Tuned, Version
from napari_unetseg.core.geometry.same_grid import check_place, outline
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.steps import Step
from napari_unetseg.core.volume import Volume
from napari_unetseg.errors import InputError, ModelError

if TYPE_CHECKING:
    from napari_unetseg.engine.fewshot.session import LearningSession
    from napari_unetseg.engine.networks.model_file import Model

LIGHT = FineTuneSettings(steps=0)
"""The light head alone."""
TUNING = FineTuneSettings()
FOR_EVER = float("inf")


class InteractiveSession:
    """Learns from the paint on some images, over and over, and predicts the first of them.

    Parameters
    ----------
    images : Image, or sequence of them
        Volumes, files or arrays of one kind. The first is predicted; the paint of all is learned from.
    model : Model, str, Path or None
        What to begin with: a bundled model's name, a model file, or a loaded model. None begins from nothing.
    kept : Path or None
        An earlier session's model, which becomes version 1; one that is missing or damaged is left alone.
    device : str
        Where to compute: ``auto``, ``cpu``, ``cuda``, ….
    places : sequence of Place, optional
        Where the images come from, for the record of the session; of files it is known without.
    corrects : bool
        Whether the paint corrects a result of `model`, see `core.annotations.corrections`. That model is version 1
        then, its structures are kept, and predictions hold what was painted as it was painted.

    Raises
    ------
    InputError
        If an image cannot be read, or its slices are too large.
    ModelError
        If the model cannot be read, or is of a kind that one cannot begin with.

    Examples
    --------
    >>> import napari_unetseg as unetseg
    >>> session = unetseg.InteractiveSession("stack.tif", model="general-2d")  # doctest: +SKIP
    >>> session.paint(painted)  # doctest: +SKIP
    >>> session.learn({1: "nucleus"}).reason  # doctest: +SKIP
    'Version 1 (light head) is in use.'
    >>> session.predict(z=12).labels  # doctest: +SKIP
    >>> session.save("nucleus.safetensors")  # doctest: +SKIP
    """

    def __init__(
        self,
        images: Image | Sequence[Image],
        model: Model | str | Path | None = None,
        *,
        kept: str | Path | None = None,
        device: str = "auto",
        places: Sequence[Place] = (),
        corrects: bool = False,
    ) -> None:
        several: Sequence[Any] = images if isinstance(images, (list, tuple)) else [images]
        if not several:
            raise InputError("Expected an image to learn on; got none.")
        volumes = [as_volume(image) for image in several]
        self._places = tuple(places) or tuple(_place(image) for image in several)
        self._session = _opened(volumes, model, kept, device, corrects=corrects)
        self._images = [AnnotatedImage(volume.shape) for volume in volumes]
        self._outlines = [outline(volume) for volume in volumes]
        self._names: dict[int, str] = {}

    @property
    def versions(self) -> tuple[Version, ...]:
        """The models that were accepted and are kept, the oldest first."""
        return self._session.versions

    @property
    def sequences(self) -> tuple[int, ...]:
        """For each image the number of the last record of paint that was taken; 0 before the first one."""
        return tuple(annotated.sequence for annotated in self._images)

    def paint(self, painted: Labelling | Annotation, image: int = 0) -> int:
        """Take paint: all that there is of an image, or one record of what has changed.

        Parameters
        ----------
        painted : Labels, path, ndarray of shape (Z, Y, X) or (Y, X), or Annotation
            0 unpainted, 1 background, 2… structures.
        image : int
            Which of the images; a record says so itself.

        Returns
        -------
        int
            The number of the last record that was taken. A record that does not follow the one before is left alone.

        Raises
        ------
        InputError
            If paint and image do not fit, or there is no such image.
        """
        annotation = painted if isinstance(painted, Annotation) else self._whole(painted, image)
        annotated = self._at(annotation.image)
        annotated.take(annotation)
        return annotated.sequence

    def learn(
        self,
        names: Mapping[int, str] | None = None,
        settings: FineTuneSettings = LIGHT,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> AcceptDecision:
        """Fit a light head to the paint, in about a second, and take it if it is not worse.

        Parameters
        ----------
        names : mapping or None
            Names of structures by output label (painted value - 1); None keeps those of the last call.
        settings : FineTuneSettings
            Seed and weights.

        Raises
        ------
        InputError
            If one cannot learn from the paint.
        """
        return finish(self.iter_learn(names, settings), on_progress)

    def iter_learn(
        self, names: Mapping[int, str] | None = None, settings: FineTuneSettings = LIGHT
    ) -> Job[AcceptDecision]:
        """`learn` as a generator of progress; closing it stops it."""
        return (yield from self._session.learn(self._painted, self._named(names), settings))

    def fine_tune(
        self,
        names: Mapping[int, str] | None = None,
        settings: FineTuneSettings = TUNING,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> AcceptDecision:
        """Train a U-Net on the paint, for as long as the settings say, and take it if it is better.

        One that held-out paint cannot tell apart from the version in use is on offer: see `take`.

        Raises
        ------
        InputError
            If one cannot learn from the paint.
        """
        verdict = None
        while verdict is None:
            verdict = finish(self.iter_fine_tune(names, settings), on_progress).verdict
        return verdict

    def iter_fine_tune(
        self,
        names: Mapping[int, str] | None = None,
        settings: FineTuneSettings = TUNING,
        seconds: float = FOR_EVER,
    ) -> Job[Tuned]:
        """A part of `fine_tune`, of so many seconds; called again it goes on, until it comes with a verdict."""
        return (yield from self._session.fine_tune(self._painted, self._named(names), settings, seconds))

    def predict(self, z: int = 0) -> SlicePrediction:
        """What the model in use says about a slice of the first image; where a result is corrected, with corrections.

        Raises
        ------
        InputError
            If there is no model yet.
        """
        found = self._session.predict(z)
        return kept_in_slice(found, self._painted[0][z]) if self._session.corrects else found

    def predict_offered(self, z: int = 0) -> SlicePrediction:
        """What the version on offer says about a slice of the first image; raises `InputError` where none is."""
        return self._session.predict_offered(z)

    def take(self) -> AcceptDecision:
        """Use the version on offer, which cannot be told apart from the one in use; raises `InputError` if none is."""
        return self._session.take()

    def revert(self, number: int) -> Version:
        """Use an earlier version again; raises `InputError` if it is not kept any more."""
        return self._session.revert(number)

    def save(self, path: str | Path, names: Mapping[int, str] | None = None, cleanup: Sequence[Step] = ()) -> None:
        """Write the model in use, and beside it the record from which `replay` makes it again.

        Its results go through the steps of `cleanup`, such as one that makes numbered objects of a structure.

        Raises
        ------
        InputError
            If there is no model yet.
        OutputError
            If it cannot be written.
        """
        from napari_unetseg.engine.fewshot.replay import record_session

        self._session.save(Path(path), self._named(names), cleanup)
        record_session(self._session, Path(path), self._places)

    @property
    def _painted(self) -> list[Any]:
        return [annotated.painted for annotated in self._images]

    def _at(self, image: int) -> AnnotatedImage:
        if not 0 <= image < len(self._images):
            raise InputError(f"Expected one of {len(self._images)} images, counted from 0; got {image}.")
        return self._images[image]

    def _whole(self, painted: Labelling, image: int) -> Annotation:
        annotated, labels = self._at(image), as_labels(painted)
        if not isinstance(painted, np.ndarray):
            check_place(self._outlines[image], labels)
        array = labels.array
        z, y, x = annotated.painted.shape
        if array.shape != (z, y, x):
            raise InputError(f"Expected paint of the image's shape {(z, y, x)}; got {array.shape}.")
        return Annotation(((0, z), (0, y), (0, x)), np.array(array), image, sequence=annotated.sequence + 1)

    def _named(self, names: Mapping[int, str] | None) -> Mapping[int, str]:
        if names is not None:
            self._names = dict(names)
        return self._names


def _opened(
    volumes: Sequence[Volume],
    model: Model | str | Path | None,
    kept: str | Path | None,
    device: str,
    *,
    corrects: bool,
) -> LearningSession:
    """The engine's session; the one place that knows it."""
    from napari_unetseg.engine.fewshot.session import LearningSession
    from napari_unetseg.engine.networks.model_file import load_model

    start = load_model(model) if isinstance(model, (str, Path)) else model
    try:
        restored = load_model(kept) if kept is not None and Path(kept).is_file() else None
    except ModelError:
        restored = None
    return LearningSession(volumes, start, device, restored, corrects=corrects)


def _place(image: Image) -> Place:
    return Place(path=str(image)) if isinstance(image, (str, Path)) else Place()
