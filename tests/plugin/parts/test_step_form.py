"""Steps begin with sizes of the layer's voxels in its unit, and say in one line what they do."""

import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.steps import Crf, Dilate, FillHoles, KeepLargest, MergeTiles, Prior, RemoveSmall, Separate
from napari_unetseg.plugin.parts.step_form import KINDS, describe, new_step, read_labels, title

GRID = Grid((2.0, 0.5, 0.5), "µm")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_step_can_be_begun_titled_and_described(kind):
    step = new_step(kind, GRID, (8, 16, 16))
    assert type(step) is kind
    assert describe(step).startswith(title(kind))


def test_sizes_begin_in_the_unit_of_the_layer():
    assert new_step(RemoveSmall, GRID, (8, 16, 16)) == RemoveSmall(volume=25.0, unit="µm")
    assert new_step(RemoveSmall, GRID, (1, 16, 16)) == RemoveSmall(volume=12.5, unit="µm")
    assert new_step(Dilate, GRID, (8, 16, 16)) == Dilate(distance=0.5, unit="µm")
    assert new_step(Separate, Grid(), (8, 16, 16)) == Separate(depth=1.0, unit="pixel")
    assert new_step(MergeTiles, GRID, (8, 16, 16)).tile == (8, 16, 16)
    assert new_step(Prior, GRID, (8, 16, 16)) == Prior(softness=1.5, unit="µm")


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (KeepLargest(), "Keep largest: parts 1"),
        (FillHoles(), "Fill holes"),
        (FillHoles(per_slice=True), "Fill holes: per slice"),
        (RemoveSmall(volume=50, unit="µm", structures=(1, 3)), "Remove small: structures 1, 3, volume 50 µm³"),
        (Dilate(distance=0.5, unit="mm"), "Dilate: distance 0.5 mm"),
        (Crf(), "Follow image (CRF)"),
        (Crf(window=2, per_slice=True), "Follow image (CRF): window 2, per slice"),
        (Prior(softness=6, unit="µm"), "Anatomical prior: softness 6 µm"),
    ],
)
def test_a_step_says_what_it_does(step, text):
    assert describe(step) == text


def test_in_two_dimensions_it_is_an_area():
    assert describe(RemoveSmall(volume=50, unit="µm"), flat=True) == "Remove small: volume 50 µm²"


@pytest.mark.parametrize(
    ("text", "labels"), [("all", ()), ("", ()), ("2 golgi", (2,)), ("1, 3", (1, 3)), ("1,3 x,y", (1, 3))]
)
def test_labels_are_read_as_people_type_them(text, labels):
    assert read_labels(text) == labels
