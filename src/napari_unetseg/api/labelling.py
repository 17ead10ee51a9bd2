"""The verbs that work on labels: clean them up, and score them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from napari_unetseg.api.inputs import EVERYTHING, Image, Labelling, as_labels, as_volume
from napari_unetseg.core.grid import Triple
from napari_unetseg.core.metrics import evaluation, folders
from napari_unetseg.core.metrics.scores import Evaluation
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.postprocess import apply
from napari_unetseg.core.postprocess.context import NO_CONTEXT, CleanupContext
from napari_unetseg.core.postprocess.prior import KnownSlices
from napari_unetseg.core.postprocess.probabilities import Refine
from napari_unetseg.core.progress import Job, Progress, finish
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.steps import Crf, Step, parse_step
from napari_unetseg.core.volume import Labels

MEASURES = MetricSettings()


def clean(
    labels: Labelling,
    steps: Sequence[Step | str],
    evidence: CleanupContext = NO_CONTEXT,
    on_progress: Callable[[Progress], None] | None = None,
) -> Labels:
    """Clean labels up, step by step.

    Parameters
    ----------
    labels : Labels, path, or ndarray of shape (Y, X) or (Z, Y, X)
        They stay as they are.
    steps : sequence of Step or str
        In order; as records, or as people type them: ``"remove_small volume=10 unit=um"``.
    evidence : CleanupContext
        What steps use beside the labels: the image, probabilities, a prior. See `cleanup_context`.
    on_progress : callable
        Called with each `Progress`.

    Raises
    ------
    InputError
        If the labels cannot be read, or the context does not lie on their grid or fit their structures.
    SettingsError
        If there is no such step, or it needs what is not there.
    """
    return finish(iter_clean(labels, steps, evidence), on_progress)


def iter_clean(labels: Labelling, steps: Sequence[Step | str], evidence: CleanupContext = NO_CONTEXT) -> Job[Labels]:
    """`clean` as a generator of progress; its return value is the `Labels`, closing it cancels."""
    parsed = [parse_step(step) if isinstance(step, str) else step for step in steps]
    refine: Refine | None = None
    if any(isinstance(step, Crf) for step in parsed):
        from napari_unetseg.engine.inference.crf import iter_refine

        refine = iter_refine
    return (yield from apply.iter_clean(as_labels(labels), parsed, evidence, refine))


def cleanup_context(
    image: Image | None = None,
    probabilities: Image | None = None,
    prior: Image | None = None,
    painted: Labelling | None = None,
) -> CleanupContext:
    """The context of clean-up, beside the labels, of files, arrays or volumes; each may be missing.

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
    return CleanupContext(seen, soft, likely, None if painted is None else KnownSlices.of(as_labels(painted)))


look_at = cleanup_context
"""The name that scripts of earlier versions know."""


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
    return evaluation.evaluate(as_labels(predicted, selection), as_labels(reference, selection), settings)


def evaluate_folders(
    predicted: str | Path,
    reference: str | Path,
    selection: Selection = EVERYTHING,
    settings: MetricSettings = MEASURES,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Evaluation]:
    """Score every file of a folder against the one of the same name in another, in parallel.

    Names are compared without the suffixes of their formats, and without ``-labels``. `core.metrics.folders.summarise`
    gives the means over cases.

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
    pairs = folders.pair_by_name(Path(predicted), Path(reference))
    return (yield from folders.iter_evaluate_pairs(pairs, selection, settings, processes))
