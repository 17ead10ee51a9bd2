from __future__ import annotations

import csv

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.scores import METRICS
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.metrics.table import save_table, write_csv
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import OutputError


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def evaluation():
    predicted, reference = (np.array(values, np.uint8).reshape(1, 1, -1) for values in ([1, 1, 0], [1, 0, 2]))
    return evaluate(Labels(predicted, Grid((1, 1, 0.1), "µm")), Labels(reference))


def test_a_row_a_structure_with_every_digit(tmp_path, evaluation):
    save_table(tmp_path / "t.csv", evaluation)
    first, second = read(tmp_path / "t.csv")
    assert list(first) == ["label", "name", *METRICS, "unit"]
    assert (first["label"], first["name"], first["unit"]) == ("1", "structure 1", "µm")
    assert float(first["dice"]) == evaluation.structures[0].dice == 2 / 3
    assert float(first["volume"]) == pytest.approx(0.2)
    assert (second["precision"], second["hausdorff"]) == ("", "inf")


def test_cases_come_first(tmp_path, evaluation):
    save_table(tmp_path / "t.csv", {"a": evaluation, "b": evaluation})
    rows = read(tmp_path / "t.csv")
    assert [(row["case"], row["label"]) for row in rows] == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")]


def test_objects_add_their_columns(tmp_path):
    labels = Labels(np.array([3, 3, 0, 4], np.uint8).reshape(1, 1, -1))
    save_table(tmp_path / "t.csv", evaluate(labels, labels, MetricSettings(objects=True)))
    (row,) = read(tmp_path / "t.csv")
    assert (row["name"], row["objects"], row["reference_objects"], row["f1"]) == ("object", "2", "2", "1.0")


def test_rows_may_have_different_columns(tmp_path):
    write_csv(tmp_path / "t.csv", [{"a": 1}, {"b": "x, y"}])
    assert read(tmp_path / "t.csv") == [{"a": "1", "b": ""}, {"a": "", "b": "x, y"}]


def test_no_rows_give_an_empty_file(tmp_path):
    write_csv(tmp_path / "t.csv", [])
    assert (tmp_path / "t.csv").read_text() == ""


def test_a_missing_folder_is_one_clear_line(tmp_path, evaluation):
    with pytest.raises(OutputError, match="Make it first"):
        save_table(tmp_path / "none" / "t.csv", evaluation)


@pytest.mark.parametrize("name", ["=1+2", "+1", "-1", "@A1", "\t=1", "\r=1", "\n=1", "＝1"])
def test_a_name_that_a_spreadsheet_would_compute_stays_a_text(tmp_path, name):
    write_csv(tmp_path / "t.csv", [{"name": name, "change": -1.5}])
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1] == [f"'{name}", "-1.5"]


def test_a_formula_behind_a_semicolon_ends_no_cell_either(tmp_path):
    write_csv(tmp_path / "t.csv", [{"name": "a;=1;-2;b-3", "count": -4}])
    assert read(tmp_path / "t.csv") == [{"name": "a;'=1;'-2;b-3", "count": "-4"}]
