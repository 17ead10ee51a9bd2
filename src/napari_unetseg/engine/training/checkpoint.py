"""The state of a training run, and how it is saved so that a killed run goes on where it was."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.errors import InputError

N = TypeVar("N", bound=Network)
COUNTERS = ("step", "seconds", "skipped", "norm_is_fixed")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class DamagedCheckpoint(Exception):  # noqa: N818 - a signal to begin anew, not a failure
    """A file is no whole checkpoint."""


@dataclass
class Run(Generic[N]):
    """A network in training: its weights, their running average, the optimiser and how far it is."""

    network: N
    mean_network: N
    optimiser: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    norm_is_fixed: bool = False
    dtype: torch.dtype | None = None
    """The precision that it is trained in; None before its first step."""

    @classmethod
    def fresh(cls, network: N, learning_rate: float, weight_decay: float) -> Self:
        """A run at its beginning; it trains `network` itself."""
        network = network.to(memory_format=channels_last(network))  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
        return cls(network, copy.deepcopy(network).eval(), optimiser)

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Move the average towards the weights; early on faster, so that it forgets the random start."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        for mean, now in zip(self.mean_network.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)

    def averaged(self) -> N:
        """The averaged network, in evaluation mode, with the present statistics of normalisation."""
        for mean, now in zip(self.mean_network.buffers(), self.network.buffers(), strict=True):
            mean.copy_(now)
        return self.mean_network.eval()


def channels_last(network: Network) -> torch.memory_format:
    """The memory layout that convolutions are fastest in: channels next to each other."""
    return torch.channels_last if network.settings.dimensions == 2 else torch.channels_last_3d


def save_run(path: Path, run: Run[Any]) -> None:
    """Write everything that `load_run` needs to one safetensors file, atomically."""
    tensors = {f"network.{k}": v for k, v in run.network.state_dict().items()}
    tensors |= {f"mean.{k}": v for k, v in run.mean_network.state_dict().items()}
    for index, state in run.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": v for k, v in state.items()}
    counters = {name: getattr(run, name) for name in COUNTERS}
    dtype = str(run.dtype).removeprefix("torch.")
    architecture = run.network.settings.to_json()
    record = {"run": json.dumps({**counters, "dtype": dtype, "architecture": architecture})}
    with atomic_path(path) as temporary:
        # not by `save_file`, whose errors do not say that the disk is full
        temporary.write_bytes(save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, record))


def load_run(path: Path, run: Run[Any]) -> None:
    """Put the state that `save_run` wrote into `run`.

    Raises
    ------
    InputError
        If it is that of another network.
    DamagedCheckpoint
        If it is cut, empty or something else; `run` may then hold a part of it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            counters = json.loads(file.metadata()["run"])
        _check_architecture(path, counters.get("architecture"), run.network)
        _restore(run, tensors, counters)
    except (OSError, SafetensorError, ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        raise DamagedCheckpoint(str(path)) from error


def _restore(run: Run[Any], tensors: dict[str, torch.Tensor], counters: dict[str, Any]) -> None:
    run.network.load_state_dict(_under(tensors, "network."))
    run.mean_network.load_state_dict(_under(tensors, "mean."))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _under(tensors, "optimiser.").items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    run.optimiser.load_state_dict({**run.optimiser.state_dict(), "state": state})
    for name in COUNTERS:
        setattr(run, name, counters[name])
    run.dtype = DTYPES.get(counters.get("dtype", ""))


def _check_architecture(path: Path, saved: dict[str, Any] | None, network: Network) -> None:
    """Raise `InputError` where a checkpoint says that it is of another network; earlier ones do not say."""
    expected = json.loads(json.dumps(network.settings.to_json()))
    if saved is not None and saved != expected:
        differing = ", ".join(sorted(name for name in {*saved, *expected} if saved.get(name) != expected.get(name)))
        raise InputError(f"{path} is the checkpoint of another network: it differs in {differing}. Remove it.")


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
