"""Jobs for the tests of `service.process`: importable in the child by this module's name."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.progress import Progress
from napari_unetseg.errors import InputError


def double(array):
    yield Progress(0, 2, "Doubling")
    yield Progress(1, 2, "Doubling", seconds_left=0.5)
    return array * 2


def edit_in_place(array):
    array[...] = 7
    yield Progress(1, 1, "Editing")
    return array


def process_id():
    yield Progress(1, 1, "Asking")
    return os.getpid()


def modules():
    import sys

    yield Progress(1, 1, "Asking")
    return sorted(sys.modules)


def user_error():
    yield Progress(0, 1, "Failing")
    raise InputError("Expected an image; got a poem.")


def fault():
    yield Progress(0, 1, "Failing")
    raise RuntimeError("shapes differ")


def out_of_memory():
    yield Progress(0, 1, "Failing")
    np.empty(1 << 60, np.uint8)


def killed():
    yield Progress(0, 1, "Dying")
    os.kill(os.getpid(), signal.SIGKILL)


def exits():
    yield Progress(0, 1, "Leaving")
    os._exit(3)


def unpicklable():
    yield Progress(0, 1, "Making")
    return lambda: None


def endless():
    for step in range(10**9):
        yield Progress(step, 10**9, "Counting")
        time.sleep(0.02)


def silent(seconds):
    yield Progress(0, 1, "Working")
    time.sleep(seconds)
    yield Progress(1, 1, "Working")


def writes_slowly(target: Path):
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        yield Progress(0, 1, "Writing")
        for _ in range(1000):
            time.sleep(0.01)
    return target


def niceness():
    yield Progress(0, 1, "Asking")
    return os.nice(0)


def greedy(value):
    """Hold the interpreter: a regular expression that backtracks for ever, as a C extension may."""
    import re

    yield Progress(0, 1, "Holding")
    re.match(r"(a+)+$", "a" * 64 + value)


def nothing(array: np.ndarray):
    return array
    yield
