"""Faults 21, 22, 24, 26 to 28 and 31 to 37: writers that are killed, disks that are full, memory that ends, and
numbers that are none."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_unetseg import evaluate
from napari_unetseg.core.io.loadsave import load_labels, save_labels
from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.engine.inference import plan
from napari_unetseg.engine.inference.predict import iter_predict
from napari_unetseg.engine.networks.fused import FusedUNet
from napari_unetseg.engine.networks.model_file import load_model
from support import full_disk, gone_within

COMMAND = [sys.executable, "-m", "napari_unetseg"]
SAVER = """
import sys, numpy as np
from napari_unetseg.core.io.loadsave import save_labels
from napari_unetseg.core.volume import Labels
print("on", flush=True)
while True:
    for value in (1, 2):
        save_labels(sys.argv[1], Labels(np.full((4, 64, 64), value, np.uint8)))
"""


@pytest.mark.parametrize("name", ["a.ome.tif", "a.nii.gz", "a.zarr", "a.nrrd"])
def test_fault_21_a_writer_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path, name):
    path, moments = tmp_path / name, random.Random(name)
    save_labels(path, Labels(np.full((4, 64, 64), 1, np.uint8)))
    for _ in range(3):
        program = subprocess.Popen([sys.executable, "-c", SAVER, path], stdout=subprocess.PIPE, text=True)
        program.stdout.readline()
        time.sleep(moments.uniform(0, 0.1))
        program.kill()
        program.communicate()
        assert load_labels(path).array.min() == load_labels(path).array.max() in (1, 2)
    save_labels(path, Labels(np.full((4, 64, 64), 3, np.uint8)))
    assert load_labels(path).array.min() == 3
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.fixture
def stack(tmp_path):
    """A file of a dark and a bright half."""
    path, array = tmp_path / "stack.tif", np.full((8, 32, 32), 20, np.uint8)
    array[:, :, 16:] = 230
    tifffile.imwrite(path, array, metadata={"axes": "ZYX"}, photometric="minisblack")
    return path


def test_fault_22_a_full_disk_keeps_what_was_there(command, stack, tiny_model, tmp_path):
    out = tmp_path / "out.ome.tif"
    words = ("segment", stack, "-o", out, "-m", tiny_model, "--spacing", "1,1,1")
    assert command(*words).code == 0
    before = out.read_bytes()
    with full_disk(200):
        outcome = command(*words)
    assert outcome.code == 2
    assert outcome.err.strip().count("\n") == 0
    assert out.read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_fault_24_an_output_that_cannot_be_written_is_known_before_anything_is_computed(
    command, stack, tiny_model, tmp_path, monkeypatch
):
    monkeypatch.setattr(FusedUNet, "forward", lambda *_: pytest.fail("it computed"))
    for out in (tmp_path / "gone" / "out.tif", Path("/proc/out.tif")):
        outcome = command("segment", stack, "-o", out, "-m", tiny_model, "--spacing", "1,1,1")
        assert outcome.code == 2
        assert outcome.err.strip().count("\n") == 0


def test_fault_26_memory_that_ends_on_a_device_makes_tiles_smaller(tiny_model, monkeypatch):
    forward, asked = FusedUNet.forward, []

    def limited(self, image):
        asked.append(image[:, 0].numel())
        if asked[-1] > 20_000:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, image)

    monkeypatch.setattr(FusedUNet, "forward", limited)
    image = np.random.default_rng(0).choice(np.array([20, 230], np.uint8), (1, 32, 64, 64))
    result = finish(iter_predict(load_model(tiny_model), Volume(image), SegmentSettings(device="cpu")))
    assert np.array_equal(result.classes, image[0] > 127)
    assert max(asked) > 20_000 >= asked[-1]
    assert any("half the size" in note for note in result.notes)


SLOW = """
import sys, time
import napari_unetseg.engine.networks.fused as fused
forward = fused.FusedUNet.forward
def slow(self, image):
    print("computing", flush=True)
    time.sleep(60)
    return forward(self, image)
