"""Folder pairs: many predictions and their references, paired by name, scored in parallel, and summarised."""

from __future__ import annotations

import math
import os
import signal
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

from napari_unetseg.core.io.atomic import is_folder
from napari_unetseg.core.io.batch import IMAGES
from napari_unetseg.core.io.formats.registry import stem
from napari_unetseg.core.io.loadsave import load_labels
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.scores import METRICS, Evaluation, finite
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.notes import Note
from napari_unetseg.core.progress import Job, Progress, describe_ending, told_warnings
from napari_unetseg.core.settings import Selection
from napari_unetseg.errors import InputError, ResourceError, UnetsegError

RESULT_ENDING = "-labels"
"""What `segment` puts behind an image's name; it does not count when names are compared."""
DEFAULTS = MetricSettings()
EVERYTHING = Selection()
FolderPairs = dict[str, tuple[Path, Path]]


def is_labels_folder(path: Path) -> bool:
    """Whether a path is a folder of label files."""
    return is_folder(path) and path.suffix != ".zarr" and bool(_files_by_name(path))


def pair_by_name(predicted: Path, reference: Path) -> FolderPairs:
    """The files of two folders that have the same name, whatever their formats.

    Names are compared without the suffixes of their formats, and without ``-labels``.

    Returns
    -------
    dict of case to (predicted, reference)
        In alphabetical order.

    Raises
    ------
    InputError
        If a folder is none or has no labels, holds two files for one case, or a case is in one folder alone; the
        message names it.
    """
    for folder in (predicted, reference):
        if not is_labels_folder(folder):
            raise InputError(f"Expected a folder with files of labels; {folder} is none.")
    ours, theirs = _files_by_name(predicted), _files_by_name(reference)
    for folder, others, other in ((predicted, theirs, reference), (reference, ours, predicted)):
        lonely = sorted(_files_by_name(folder).keys() - others.keys())
        if lonely:
            names = ", ".join(lonely[:5]) + (" …" if len(lonely) > 5 else "")
            raise InputError(f"Expected the same names in both folders; {other} lacks {len(lonely)} of them: {names}.")
    return {case: (ours[case], theirs[case]) for case in sorted(ours)}


def iter_evaluate_pairs(
    pairs: FolderPairs,
    selection: Selection = EVERYTHING,
    settings: MetricSettings = DEFAULTS,
    processes: int | None = None,
) -> Job[dict[str, Evaluation]]:
    """Score every pair, in processes of their own, and yield a `Progress` for each.

    Parameters
    ----------
    pairs : dict of case to (predicted, reference)
    selection : Selection
        How to read both; its spacing replaces the files' own.
    processes : int, optional
        Not given: one for each processor. With 1, all is done in this one.

    Returns
    -------
    dict of case to Evaluation
        In the order of `pairs`.

    Where a process is ended, what is left is scored again by half as many, which take less memory.

    Raises
    ------
    UnetsegError
        If a pair cannot be scored; the message begins with its case.
    ResourceError
        If a process was ended that scored one pair alone.
    """
    count = min(processes or os.cpu_count() or 1, len(pairs))
    done: dict[str, Evaluation] = {}
    if count <= 1:
        for case, paths in pairs.items():
            yield Progress(len(done), len(pairs), f"Scoring {case}")
            done[case] = _evaluate_pair(case, *paths, selection, settings)
        return done
    for case, scored in _in_processes(pairs, count, selection, settings):
        done[case] = scored
        yield Progress(len(done), len(pairs), f"Scored {case}")
    return {case: done[case] for case in pairs}


def _in_processes(
    pairs: FolderPairs, count: int, selection: Selection, settings: MetricSettings
) -> Iterator[tuple[str, Evaluation]]:
    """The pairs' scores as they come, by so many processes, and by half as many where one of these is ended."""
    left = dict(pairs)
    while left:
        pool = _Pool(count)
        try:
            for case, scored, told in pool.scores(left, selection, settings):
                del left[case]
                for warning in told:
                    warnings.warn(warning, stacklevel=2)
                yield case, scored
        except BrokenProcessPool:
            if count == 1:
                raise ResourceError(f"{next(iter(left))}: the process that scored it {pool.ending}.") from None
            warnings.warn(f"A process that scored {pool.ending}. What was left was given to fewer.", stacklevel=2)
            count //= 2
        finally:
            pool.end()


