"""Shared fixtures: tiny model files whose result is known by hand."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from support import Command, ModelMaker, Outcome

pytest_plugins = ("levels",)

# Every run of a property test takes the same examples.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

# What one run has found out about this machine is nothing to the next one; processes that tests start inherit it.
os.environ["NAPARI_UNETSEG_CACHE"] = tempfile.mkdtemp(prefix="napari-unetseg-cache-")
atexit.register(shutil.rmtree, os.environ["NAPARI_UNETSEG_CACHE"], ignore_errors=True)


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
