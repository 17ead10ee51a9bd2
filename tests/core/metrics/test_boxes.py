"""Figures are the same whether volumes are read whole, in boxes, or from files."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid, place
from napari_unetseg.core.io.lazy import open_labels
from napari_unetseg.core.io.loadsave import save_labels
from napari_unetseg.core.metrics import pairing
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.objects import contingency, match
from napari_unetseg.core.metrics.overlap import OverlapCount, count_overlap
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.volume import Labels
from napari_unetseg.core.voxels import partition

SHAPE = (9, 20, 22)
GRID = Grid((2.0, 0.5, 0.5), "µm")


def pair(labels, seed=0):
    """Blocky labels, and the same with a fifth of the blocks drawn anew."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, labels, (3, 5, 6))
    other = np.where(random.random(coarse.shape) < 0.2, random.integers(0, labels, coarse.shape), coarse)
    return tuple(
        array.repeat(3, 0).repeat(4, 1).repeat(4, 2)[:, :, :22].astype(np.uint16) * 3 for array in (other, coarse)
    )


@dataclass
class Counted:
    """Labels that remember the largest box that was read of them."""

    labels: Labels
    largest: int = 0

    def __getattr__(self, name):
        return getattr(self.labels, name)

    def read(self, box):
        self.largest = max(self.largest, math.prod(stop - start for start, stop in box))
        return self.labels.read(box)


def same(one, other):
    np.testing.assert_equal(one.to_dict(), other.to_dict())


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_an_evaluation_in_boxes_is_that_of_the_whole(objects, known, monkeypatch):
    settings = MetricSettings(objects=objects, surfaces=False)
    one, other = (Labels(array, GRID) for array in pair(40))
    mask = np.random.default_rng(1).random(SHAPE) < 0.5 if known else None
    whole = evaluate(one, other, settings, mask)
    monkeypatch.setattr(pairing, "BLOCK", 100)
    counted = Counted(one), Counted(other)
    same(evaluate(*counted, settings, mask), whole)
    assert max(source.largest for source in counted) <= 100


def test_surfaces_are_measured_in_the_boxes_around_structures(monkeypatch):
    one, other = (Labels(array, GRID) for array in pair(4))
    whole = evaluate(one, other)
    monkeypatch.setattr(pairing, "BLOCK", 100)
    same(evaluate(one, other), whole)
    assert all(math.isfinite(score.assd) for score in whole.structures)


@pytest.mark.parametrize("suffix", [".zarr", ".nii.gz", ".tif"])
def test_an_evaluation_of_files_is_that_of_arrays(suffix, tmp_path):
    one, other = (Labels(array, GRID) for array in pair(6))
    for name, labels in {"p": one, "r": other}.items():
        save_labels(tmp_path / f"{name}{suffix}", labels)
    files = [open_labels(tmp_path / f"{name}{suffix}") for name in "pr"]
    same(evaluate(*files), evaluate(one, other))
    same_objects = match(*files), match(one, other)
    assert same_objects[0] == same_objects[1]


@pytest.mark.parametrize("seed", range(3))
def test_counts_do_not_depend_on_the_boxes_or_their_order(seed):
    one, other = pair(300, seed)
    boxes = list(partition(SHAPE, (2, 7, 9), 1))
    boxes = [boxes[i] for i in np.random.default_rng(seed).permutation(len(boxes))]
    count, whole = OverlapCount(SHAPE[0]), count_overlap(one, other)
    for box in boxes:
        count.add(box[0][0], one[place(box)], other[place(box)])
    for field in ("labels", "predicted", "reference", "both", "foreground", "voxels"):
        np.testing.assert_array_equal(getattr(count.overlap, field), getattr(whole, field))
    table = contingency((one[place(box)], other[place(box)]) for box in boxes)
    np.testing.assert_array_equal(table.toarray(), contingency([(one, other)]).toarray())
