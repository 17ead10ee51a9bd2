"""The commands that work on models."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unetseg.core.models.card import Score, VerificationSet
from napari_unetseg.engine.networks.model_file import Model, load_model, save_model
from support import Command


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A set of two stacks: half of the first one's bright voxels are labelled, all of the second one's."""
    (tmp_path / "data/cells").mkdir(parents=True)
    for number, labelled in ((1, 2), (2, 4)):
        image = np.zeros((8, 16, 16), np.uint8)
        image[2:6, 4:8, 4:8] = 255
        labels = np.zeros_like(image)
        labels[2 : 2 + labelled, 4:8, 4:8] = 1
        tifffile.imwrite(tmp_path / f"data/cells/c{number}_image.tif", image, photometric="minisblack")
        tifffile.imwrite(tmp_path / f"data/cells/c{number}_label.tif", labels, photometric="minisblack")
    return tmp_path / "data"


DICE = (2 / 3 + 1) / 2


def claim(path: Path, dice: float) -> Path:
    """Write figures and where they come from into a model's card."""
    model = load_model(path)
    score = Score(held_out="cells", structure="bright", metric="Dice", value=dice, images=2)
    rule = VerificationSet(name="cells", images="cells/*_image.tif")
    save_model(path, Model(model.network, model.card.model_copy(update={"scores": (score,), "held_out": (rule,)})))
    return path


def test_figures_that_hold_are_confirmed(command: Command, tiny_model: Path, data: Path) -> None:
    model = claim(tiny_model, DICE - 0.008)
    outcome = command("models", model, "--verify", "--data", data, "--json")
    assert outcome.code == 0
    (row,) = outcome.json["figures"]
    assert (row["held_out"], row["structure"], row["metric"], row["images"]) == ("cells", "bright", "Dice", 2)
    assert row["measured"] == pytest.approx(DICE, abs=1e-4)
    assert row["difference"] == pytest.approx(0.008, abs=2e-4)
    assert (row["agrees"], outcome.json["agree"]) == (True, True)
    assert "0.833" in command("models", model, "--verify", "--data", data).out


def test_a_figure_that_does_not_hold_is_exit_code_1(command: Command, tiny_model: Path, data: Path) -> None:
    outcome = command("models", claim(tiny_model, 0.95), "--verify", "--data", data)
    assert outcome.code == 1
    assert "NO" in outcome.out
    assert outcome.err == ""


def test_what_cannot_be_verified_is_one_line(command: Command, tiny_model: Path, data: Path, tmp_path: Path) -> None:
    model = claim(tiny_model, DICE)
    for arguments, said in (
        ((model, "--verify"), "Expected --data"),
        ((model, "--verify", "--data", tmp_path / "none"), "Expected --data"),
        ((model, "--verify", "--data", tmp_path), "holds no cells/*_image.tif"),
        (("no-such-model", "--verify", "--data", data), "there is no 'no-such-model'"),
    ):
        outcome = command("models", *arguments)
        assert outcome.code == 2
        assert outcome.err.count("\n") == 1
        assert said in outcome.err


def test_a_card_without_figures_is_told(command: Command, tiny_model: Path, data: Path) -> None:
    outcome = command("models", tiny_model, "--verify", "--data", data, "--json")
    assert outcome.code == 0
    assert outcome.json == {"figures": [], "agree": True, "notes": []}
    assert "has no figures" in outcome.err


def test_figures_without_their_images_are_told(command: Command, tiny_model: Path, data: Path) -> None:
    model = load_model(claim(tiny_model, DICE))
    save_model(tiny_model, Model(model.network, model.card.model_copy(update={"held_out": ()})))
    outcome = command("models", tiny_model, "--verify", "--data", data)
    assert outcome.code == 2
    assert "does not say which images its figures come from" in outcome.err


def test_named_models_are_listed_alone(command: Command, tiny_model: Path) -> None:
    listed = command("models", tiny_model, "nuclei-2d", "--json").json["models"]
    assert [card["name"] for card in listed] == ["threshold", "nuclei-2d"]


def test_every_measured_model_has_a_picture_of_at_most_40_kb(command: Command, tiny_model: Path) -> None:
    for card in command("models", "--json").json["models"]:
        if card["scores"]:
            assert Path(card["picture"]).stat().st_size <= 40_000
            assert max(Image.open(card["picture"]).size) == 176
    assert command("info", "nuclei-2d", "--json").json["picture"].endswith("nuclei-2d.png")
    assert command("info", tiny_model, "--json").json["picture"] is None
    assert "pictures" in command("models").out


def test_every_bundled_figure_says_which_images_it_comes_from(command: Command) -> None:
    for card in command("models", "--json").json["models"]:
        groups = {rule["name"] for rule in card["held_out"]}
        assert {score["held_out"] for score in card["scores"]} == groups


def test_a_model_goes_to_the_zoo_and_back(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    package, back = tmp_path / "m.zip", tmp_path / "back.safetensors"
    outcome = command("export", tiny_model, "-o", package, "--format", "bioimageio", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json == {"output": str(package), "model": "threshold", "format": "bioimageio", "notes": []}
    assert command("import-model", package, "-o", back, "--json").json == {
        "output": str(back),
        "model": "threshold",
        "notes": [],
    }
    assert load_model(back).card == load_model(tiny_model).card


def test_what_cannot_be_exchanged_is_one_line(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    for arguments, said in (
        (("export", tiny_model, "-o", tmp_path / "m.tar"), "ends with .zip"),
        (("export", tiny_model, "-o", tmp_path / "m.zip", "--format", "onnx"), "got 'onnx'"),
        (("export", tiny_model, "-o", tmp_path / "missing" / "m.zip"), "is not one. Make it first"),
        (("export", "nothing", "-o", tmp_path / "m.zip"), "there is no 'nothing'"),
        (("import-model", tiny_model, "-o", tmp_path / "m.safetensors"), "is not a whole zip file"),
        (("import-model", tmp_path / "m.zip", "-o", tmp_path / "m.pt"), "ends with .safetensors"),
    ):
        outcome = command(*arguments)
        assert outcome.code == 2
        assert outcome.err.count("\n") == 1
        assert said in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == [tiny_model.name]