class _Processes(SpawnContext):
    """Starts processes anew, and knows all that it started: the system soon forgets those that have ended."""

    def __init__(self) -> None:
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override] # noqa: N802 - a class there
        """One process, not running yet."""
        self.started.append(SpawnProcess(*args, **kwargs))
        return self.started[-1]


class _Pool:
    """Processes that score pairs, and end with whoever asked for it."""

    def __init__(self, count: int) -> None:
        self._processes = _Processes()
        # Ctrl-C in the terminal is the parent's to handle
        self._pool = ProcessPoolExecutor(count, self._processes, signal.signal, (signal.SIGINT, signal.SIG_IGN))

    def scores(
        self, pairs: FolderPairs, selection: Selection, settings: MetricSettings
    ) -> Iterator[tuple[str, Evaluation, list[str]]]:
        """Case, score and warnings of each pair, as they come; raises `BrokenProcessPool` where a process is ended."""
        with _interrupts_wait():  # processes take this over until they can say so themselves
            jobs = {self._submitted(_warned, case, *pair, selection, settings): case for case, pair in pairs.items()}
        for job in as_completed(jobs):
            yield jobs[job], *job.result()

    def _submitted(self, *call: Any) -> Future[Any]:
        """A call that is submitted; each starts a process, and for that needs a pipe that a broken executor closes."""
        try:
            return self._pool.submit(*call)
        except OSError as error:
            raise BrokenProcessPool(str(error)) from error

    @property
    def ending(self) -> str:
        """How the first process ended that did so of itself: the others are ended then, by a request to do so.

        The executor asks only those that it knew of when it broke, and would wait for ever for one that began then.
        """
        self.end()
        codes = [process.exitcode for process in self._processes.started]
        own = [code for code in codes if code not in (None, 0, -signal.SIGTERM)]
        return describe_ending(own[0] or 0 if own else -signal.SIGTERM)

    def end(self) -> None:
        """Leave no process behind, whatever it is doing."""
        for process in self._processes.started:
            if process.is_alive():
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C wait until the end of the block, where the system can."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _warned(
    case: str, predicted: Path, reference: Path, selection: Selection, settings: MetricSettings
) -> tuple[Evaluation, list[Note]]:
    told: list[Note] = []
    with told_warnings(told.append):
        return _evaluate_pair(case, predicted, reference, selection, settings), told


def summarise(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Plain values for JSON: the means over cases, and each case.

    ``structures`` holds the mean of each figure over the cases to which it applies, ``mean_dice`` and ``mean_iou`` the
    means of the cases' means, ``unit`` the cases' unit or None where they differ, and ``cases`` a record a case, as of
    `Evaluation.to_dict`.
    """
    names = {score.label: score.name for e in evaluations.values() for score in e.structures}
    units = {e.unit for e in evaluations.values()}
    summary: dict[str, Any] = finite(
        {
            "structures": [
                {"label": label, "name": names[label]} | _mean_figures(evaluations, label) for label in sorted(names)
            ],
            "mean_dice": _mean(evaluation.mean_dice for evaluation in evaluations.values()),
            "mean_iou": _mean(evaluation.mean_iou for evaluation in evaluations.values()),
            "unit": units.pop() if len(units) == 1 else None,
        }
    )
    return summary | {"cases": [{"case": case} | evaluation.to_dict() for case, evaluation in evaluations.items()]}


def _mean_figures(evaluations: Mapping[str, Evaluation], label: int) -> dict[str, float]:
    scores = [score for evaluation in evaluations.values() for score in evaluation.structures if score.label == label]
    return {metric: _mean(getattr(score, metric) for score in scores) for metric in METRICS}


def _mean(figures: Iterable[float | None]) -> float:
    known = [figure for figure in figures if figure is not None and not math.isnan(figure)]
    return sum(known) / len(known) if known else math.nan


def _evaluate_pair(
    case: str, predicted: Path, reference: Path, selection: Selection, settings: MetricSettings
) -> Evaluation:
    try:
        return evaluate(load_labels(predicted, selection), load_labels(reference, selection), settings)
    except UnetsegError as error:
        raise type(error)(f"{case}: {error}") from error


def _files_by_name(folder: Path) -> dict[str, Path]:
    """The label files of a folder by case."""
    files = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and (path.name.lower().endswith(IMAGES) or path.suffix == ".zarr")
    ]
    names = [stem(path).removesuffix(RESULT_ENDING) for path in files]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InputError(f"Expected one file for each case in {folder}; there are several for {twice[0]}.")
    return dict(zip(names, files, strict=True))
