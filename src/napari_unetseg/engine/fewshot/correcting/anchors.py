"""Anchors: what a pixel classifier was sure of before where nobody corrected it, to which it is fitted as well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation

from napari_unetseg.core.annotations.sparse_labels import BACKGROUND, UNPAINTED
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.engine.fewshot.run import AnnotationDataset, FineTuningRun
from napari_unetseg.engine.fewshot.slice_predictor import Slices
from napari_unetseg.engine.networks.model_file import Model
from napari_unetseg.errors import ModelError

SPACED = 8
"""Slices of an image, evenly spaced, that have anchors beside those that were corrected."""
MOST_SLICES = 24
"""Of an image, with anchors: each has to be predicted."""
LEAST, FOR_EACH = 4000, 4
"""Anchors of an image; so many for each corrected voxel where that is more."""
NEAR = 3
"""Pixels around a correction without anchors: where there was one mistake, there are more."""
SURE = 128
"""Uncertainty, of 255, above which the model does not know by itself."""

Array = npt.NDArray[Any]


def iter_anchored(run: FineTuningRun) -> Job[FineTuningRun]:
    """The run of a pixel classifier with its own sure answers as paint, where it was not corrected.

    On the slices that a person looked at, all of these are taken. On others only those of classes that it did not err
    in: there it may have made the same mistake, and would be held to it.

    Raises
    ------
    ModelError
        If there is no model that was corrected.
    """
    model = corrected_model(run)
    slices = Slices(run.dataset.volumes, run.sources, run.settings.device)
    network, rng = slices.network(model), np.random.default_rng(run.settings.seed)
    painted = []
    for image, paint in enumerate(run.dataset.painted):
        seen = _fullest(paint)
        places = [*seen, *(z for z in _spaced(len(paint)) if z not in seen)]
        anchors, erred = np.zeros_like(paint), set[int]()
        for done, z in enumerate(places):
            yield Progress(done, len(places), "Looking at what the model knows")
            found = slices.prediction(network, image, z)
            said, told = found.labels.astype(paint.dtype) + BACKGROUND, paint[z] != UNPAINTED
            erred |= set(_values(said[told & (said != paint[z])]))
            is_sure = (found.uncertainty < SURE) & ~_near(paint, z)
            if z not in seen:
                is_sure &= ~np.isin(said, list(erred & set(_values(anchors[seen]))))
            anchors[z][is_sure] = said[is_sure]
        painted.append(np.where(paint != UNPAINTED, paint, _thinned(anchors, int(np.count_nonzero(paint)), rng)))
    names = {s.label: s.name for s in model.card.structures} | dict(run.dataset.names)
    return replace(run, dataset=AnnotationDataset(run.dataset.volumes, painted, names))


def corrected_model(run: FineTuningRun) -> Model:
    """The model whose result was corrected; raises `ModelError` where the run has none."""
    if run.pretrained is None:
        raise ModelError("Expected the model whose result was corrected; got none. Name it with --model.")
    return run.pretrained


def _fullest(paint: Array) -> list[int]:
    """The slices with most corrections."""
    counts = np.count_nonzero(paint, axis=(1, 2))
    return [int(z) for z in np.argsort(-counts, kind="stable")[: MOST_SLICES - SPACED] if counts[z]]


def _spaced(length: int) -> list[int]:
    """Some slices, evenly spaced."""
    return sorted({int(z) for z in np.linspace(0, length - 1, min(SPACED, length)).round()})


def _values(painted: Array) -> list[int]:
    return [int(value) for value in np.unique(painted) if value != UNPAINTED]


def _near(paint: Array, z: int) -> npt.NDArray[np.bool_]:
    """Pixels (Y, X) of a slice at or near a correction, in it or in the slices beside it."""
    around = (paint[max(0, z - 1) : z + 2] != UNPAINTED).any(axis=0)
    return np.asarray(binary_dilation(around, iterations=NEAR)) if around.any() else around


def _thinned(anchors: Array, corrected: int, rng: np.random.Generator) -> Array:
    """Some of the anchors, as many of each class as there are, up to its share."""
    wanted = max(LEAST, FOR_EACH * corrected)
    flat = anchors.ravel()
    values = _values(flat)
    thin = np.zeros_like(flat)
    for value in values:
        where = np.flatnonzero(flat == value)
        chosen = rng.choice(where, min(len(where), wanted // len(values)), replace=False)
        thin[chosen] = value
    return thin.reshape(anchors.shape)
