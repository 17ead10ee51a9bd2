"""Shared fixtures: tiny model files whose result is known by hand."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from support import Command, ModelMaker, Outcome, threshold_model

pytest_plugins = ("levels",)

# Every run of a property test takes the same examples.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

# What one run has found out about this machine is nothing to the next one; processes that tests start inherit it.
os.environ["NAPARI_UNETSEG_CACHE"] = tempfile.mkdtemp(prefix="napari-unetseg-cache-")
atexit.register(shutil.rmtree, os.environ["NAPARI_UNETSEG_CACHE"], ignore_errors=True)


# What starts the tests may ignore these, as a shell does in the background; processes of tests would inherit it.
for name in ("SIGINT", "SIGHUP"):
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """A function that runs ``napari-unetseg`` with the given arguments, in this process."""
    from napari_unetseg.cli import main

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Outcome(int(end.value.code or 0), out, err)

    return run


@pytest.fixture
def make_model(tmp_path: Path) -> ModelMaker:
    """A function that writes the file of a thresholding U-Net; see `threshold_model`."""

    def make(name: str = "threshold", **options: object) -> Path:
        path = tmp_path / f"{name}.safetensors"
        threshold_model(path, **options)
        return path

    return make


@pytest.fixture
def tiny_model(make_model: ModelMaker) -> Path:
    """A 3D model file: voxels brighter than 127.5 of 255 are label 1, ``bright``."""
    return make_model()


@pytest.fixture
def tiny_model_2d(make_model: ModelMaker) -> Path:
    """A 2D model file: pixels brighter than 127.5 of 255 are label 1, ``bright``."""
    return make_model("threshold-2d", dimensions=2)


@pytest.fixture
def tiny_object_model(make_model: ModelMaker) -> Path:
    """A 3D model file that finds objects: bright above 127.5 of 255, and cores above 191."""
    return make_model("threshold-objects", objects=True)
