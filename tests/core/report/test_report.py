from __future__ import annotations

import base64
import hashlib
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import save_labels
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.models.catalogue import list_models
from napari_unetseg.core.report.page import html_of, save_report
from napari_unetseg.core.report.record import Report
from napari_unetseg.core.steps import KeepLargest, RemoveSmall, steps_from_json
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.errors import InputError, OutputError

GRID = Grid((2.0, 0.5, 0.5), "µm")
NAMES = (Structure(label=1, name="cell <b>", colour="#12ab34"),)


@pytest.fixture
def report(tmp_path) -> Report:
    array = np.zeros((4, 20, 20), np.uint8)
    array[1:3, 5:15, 5:15] = 1
    labels = Labels(array, GRID, NAMES, name="my </script> result")
    reference = Labels(np.roll(array, 1, axis=2), GRID)
    image = Volume(array[None] * 100.0, GRID)
    path = tmp_path / "input.ome.tif"
    save_labels(path, labels)
    steps = (KeepLargest(parts=2), RemoveSmall(volume=1.5, unit="µm"))
    card = list_models()[0]
    return Report(
        labels, image, reference, evaluate(labels, reference), card, steps, {"device": "cpu"}, {"labels": path}
    )


def record_in(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="record">(.*)</script>', page)[1])


def test_the_page_holds_figures_pictures_card_and_versions(report):
    page = html_of(report)
    dice = report.evaluation.structures[0].dice
    assert f"<td>{dice:.3f}</td>" in page
    assert "cell &lt;b&gt;" in page
    assert "<b>" not in page.partition("<script")[0]
    assert "background:#12ab34" in page
    assert report.card.title in page
    assert "remove_small volume=1.5 unit=µm" in page
    assert "device cpu" in page
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', page)[1]
    assert Image.open(io.BytesIO(base64.b64decode(picture))).width > 200


def test_nothing_is_loaded_from_elsewhere(report):
    assert not re.findall(r'(?:src|href)="(?!data:)', html_of(report))


def test_the_result_can_be_made_again_from_the_record(report):
    record = record_in(html_of(report))
    assert steps_from_json(record["clean-up"]) == report.steps
    assert record["model"] == {"name": report.card.name, "version": report.card.version}
    assert record["files"]["labels"]["sha256"] == hashlib.sha256(report.files["labels"].read_bytes()).hexdigest()
    assert record["evaluation"]["mean_dice"] == report.evaluation.mean_dice
    assert (record["spacing"], record["unit"], record["settings"]) == ([2, 0.5, 0.5], "µm", {"device": "cpu"})
    assert record["libraries"]["numpy"] == np.__version__


def test_labels_alone_are_enough():
    page = html_of(Report(Labels(np.ones((1, 4, 5), np.uint8))))
    assert "<img" not in page
    assert "structure 1" in page
    assert record_in(page)["evaluation"] is None
    assert "None." in html_of(Report(Labels(np.zeros((1, 4, 5), np.uint8))))


def test_objects_have_a_table_of_their_own():
    objects = np.zeros((1, 9, 9), np.uint8)
    objects[0, ::2, ::2] = np.arange(25).reshape(5, 5)
    assert "<h2>24 objects</h2>" in html_of(Report(Labels(objects, are_objects=True)))


def test_a_file_that_cannot_be_written_and_an_image_that_does_not_fit(report, tmp_path):
    with pytest.raises(OutputError, match="Make it first"):
        save_report(tmp_path / "none" / "r.html", report)
    with pytest.raises(InputError, match="shapes differ"):
        save_report(tmp_path / "r.html", Report(report.labels, Volume(np.zeros((1, 2, 3, 4)))))
    assert not (tmp_path / "r.html").exists()


def test_the_command(report, tmp_path, command):
    out = tmp_path / "r.html"
    labels = report.files["labels"]
    outcome = command("report", labels, "-o", out, "--reference", labels, "--step", "keep_largest", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["evaluation"]["mean_dice"] == 1
    assert outcome.json["files"].keys() == {"labels", "reference"}
    assert record_in(out.read_text(encoding="utf-8"))["clean-up"][0]["kind"] == "keep_largest"


def test_the_command_for_surfaces(report, tmp_path, command):
    outcome = command("surfaces", report.files["labels"], "-o", tmp_path, "--format", "stl", "--json")
    assert [path.rpartition("/")[2] for path in outcome.json["outputs"]] == ["cell_b_.stl"]
    assert (tmp_path / "cell_b_.stl").stat().st_size > 1000


def test_names_of_others_are_shown_as_text():
    evil = "<img src=x><!--<script>\x1b[2J\u202e\nb\0"
    structure = Structure(label=1, name=evil, colour="#e69f00")
    page = html_of(
        Report(Labels(np.ones((1, 4, 5), np.uint8), structures=(structure,), name=evil), settings={evil: evil})
    )
    shown = "&lt;img src=x&gt;&lt;!--&lt;script&gt;\\x1b[2J\\u202e\\nb\\x00"
    assert page.count(shown) == 5  # title, heading, table, and a setting's name and value
    assert "<img" not in page
    assert "<!--" not in page
    assert not {"\x1b", "\u202e", "\0"} & set(page)
    assert record_in(page)["settings"] == {evil: evil}
