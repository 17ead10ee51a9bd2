"""What fixtures hand to tests. Not in a conftest: there are two of them, and tests can import only one."""

from __future__ import annotations

import json
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ModelMaker = Callable[..., Path]


@dataclass(frozen=True)
class Outcome:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The object on the last line of standard output."""
        return json.loads(self.out.splitlines()[-1])


Command = Callable[..., Outcome]

PATIENCE = 240_000
"""Milliseconds in which something must happen on a machine that may be slow and busy."""
SLACK = 5.0
"""How many times as long as promised a thing may take on such a machine."""


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    """Whether a process ends within so many seconds, `SLACK` taken into account."""
    deadline = time.monotonic() + SLACK * seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def waited(task: str = "thread-self") -> float:
    """Seconds for which a thread, or a process by its number, could have run, but another program had the processor.

    The threads of a process are added up. 0 where the system does not say (all but Linux).
    """
    folder = Path("/proc", task)
    counters = [folder / "schedstat"] if task == "thread-self" else folder.glob("task/*/schedstat")
    return sum(int(counter.read_text().split()[1]) for counter in counters if counter.exists()) / 1e9


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes, as on a disk that is full.

    Not a fixture: the log of the tests is a file too, and pytest writes to it before a fixture ends.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def threshold_model(path: Path, dimensions: int = 3, objects: bool = False, inputs: int = 1) -> None:
    """Write a U-Net whose weights hand the first channel through, unchanged, to its head.

    The head's scores, of an intensity x between 0 and 1 (0 and 255 in the image), are 0 for background, 80 (x − 0.5)
    for bright and, with `objects`, 80 (2 x − 1.25) for cores: bright above one half, core above three quarters.
    """
    import torch

    from napari_unetseg.core.models.card import ModelCard, Normalisation
    from napari_unetseg.core.volume import Structure
    from napari_unetseg.engine.networks.model_file import Model, save_model
    from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings

    outputs = 3 if objects else 2
    network = UNet(UNetSettings(dimensions, inputs, outputs, widths=(4, 8), norm="none")).eval()
    centre = (1,) * dimensions
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
        for block in [*network.down[0], *network.merge[0]]:
            # The skipped features come first in the joined ones, so that channel 0 is the image all the way.
            block[0].weight[(0, 0, *centre)] = 1
        for output, (slope, offset) in enumerate([(80, 40), (160, 100)][: outputs - 1], start=1):
            network.head.weight[output, 0] = slope
            network.head.bias[output] = -offset
    bright = Structure(
        label=1,
        name="bright",
        colour="#e69f00",
        channels=tuple(range(1, outputs)),
        seed_channel=2 if objects else None,
    )
    card = ModelCard(
        name=path.stem,
        title="Threshold",
        description="Bright voxels.",
        version="1",
        dimensions=3 if dimensions == 3 else 2,
        architecture=network.settings.to_json(),
        channels=tuple(f"channel {i + 1}" for i in range(inputs)) if inputs > 1 else ("grey",),
        normalisation=Normalisation(method="window", low=0, high=255),
        structures=(bright,),
        patch=(8, 16, 16) if dimensions == 3 else (1, 16, 16),
        halo=(4, 4, 4) if dimensions == 3 else (0, 4, 4),
    )
    save_model(path, Model(network, card))


def random_voxels(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Numbers over all of a dtype, or normal ones."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