fused.FusedUNet.forward = slow
from napari_unetseg.cli import main
main(sys.argv[1:])
"""


def test_fault_28_a_command_that_is_interrupted_ends_within_two_seconds_and_leaves_nothing(stack, tiny_model, tmp_path):
    words = ["segment", stack, "-o", tmp_path / "out.tif", "-m", tiny_model, "--spacing", "1,1,1"]
    program = subprocess.Popen(
        [sys.executable, "-c", SLOW, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while "computing" not in (line := program.stdout.readline()):
        assert line, program.stderr.read()
    program.send_signal(signal.SIGINT)
    assert gone_within(program.pid, 2)
    _, err = program.communicate()
    assert program.returncode == 130
    assert "Traceback" not in err
    assert not (tmp_path / "out.tif").exists()
    assert not list(tmp_path.glob(".*"))


KILLS_ITS_HELPERS = """
import os, sys, threading, time, psutil
from napari_unetseg.cli import main
killed = []
def kill():
    while not killed:
        for child in psutil.Process().children():
            if "spawn_main" in " ".join(child.cmdline()):  # it scores: no tracker, and no process that only begins
                child.kill()
                killed.append(child.pid)
                open("killed", "w").close()
                return
        time.sleep(0.01)
if __name__ == "__main__":
    threading.Thread(target=kill, daemon=True).start()
    main(sys.argv[1:])
