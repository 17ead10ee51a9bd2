"""Training: a generator that yields a record a step and can be stopped and resumed."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.engine.devices import OutOfMemory, memory_guard
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.networks.precision import note_of, training_dtype
from napari_unetseg.engine.training.checkpoint import DamagedCheckpoint, Run, channels_last, load_run, save_run
from napari_unetseg.engine.training.losses import painted_loss
from napari_unetseg.engine.training.patches import Batch, BatchSource
from napari_unetseg.errors import OutputError, ResourceError, SettingsError

N = TypeVar("N", bound=Network)
NORM = nn.modules.batchnorm._BatchNorm
FULL = "Not enough memory on {} to train with batches of {}: close other programs, or train with --device cpu."
NORM_BATCHES = 20  # batches that the running statistics of batch normalisation are averaged over when they are fixed
EMA_DECAY = 0.99
DAMAGED = "The checkpoint {} is damaged: training began anew."
UNSAVED = "No checkpoint could be saved, and training went on; the last good one stays. {}"

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""The loss, a scalar, of a batch: of class scores, and of the labels as the batches give them."""


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained. Give `steps` or `minutes`.

    Parameters
    ----------
    steps : int, optional
        Steps to train: reproducible.
    minutes : float, optional
        Wall-clock minutes to train, held-out scoring included.
    learning_rate : float
        Peak of the schedule: a linear rise over the first 5 %, then half a cosine to 0.
    weight_decay, clip : float
        Of AdamW; the largest norm of the gradient.
    keep_norm : bool
        Use those statistics of batch normalisation that the network comes with, from the first step on.
    fix_norm : float
        From this part of the run on, batch normalisation uses fixed statistics, so that the network learns with what
        prediction will use, whatever the batch size.
    class_weights : tuple of float
        Weight of each output in the loss; empty: all 1.
    score_every : int
        Steps between held-out scores; 0: none before the end.
    save_every : float
        Seconds between checkpoints.
    half : bool
        Compute in half precision where the device does so and it is found to be right, see `networks.precision`: some
        2.5 times as fast.
    loss : Loss, optional
        Of class scores (N, K, [Z,] Y, X) and labels (N, [Z,] Y, X), in place of `painted_loss` with `class_weights`.

    Raises
    ------
    SettingsError
        If neither or both of `steps` and `minutes` are given, or they are not above 0.
    """

    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    fix_norm: float = 0.35
    class_weights: tuple[float, ...] = ()
    score_every: int = 0
    save_every: float = 60.0
    half: bool = False
    keep_norm: bool = False
    loss: Loss | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None) or (self.steps or self.minutes or 0) <= 0:
            raise SettingsError(f"Expected steps or minutes above 0; got steps={self.steps}, minutes={self.minutes}.")


@dataclass(frozen=True)
class TrainProgress(Progress):
    """A step of training.

    Parameters
    ----------
    loss : float
        Of this step's batch.
    score : float or None
        Held-out score, on the steps that measure it.
    skipped : int
        Steps so far whose gradient was not finite and that changed nothing.
    """

    loss: float = math.nan
    score: float | None = None
    skipped: int = 0


@dataclass(frozen=True)
class Trained(Generic[N]):
    """The averaged network, in evaluation mode, what its training took, and what the user should know of it."""

    network: N
    steps: int
    seconds: float
    skipped: int
    notes: tuple[str, ...] = ()


def iter_train(
    network: N,
    batches: BatchSource,
    settings: TrainSettings,
    score: Callable[[N], float] | None = None,
    checkpoint: Path | None = None,
) -> Job[Trained[N]]:
    """Train a copy of `network` on its device; yields a `TrainProgress` a step.

    AdamW; half precision where `settings` ask for it and it is trusted. The result is an exponential average of the
    weights. A step whose gradient is not finite is skipped and counted.

    Parameters
    ----------
    batches : BatchSource
    score : callable, optional
        Gives the held-out score of a network in evaluation mode.
    checkpoint : Path, optional
        File to resume from, if it exists, and to save to now and then, atomically.

    Raises
    ------
    ResourceError
        If the device's memory does not do for a step. What the checkpoint has stays.
    """
    device = next(network.parameters()).device
    try:
        with memory_guard(device):
            return (yield from _iter_steps(network, batches, settings, score, checkpoint))
    except OutOfMemory as error:
        raise ResourceError(FULL.format(device, " × ".join(map(str, batches[0][0].shape)))) from error


def _iter_steps(
    network: N,
    batches: BatchSource,
    settings: TrainSettings,
    score: Callable[[N], float] | None,
    checkpoint: Path | None,
) -> Job[Trained[N]]:
    run, damaged = _begun(network, settings, checkpoint)
    full = ""
    run.norm_is_fixed |= settings.keep_norm
    run.dtype = run.dtype or _dtype(run.network, batches[run.step][0], settings)
    started, saved = time.monotonic() - run.seconds, time.monotonic()
    while (part := _part_done(run, settings)) < 1:
        if part >= settings.fix_norm and not run.norm_is_fixed:
            _measure_norm(run, batches)
        loss = _step(run, batches[run.step], settings, part)
        run.step, run.seconds = run.step + 1, time.monotonic() - started
        measured = score(run.averaged()) if score and _is_time(run.step, settings.score_every) else None
        if checkpoint is not None and time.monotonic() - saved > settings.save_every:
            full, saved = _save(checkpoint, run), time.monotonic()
        yield _record(run, settings, loss, measured, full)
    if not run.norm_is_fixed:
        _measure_norm(run, batches)
    if checkpoint is not None:
        full = _save(checkpoint, run)
    computing = note_of(run.dtype, next(run.network.parameters()).device) if settings.half else ()
    notes = tuple(filter(None, (damaged, full, *computing)))
    return Trained(run.averaged(), run.step, run.seconds, run.skipped, notes)


def _begun(network: N, settings: TrainSettings, checkpoint: Path | None) -> tuple[Run[N], str]:
    """A run where its checkpoint left it, or at its beginning; and what to say of a checkpoint that is damaged."""
    run = Run.fresh(copy.deepcopy(network), settings.learning_rate, settings.weight_decay)
    if checkpoint is None or not checkpoint.is_file():
        return run, ""
    try:
        load_run(checkpoint, run)
    except DamagedCheckpoint:
        fresh = Run.fresh(copy.deepcopy(network), settings.learning_rate, settings.weight_decay)
        return fresh, DAMAGED.format(checkpoint.name)
    return run, ""


def _save(checkpoint: Path, run: Run[Any]) -> str:
    """Save a checkpoint; where that cannot be done training goes on, and this is what to say."""
    try:
        save_run(checkpoint, run)
    except OutputError as error:
        return UNSAVED.format(error)
    return ""


def _dtype(network: Network, image: torch.Tensor, settings: TrainSettings) -> torch.dtype:
    return training_dtype(network, tuple(image.shape), image.device) if settings.half else torch.float32


def _is_time(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _part_done(run: Run[Any], settings: TrainSettings) -> float:
    if settings.steps is not None:
        return run.step / settings.steps
    return run.seconds / (60 * (settings.minutes or 1))


def _record(
    run: Run[Any], settings: TrainSettings, loss: float, score: float | None, message: str = ""
) -> TrainProgress:
    part = min(1.0, _part_done(run, settings))
    total = settings.steps or max(run.step, round(run.step / part))
    return TrainProgress(
        run.step, total, "Training", message, run.seconds * (1 / part - 1), loss=loss, score=score, skipped=run.skipped
    )


def _learning_rate(part: float, peak: float) -> float:
    return peak * min(1.0, 0.02 + part / 0.05) * 0.5 * (1 + math.cos(math.pi * part))


def _step(run: Run[Any], batch: Batch, settings: TrainSettings, part: float) -> float:
    """One step of the optimiser; returns the loss."""
    image, labels = batch
    for group in run.optimiser.param_groups:
        group["lr"] = _learning_rate(part, settings.learning_rate)
    run.network.train()
    if run.norm_is_fixed:
        _fix_norm(run.network)
    loss = _loss(_scores(run, image), labels, settings)
    if descend(run.optimiser, loss, settings.clip):
        run.average(EMA_DECAY)
    else:
        run.skipped += 1
    return float(loss.detach())


def descend(optimiser: torch.optim.Optimizer, loss: torch.Tensor, clip: float = math.inf) -> bool:
    """One step of an optimiser down a loss, after the norm of its gradient is cut to `clip`.

    Returns
    -------
    bool
        False where loss or gradient is not finite: nothing has changed then.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip)
    is_finite = bool(torch.isfinite(norm) and torch.isfinite(loss))
    if is_finite:
        optimiser.step()
    return is_finite


