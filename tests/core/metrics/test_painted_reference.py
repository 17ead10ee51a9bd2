from __future__ import annotations

import numpy as np

from napari_unetseg.core.io.loadsave import save_labels
from napari_unetseg.core.metrics.evaluation import evaluate_painted, painted_reference
from napari_unetseg.core.volume import Labels, Structure


def line(*values: int) -> np.ndarray:
    return np.array(values, np.uint8).reshape(1, 1, -1)


PAINT = Labels(line(0, 1, 2, 2, 3, 0), structures=(Structure(label=2, name="axon", colour="#ff0000"),))


def test_paint_is_one_above_the_labels():
    reference, known = painted_reference(PAINT)
    assert reference.array.tolist() == [[[0, 0, 1, 1, 2, 0]]]
    assert known.tolist() == [[[False, True, True, True, True, False]]]
    assert [(s.label, s.name) for s in reference.structures] == [(1, "axon")]


def test_only_paint_counts():
    evaluation = evaluate_painted(Labels(line(2, 0, 1, 0, 2, 1)), PAINT)
    first, second = evaluation.structures
    assert (first.name, first.dice, first.sensitivity, first.volume) == ("axon", 2 / 3, 1 / 2, 1)
    assert (second.dice, second.precision) == (1, 1)


def test_objects_count_as_the_first_structure():
    objects = Labels(line(7, 0, 300 % 256, 9, 0, 1), are_objects=True)
    assert evaluate_painted(objects, PAINT).structures[0].dice == 1


def test_headless(tmp_path, command):
    for name, labels in (("p", Labels(line(2, 0, 1, 0, 2, 1))), ("r", PAINT)):
        save_labels(tmp_path / f"{name}.ome.tif", labels)
    outcome = command("evaluate", tmp_path / "p.ome.tif", tmp_path / "r.ome.tif", "--painted", "--json")
    assert [row["dice"] for row in outcome.json["structures"]] == [2 / 3, 1]
