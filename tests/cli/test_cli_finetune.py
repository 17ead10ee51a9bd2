from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unetseg.core.io.loadsave import load_labels, load_volume
from napari_unetseg.core.models.appearance import describe_image
from napari_unetseg.core.models.catalogue import read_card
from support import Command


@pytest.fixture
def stripes(tmp_path: Path) -> tuple[Path, Path, np.ndarray]:
    """An image of noisy stripes, three painted slices of it, and its labels."""
    labels = np.zeros((7, 32, 32), np.uint8)
    labels[:, :, 8:16] = labels[:, :, 24:] = 1
    noise = np.random.default_rng(0).normal(0, 10, labels.shape)
    tifffile.imwrite(tmp_path / "image.tif", (100 * labels + 50 + noise).astype(np.uint8))
    painted = np.zeros_like(labels)
    painted[[1, 3, 5]] = labels[[1, 3, 5]] + 1
    tifffile.imwrite(tmp_path / "painted.tif", painted)
    return tmp_path / "image.tif", tmp_path / "painted.tif", labels


def test_what_finetune_makes_segments(command: Command, stripes: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    image, painted, labels = stripes
    model, out = tmp_path / "stripes.safetensors", tmp_path / "out.tif"
    outcome = command(
        "finetune", image, "--painted", painted, "-o", model, "--steps", 0, "--spacing", "1,1,1", "--json"
    )
    assert outcome.code == 0, outcome.err
    assert set(outcome.json) == {"model", "steps", "held_out_dice", "seconds", "expected_dice", "notes"}
    assert (outcome.json["model"], outcome.json["steps"]) == (str(model), 0)
    assert outcome.json["held_out_dice"] > 0.95
    (expected,) = outcome.json["expected_dice"].values()
    assert (expected["value"], expected["groups"], expected["source"]) == (None, 2, "strokes")  # of one slice
    assert set(expected) == {"value", "low", "high", "voxels", "groups", "source"}
    shown = command("info", model)
    assert "too little is held out to tell (on 512 held-out voxels of 2 strokes)" in " ".join(shown.out.split())
    assert set(describe_image(load_volume(image))) <= set(read_card(model).appearance.descriptors)
    outcome = command("segment", image, "-o", out, "--model", model, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["model"] == "stripes"
    assert ((load_labels(out).array == 1) == (labels == 1)).mean() > 0.97
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p * 0, "Nothing is painted"),
        (lambda p: (p > 0).astype(np.uint8), "Only background"),
        (lambda p: p[:2], "the image's shape"),
    ],
)
def test_bad_paint_is_one_line_and_leaves_nothing(
    command: Command, stripes: tuple[Path, Path, np.ndarray], tmp_path: Path, change, message: str
) -> None:
    image, painted, _ = stripes
    tifffile.imwrite(painted, change(tifffile.imread(painted)))
    outcome = command("finetune", image, "--painted", painted, "-o", tmp_path / "m.safetensors", "--steps", 0)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.strip().count("\n") == 0
    assert not (tmp_path / "m.safetensors").exists()


def test_the_target_is_checked_before_anything_is_read(command: Command, tmp_path: Path) -> None:
    for target, message in (("m.tif", "ends with .safetensors"), ("none/m.safetensors", "existing folder")):
        outcome = command("finetune", tmp_path / "no.tif", "--painted", tmp_path / "no.tif", "-o", tmp_path / target)
        assert outcome.code == 2
        assert message in outcome.err
