"""Counts and figures, by hand."""

import math

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.measure import StructureSummary, summarise
from napari_unetseg.core.models.card import ModelCard, Score
from napari_unetseg.core.units import quantity
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.plugin.parts.text import card_lines, duration, lengths, memory, voxel_size

A = Structure(label=1, name="a", colour="#e69f00")
B = Structure(label=2, name="b", colour="#56b4e9")


def test_classes_are_counted_in_voxels_and_volume():
    labels = Labels(np.array([[[0, 1, 1]], [[1, 0, 0]]], np.uint8), Grid((2.0, 0.5, 0.5), "µm"), (A, B))
    assert summarise(labels) == [
        StructureSummary("a", "#e69f00", 3, 1.5, None),
        StructureSummary("b", "#56b4e9", 0, 0.0, None),
    ]


def test_objects_are_counted_whatever_their_numbers():
    labels = Labels(np.array([[[0, 1, 1, 7]]] * 2, np.uint16), structures=(A,), are_objects=True)
    assert summarise(labels) == [StructureSummary("a", "#e69f00", 6, None, 2)]


def test_a_picture_has_an_area():
    labels = Labels(np.ones((1, 2, 3), np.uint8), Grid((9.0, 0.5, 2.0), "mm"), (A,))
    assert summarise(labels)[0].size == 6


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (8.4, "8 s"), (99, "99 s"), (100, "2 min"), (3600, "60 min"), (9000, "2.5 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(4000, "4 kB"), (12e6, "12 MB"), (1.44e9, "1.4 GB")])
def test_memory(count, text):
    assert memory(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12340, "12 340"),
        (0.021341, "0.02134"),
        (999.96, "1 000"),
        (0, "0"),
        (27103, "27 100"),
        (1234567890, "1.235 billion"),
        (999_999, "1 million"),
        (1.2e-7, "1.2·10⁻⁷"),
        (-0.5, "-0.5"),
        (math.inf, "∞"),
        (4e20, "4·10²⁰"),
    ],
)
def test_quantities(value, text):
    assert quantity(value) == text


def test_shapes_and_voxel_sizes():
    assert lengths((1, 256, 300)) == "256 × 300"
    assert voxel_size(Grid((1.75, 0.8, 0.8), "µm")) == "1.75 × 0.8 × 0.8 µm"
    assert voxel_size(Grid((1.0, 0.8, 0.8), "µm"), flat=True) == "0.8 × 0.8 µm"
    assert voxel_size(Grid((4.0, 1.0, 1.0))) == "not known (ratio 4 × 1 × 1)"


def test_a_card_s_scores_are_told_from_the_worst_to_the_best():
    scores = [("Dice", 0.3), ("Dice", 0.86), ("F1@0.5", 0.5)]
    card = ModelCard(
        name="m", title="M", description="Finds a.", version="1", dimensions=3, structures=(A,),
        architecture={"kind": "unet"}, patch=(1, 1, 1), halo=(0, 0, 0),
        scores=tuple(Score(held_out="x", structure="a", metric=m, value=v, images=1) for m, v in scores),
    )  # fmt: skip
    lines = card_lines(card).split("<br>")
    assert lines[0] == "Finds a."
    assert lines[-1] == "Held out: a Dice 0.30 to 0.86, a F1@0.5 0.50"
