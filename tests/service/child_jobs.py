"""Jobs for the tests of `service.process`: importable in the child by this module's name."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.core.volume import Volume
from napari_unetseg.errors import InputError
from napari_unetseg.service.verbs import register

Array = npt.NDArray[Any]


def double(array: Array) -> Job[Array]:
    yield Progress(0, 2, "Doubling")
    yield Progress(1, 2, "Doubling", seconds_left=0.5)
    return array * 2


def edit_in_place(array: Array) -> Job[Array]:
    array[...] = 7
    yield Progress(1, 1, "Editing")
    return array


def process_id() -> Job[int]:
    yield Progress(1, 1, "Asking")
    return os.getpid()


def modules() -> Job[list[str]]:
    import sys

    yield Progress(1, 1, "Asking")
    return sorted(sys.modules)


def user_error() -> Job[None]:
    yield Progress(0, 1, "Failing")
    raise InputError("Expected an image; got a poem.")


def fault() -> Job[None]:
    yield Progress(0, 1, "Failing")
    raise RuntimeError("shapes differ")


def out_of_memory() -> Job[None]:
    yield Progress(0, 1, "Failing")
    np.empty(1 << 60, np.uint8)


def killed() -> Job[None]:
    yield Progress(0, 1, "Dying")
    os.kill(os.getpid(), signal.SIGKILL)


def signalled(number: int) -> Job[None]:
    yield Progress(0, 1, "Dying")
    os.kill(os.getpid(), number)
    time.sleep(10)


def exits() -> Job[None]:
    yield Progress(0, 1, "Leaving")
    os._exit(3)


def unsendable() -> Job[Any]:
    yield Progress(0, 1, "Making")
    return lambda: None


def endless() -> Job[None]:
    for step in range(10**9):
        yield Progress(step, 10**9, "Counting")
        time.sleep(0.02)


def silent(seconds: float) -> Job[None]:
    yield Progress(0, 1, "Working")
    time.sleep(seconds)
    yield Progress(1, 1, "Working")


def writes_slowly(target: Path) -> Job[Path]:
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        yield Progress(0, 1, "Writing")
        for _ in range(1000):
            time.sleep(0.01)
    return target


def niceness() -> Job[int]:
    yield Progress(0, 1, "Asking")
    return os.nice(0)


def greedy(value: str) -> Job[None]:
    """Hold the interpreter: a regular expression that backtracks for ever, as a C extension may."""
    import re

    yield Progress(0, 1, "Holding")
    re.match(r"(a+)+$", "a" * 64 + value)


def nothing(array: Array) -> Job[Array]:
    return array
    yield


def same_volume(volume: Volume) -> Job[Volume]:
    return volume
    yield


def same_number(number: int) -> Job[int]:
    return number
    yield


def wrong_result() -> Job[int]:
    yield Progress(1, 1, "Lying")
    return "seven"


def leaves_a_mark(path: Path, number: int) -> Job[int]:
    path.write_text("was here")
    return number
    yield


for _name, _job in list(globals().items()):
    if getattr(_job, "__module__", None) == __name__:
        register(f"test.{_name}", f"{__name__}:{_name}")
