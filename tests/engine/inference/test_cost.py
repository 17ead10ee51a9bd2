"""A forecast is near enough to what a prediction then takes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.inference.cost import estimate_cost
from napari_unetseg.engine.inference.predict import iter_predict
from napari_unetseg.engine.networks.model_file import Model, load_model, save_model
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
from napari_unetseg.errors import ModelError, ResourceError

CPU = SegmentSettings(device="cpu")
MEASURE = """
import json, sys
from pathlib import Path
import numpy as np, psutil, torch
from napari_unetseg.core.allocator import give_back
from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.inference.cost import estimate_cost
from napari_unetseg.engine.networks.model_file import load_model
from napari_unetseg.engine.inference.predict import iter_predict

torch.set_num_threads(1)
model, settings = load_model(sys.argv[1]), SegmentSettings(device="cpu")
volume = Volume(np.random.default_rng(0).integers(0, 255, (1, 40, 160, 160), dtype=np.uint8))
finish(iter_predict(model, Volume(volume.array[:, :8, :32, :32]), settings))
expected = estimate_cost(model.card, volume, settings)
give_back()  # what the search for faults of half precision has freed is not there to be used again
before = psutil.Process().memory_info().rss
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: the estimate has tried a tile of its own
finish(iter_predict(model, volume, settings))
# not resource.ru_maxrss: that one begins at what the parent process held
peak = next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmHWM")) * 1024
print(json.dumps([expected.peak_bytes, peak - before]))
"""


@pytest.fixture
def wide_model(tiny_model, tmp_path):
    """A network whose first level is wide enough for its tiles to be most of what a prediction takes."""
    network = UNet(UNetSettings(3, 1, 2, (16, 16), norm="none")).eval()
    card = load_model(tiny_model).card.model_copy(update={"architecture": network.settings.to_json()})
    save_model(tmp_path / "wide.safetensors", Model(network, card))
    return tmp_path / "wide.safetensors"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_is_forecast_within_a_factor_of_three(wide_model):
    command = [sys.executable, "-c", MEASURE, str(wide_model)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    expected, measured = json.loads(done.stdout.splitlines()[-1])
    assert expected / 3 < measured < expected * 3


def test_time_tiles_and_device_are_forecast(wide_model):
    model = load_model(wide_model)
    volume = Volume(np.zeros((1, 16, 40, 50), dtype=np.uint8))
    expected = estimate_cost(model.card, volume, CPU)
    steps = []
    result = finish(iter_predict(model, volume, CPU), steps.append)
    assert expected.tiles == steps[-1].total
    assert expected.device == result.device == "cpu"
    assert 0 < expected.seconds < 60


def test_more_work_takes_longer(wide_model):
    card = load_model(wide_model).card
    small, large = (Volume(np.zeros((1, 16, side, side), dtype=np.uint8)) for side in (32, 128))
    one = estimate_cost(card, small, CPU)
    assert estimate_cost(card, large, CPU).seconds == pytest.approx(16 * one.seconds, rel=0.3)
    assert estimate_cost(card, small, SegmentSettings(device="cpu", flips=True)).seconds == pytest.approx(
        8 * one.seconds
    )


def test_probabilities_and_blending_are_counted(wide_model):
    card, volume = load_model(wide_model).card, Volume(np.zeros((1, 16, 64, 64), dtype=np.uint8))
    plain = estimate_cost(card, volume, CPU).peak_bytes
    kept = estimate_cost(card, volume, SegmentSettings(device="cpu", write="probabilities")).peak_bytes
    assert kept - plain == 2 * 2 * volume.array.size
    blended = card.model_copy(update={"architecture": {**card.architecture, "norm": "instance"}})
    tile = 8 * 64 * 64  # a slab as thick as the patch: two outputs and the weight as floats, twice
    assert estimate_cost(blended, volume, CPU).peak_bytes > 2 * 4 * 3 * tile


def test_it_refuses_what_a_prediction_refuses(wide_model, monkeypatch):
    card = load_model(wide_model).card
    with pytest.raises(ModelError, match="needs a stack"):
        estimate_cost(card, Volume(np.zeros((1, 1, 9, 9), dtype=np.uint8)), CPU)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ResourceError):
        estimate_cost(card, Volume(np.zeros((1, 9, 9, 9), dtype=np.uint8)), SegmentSettings(device="cuda"))