def _loss(scores: torch.Tensor, labels: torch.Tensor, settings: TrainSettings) -> torch.Tensor:
    if settings.loss is not None:
        return settings.loss(scores, labels)
    weights = torch.tensor(settings.class_weights, device=scores.device) if settings.class_weights else None
    return painted_loss(scores, labels, class_weights=weights)


def _scores(run: Run[Any], image: torch.Tensor) -> torch.Tensor:
    image = image.contiguous(memory_format=channels_last(run.network))
    dtype = run.dtype or torch.float32
    with torch.autocast(image.device.type, dtype=dtype, enabled=dtype != torch.float32):
        scores: torch.Tensor = run.network(image)
    return scores


def _norms(network: Network) -> list[NORM]:
    return [module for module in network.modules() if isinstance(module, NORM)]


def _fix_norm(network: Network) -> None:
    for module in _norms(network):
        module.eval()


@torch.no_grad()
def _measure_norm(run: Run[Any], batches: BatchSource) -> None:
    """Average the statistics of batch normalisation over some batches, and use them from now on."""
    run.norm_is_fixed = True
    norms = _norms(run.network)
    if not norms:
        return
    momenta = [module.momentum for module in norms]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # a plain mean over the batches
    run.network.train()
    for step in range(NORM_BATCHES):
        _scores(run, batches[run.step + step][0])
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
