import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_unetseg.core.io import samples
from napari_unetseg.core.io.loadsave import load_labels, load_volume
from napari_unetseg.core.io.samples import find_sample, list_samples
from napari_unetseg.core.models import catalogue
from support import Command, ModelMaker


@pytest.fixture
def tiny_models(make_model: ModelMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholding models in the place, and under the name, of the bundled ones."""
    make_model("hippocampus-3d")
    make_model("nuclei-2d", dimensions=2, objects=True)
    monkeypatch.setattr(catalogue, "BUNDLED", tmp_path)


@pytest.mark.usefixtures("tiny_models")
def test_the_demo_writes_labels_a_picture_and_a_table(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    outcome = command("demo", "-o", folder, "--json")
    assert outcome.code == 0, outcome.err
    labels = load_labels(outcome.json["labels"])
    assert np.array_equal(labels.array, load_volume(find_sample("hippocampus").image).array[0] > 127.5)
    assert Image.open(outcome.json["picture"]).width > 500
    with Path(outcome.json["table"]).open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["dice"]) for row in rows] == [row["dice"] for row in outcome.json["structures"]]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        Path(outcome.json[name]).name for name in ("labels", "picture", "table")
    )


@pytest.mark.usefixtures("tiny_models")
def test_the_demo_prints_the_paths_and_the_table(command: Command, tmp_path: Path) -> None:
    outcome = command("demo", "-o", tmp_path / "out", "--sample", "fluorescent-nuclei")
    assert outcome.code == 0, outcome.err
    for path in (tmp_path / "out").iterdir():
        assert str(path) in outcome.out
    for word in ("Dice", "F1@0.5", "held out"):
        assert word in outcome.out


def test_a_sample_that_is_not_there_is_refused_with_the_names(command: Command, tmp_path: Path) -> None:
    outcome = command("demo", "-o", tmp_path / "out", "--sample", "unicorn")
    assert outcome.code == 2
    assert "plant-nuclei, hippocampus" in outcome.err
    assert not (tmp_path / "out").exists()


def test_every_sample_is_small_and_has_labels_on_its_grid() -> None:
    assert len(list_samples()) == 5
    for sample in list_samples():
        image, labels = load_volume(sample.image), load_labels(sample.labels)
        assert image.shape == labels.array.shape
        assert image.grid.spacing == labels.grid.spacing
        assert image.grid.unit == labels.grid.unit
        assert labels.array.any()
        assert sample.image.stat().st_size < 1e6
    assert sum(path.stat().st_size for path in samples.sample("nerve").parent.iterdir()) < 3e6


def test_every_sample_is_credited() -> None:
    page = (samples.sample("nerve").parent / "README.md").read_text()
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert sorted(rows) == sorted(sample.image.name for sample in list_samples())
    assert all(any(licence in row for licence in ("MIT", "CC BY", "CC0")) for row in rows.values())