"""


def test_fault_32_a_helper_that_is_killed_is_replaced(tmp_path):
    folders = [tmp_path / "predicted", tmp_path / "reference"]
    generator = np.random.default_rng(0)
    for folder in folders:
        folder.mkdir()
    for number in range(4):
        array = generator.integers(0, 3, (6, 40, 40)).astype(np.uint8)
        for folder in folders:
            save_labels(folder / f"{number}.nii.gz", Labels(array))
    script = tmp_path / "program.py"
    script.write_text(KILLS_ITS_HELPERS)
    done = subprocess.run(
        [sys.executable, script, "evaluate", *folders, "--json"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (tmp_path / "killed").exists()
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout.splitlines()[-1])["cases"]) == 4


def test_fault_33_tiles_and_the_whole_agree_and_objects_go_across_seams(tiny_object_model, monkeypatch):
    image = np.full((1, 16, 48, 48), 20, np.uint8)
    image[0, 4:12, 4:44, 20:28] = 250
    model, settings = load_model(tiny_object_model), SegmentSettings(device="cpu")
    whole = finish(iter_predict(model, Volume(image), settings))
    monkeypatch.setattr(plan, "free_memory", lambda _device: 2_000_000)
    seen = []
    tiled = finish(iter_predict(model, Volume(image), settings), seen.append)
    assert max(record.total for record in seen) > 1
    assert np.array_equal(tiled.classes, whole.classes)
    assert np.array_equal(tiled.seeds, whole.seeds)


def test_fault_34_the_same_seed_gives_the_same_bytes(command, stack, tmp_path):
    painted = np.zeros((8, 32, 32), np.uint8)
    painted[::3, :, :14], painted[::3, :, 18:] = 1, 2
    tifffile.imwrite(tmp_path / "painted.tif", painted, photometric="minisblack", metadata={"axes": "ZYX"})
    written = []
    for _ in range(2):
        model = tmp_path / "model.safetensors"
        words = ("--painted", tmp_path / "painted.tif", "-o", model, "--steps", 2, "--spacing", "1,1,1", "--seed", 7)
        outcome = command("finetune", stack, *words)
        assert outcome.code == 0, outcome.err
        written.append(model.read_bytes())
        model.unlink()
    assert written[0] == written[1]


def test_fault_35_a_structure_that_is_absent_is_defined():
    empty, one = np.zeros((4, 8, 8), np.uint8), np.zeros((4, 8, 8), np.uint8)
    one[1:3, 2:5, 2:5] = 1
    nothing = evaluate(Labels(empty), Labels(empty))
    assert nothing.structures == () or all(np.isnan(s.dice) for s in nothing.structures)
    for predicted, reference in ((empty, one), (one, empty)):
        (score,) = evaluate(Labels(predicted), Labels(reference)).structures
        assert score.dice == 0
        assert np.isinf(score.hausdorff)


@pytest.mark.parametrize(
    ("voxels", "words"),
    [({}, "Nothing is painted"), ({(1, 2, 3): 2}, "background"), ({(1, 2, 3): 1, (1, 2, 4): 1}, "Only background")],
    ids=["nothing", "one voxel", "one class"],
)
def test_fault_36_paint_that_nothing_can_be_learned_from(command, stack, tmp_path, voxels, words):
    painted = np.zeros((8, 32, 32), np.uint8)
    for place, value in voxels.items():
        painted[place] = value
    tifffile.imwrite(tmp_path / "painted.tif", painted, photometric="minisblack", metadata={"axes": "ZYX"})
    model = tmp_path / "model.safetensors"
    outcome = command("finetune", stack, "--painted", tmp_path / "painted.tif", "-o", model, "--steps", 0)
    assert outcome.code == 2
    assert words in outcome.err
    assert outcome.err.strip().count("\n") == 0
    assert not model.exists()


def test_fault_37_a_loss_that_is_not_a_number_ends_training_and_keeps_what_was_good(
    command, stack, tmp_path, monkeypatch
):
    painted = np.zeros((8, 32, 32), np.uint8)
    painted[::3, :, :14], painted[::3, :, 18:] = 1, 2
    tifffile.imwrite(tmp_path / "painted.tif", painted, photometric="minisblack", metadata={"axes": "ZYX"})
    monkeypatch.setattr(
        "napari_unetseg.engine.fewshot.validation.loss_of",
        lambda _: lambda scores, _labels: scores.sum() * float("nan"),
    )
    model, out = tmp_path / "model.safetensors", tmp_path / "out.tif"
    words = ("--painted", tmp_path / "painted.tif", "-o", model, "--steps", 5, "--spacing", "1,1,1")
    outcome = command("finetune", stack, *words)
    assert outcome.code == 0, outcome.err
    assert "not a number" in outcome.out + outcome.err
    assert command("segment", stack, "-o", out, "-m", model).code == 0
    assert np.mean((load_labels(out).array == 1) == (tifffile.imread(stack) > 127)) > 0.9


def test_fault_26_where_a_device_has_no_memory_left_the_cpu_goes_on(tiny_model, monkeypatch):
    """A device without memory, by injection: tensors on ``meta`` have none at all."""
    forward = FusedUNet.forward

    def without_memory(self, image):
        if image.device.type == "meta":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, image)

    monkeypatch.setattr(FusedUNet, "forward", without_memory)
    monkeypatch.setattr("napari_unetseg.engine.inference.predict.choose_device", lambda _name: torch.device("meta"))
    image = np.random.default_rng(0).choice(np.array([20, 230], np.uint8), (1, 16, 32, 32))
    result = finish(iter_predict(load_model(tiny_model), Volume(image), SegmentSettings()))
    assert np.array_equal(result.classes, image[0] > 127)
    assert result.device == "cpu"
    assert "going on with the CPU" in result.notes[-1]


def test_fault_26_training_without_memory_is_one_line(command, stack, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    painted = np.zeros((8, 32, 32), np.uint8)
    painted[::3, :, :14], painted[::3, :, 18:] = 1, 2
    tifffile.imwrite(tmp_path / "painted.tif", painted, photometric="minisblack", metadata={"axes": "ZYX"})
    monkeypatch.setattr("napari_unetseg.engine.fewshot.validation.loss_of", lambda _: full)
    model = tmp_path / "model.safetensors"
    words = ("--painted", tmp_path / "painted.tif", "-o", model, "--steps", 5, "--spacing", "1,1,1")
    outcome = command("finetune", stack, *words)
    assert outcome.code == 2
    assert outcome.err.strip().count("\n") == 0
    assert "memory" in outcome.err
    assert not model.exists()
