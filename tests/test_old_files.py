"""Files that an earlier version wrote are read as ever; ``tests/recorded/old/README.md`` says how they were made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

import napari_unetseg
from napari_unetseg import api
from napari_unetseg.core.annotations.journal import read_journal
from napari_unetseg.core.annotations.journal_writer import Journal
from napari_unetseg.core.steps import steps_from_json, steps_to_json
from support import Command

OLD = Path(__file__).parent / "recorded" / "old"
CPU = api.SegmentSettings(device="cpu")
STRUCTURES = [(1, "nerve", "#e69f00"), (2, "vessel", "#56b4e9")]
SOFT = api.SegmentSettings(device="cpu", write="probabilities")


def stored(name: str) -> npt.NDArray[np.uint8]:
    return tifffile.imread(OLD / f"{name}.tif")


def agreement(found: npt.NDArray[np.generic], name: str) -> float:
    """Share of voxels whose class is the stored one."""
    return float((found == stored(f"{name}-labels")).mean())


@pytest.mark.parametrize("name", ["light", "whole"])
def test_a_model_finds_the_same_classes(name: str) -> None:
    found = napari_unetseg.segment(OLD / "image.ome.tif", OLD / f"{name}.safetensors", CPU).labels
    assert agreement(found.array, name) >= 0.999
    assert [(s.label, s.name, s.colour) for s in found.structures] == STRUCTURES


@pytest.mark.parametrize("name", ["light", "whole"])
def test_every_part_of_a_model_has_its_say(name: str) -> None:
    """In an image so noisy that the answer hangs on all parts: half precision or not moves it by 0.3 of 255, and a
    light model by 6 without its refiner, by 13 without its forest."""
    found = napari_unetseg.segment(OLD / "hard.tif", OLD / f"{name}.safetensors", SOFT).probabilities
    assert found is not None
    assert found.channels == ("background", "nerve", "vessel")
    assert np.abs(255.0 * found.array - stored(f"{name}-probabilities")).mean() < 1.5


def test_a_card_is_read_whole() -> None:
    card = napari_unetseg.load_model(OLD / "light.safetensors").card
    assert (card.name, card.title, card.dimensions) == ("light", "Painted on image", 3)
    assert card.architecture["kind"] == "light"
    assert (card.architecture["trees"], card.architecture["refiner"]["widths"]) == (3, [4, 8])
    assert {score.structure for score in card.scores} == {"nerve", "vessel"}
    (step,) = napari_unetseg.load_model(OLD / "whole.safetensors").card.cleanup
    assert (step.kind, step.volume, step.unit) == ("remove_small", 4, "pixel")


def test_a_card_that_names_no_kind_of_network_is_of_a_u_net() -> None:
    """As cards were written while there were U-Nets alone; it is completed where it is read, and written in full."""
    header = (OLD / "whole.safetensors").read_bytes()
    header = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
    assert "kind" not in json.loads(header["__metadata__"]["unetseg_card"])["architecture"]
    card = napari_unetseg.load_model(OLD / "whole.safetensors").card
    assert card.architecture["kind"] == "unet"
    assert json.loads(card.model_dump_json())["architecture"]["kind"] == "unet"


def test_learning_goes_on_from_a_model() -> None:
    settings = api.FineTuneSettings(steps=0, device="cpu")
    learned = napari_unetseg.fine_tune(OLD / "image.ome.tif", OLD / "painted.tif", OLD / "light.safetensors", settings)
    assert learned.mean_dice is not None
    assert learned.mean_dice > 0.9


def test_a_journal_gives_its_paint_bit_for_bit() -> None:
    """Five strokes, one of which erases, two notes, and a record that was cut off when the program was killed."""
    recovered = read_journal(OLD / "image.ome.tif.paint")
    assert np.array_equal(recovered.painted, stored("journal-painted"))
    assert recovered.painted.dtype == np.uint16
    assert recovered.strokes == 5
    assert recovered.note == {"structures": {"2": "nerve", "3": "vessel"}}


def test_a_journal_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "image.ome.tif.paint"
    shutil.copy(OLD / path.name, path)
    painted = stored("journal-painted").astype(np.uint16)
    with Journal(path, painted.shape) as journal:
        assert np.array_equal(journal.painted, painted)
        painted[0, 5:9, 5:9] = 1
        assert journal.record(painted) == 16
    assert np.array_equal(read_journal(path).painted, painted)


@pytest.mark.parametrize(("name", "steps"), [("head", 0), ("refined", 20)])
def test_a_recorded_session_gives_its_model_again(command: Command, tmp_path: Path, name: str, steps: int) -> None:
    """The image is no longer where it was, and is found beside the record; processors round differently."""
    for part in (*OLD.glob(f"{name}.session*"), OLD / "image.ome.tif"):
        shutil.copy(part, tmp_path / part.name)
    model = tmp_path / "again.safetensors"
    outcome = command("finetune", "--session", tmp_path / f"{name}.session.json", "-o", model, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["steps"] == steps
    found = napari_unetseg.segment(tmp_path / "image.ome.tif", model, CPU).labels
    assert agreement(found.array, name) >= 0.99
    assert [s.name for s in found.structures] == ["nerve", "vessel"]


def test_clean_up_steps_are_read_and_written_as_they_were() -> None:
    records = json.loads((OLD / "steps.json").read_text(encoding="utf-8"))
    assert [record["kind"] for record in records] == [
        "crf", "prior", "keep_largest", "remove_small", "fill_holes", "smooth", "dilate", "erode", "separate",
        "number_parts", "merge_tiles", "renumber",
    ]  # fmt: skip
    assert steps_to_json(steps_from_json(records)) == records


@pytest.mark.parametrize("name", ["labels.ome.tif", "labels.nii.gz", "labels.nrrd"])
def test_labels_keep_their_grid_and_names(name: str) -> None:
    labels = api.load_labels(OLD / name)
    assert np.array_equal(labels.array, stored("light-labels"))
    assert labels.grid.spacing == pytest.approx((2.0, 0.5, 0.5) if labels.grid.unit == "µm" else (2e-3, 5e-4, 5e-4))
    assert [(s.label, s.name, s.colour) for s in labels.structures] == STRUCTURES
