from __future__ import annotations

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.postprocess.apply import clean, iter_clean
from napari_unetseg.core.postprocess.context import CleanupContext
from napari_unetseg.core.steps import (
    Dilate,
    Erode,
    FillHoles,
    KeepLargest,
    MergeTiles,
    NumberParts,
    RemoveSmall,
    Renumber,
    Separate,
    Smooth,
    parse_step,
    steps_from_json,
    steps_to_json,
)
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.errors import InputError, SettingsError, UnetsegError

GRID = Grid((2.0, 0.5, 0.5), "µm")
STRUCTURES = (
    Structure(label=1, name="cell", colour="#ff0000"),
    Structure(label=2, name="nucleus", colour="#00ff00"),
)


def scene() -> Labels:
    """A cell with a hole and a nucleus inside, and a speck of each."""
    array = np.zeros((5, 20, 20), np.uint8)
    array[0:5, 2:12, 2:12] = 1
    array[2, 4, 4] = 0
    array[1:4, 6:9, 6:9] = 2
    array[4, 18, 18] = 1
    array[0, 15, 15:17] = 2
    return Labels(array, GRID, STRUCTURES, name="scene")


def count(labels: Labels, label: int) -> int:
    return int((labels.array == label).sum())


def test_steps_are_applied_in_order_and_the_input_stays():
    labels = scene()
    before = labels.array.copy()
    result = clean(labels, [KeepLargest(), FillHoles()])
    assert count(result, 1) == 500 - 27
    assert count(result, 2) == 27
    assert (result.grid, result.structures, result.name) == (GRID, STRUCTURES, "scene")
    assert result.array.dtype == np.uint8
    np.testing.assert_array_equal(labels.array, before)


def test_only_the_structures_that_were_asked_for():
    result = clean(scene(), [KeepLargest(structures=(2,))])
    assert (count(result, 1), count(result, 2)) == (count(scene(), 1), 27)


@pytest.mark.parametrize(
    ("volume", "unit", "left"), [(2, "pixel", 29), (3, "pixel", 27), (1, "µm", 29), (1.1, "µm", 27)]
)
def test_small_is_physical(volume, unit, left):
    """Two voxels of 0.5 µm³ each are 1 µm³."""
    assert count(clean(scene(), [RemoveSmall(volume=volume, unit=unit)]), 2) == left


def test_small_is_an_area_in_an_image():
    labels = Labels(scene().array[:1], GRID, STRUCTURES)
    assert count(clean(labels, [RemoveSmall(volume=0.5, unit="µm")]), 2) == 2  # two pixels of 0.25 µm²
    assert count(clean(labels, [RemoveSmall(volume=0.6, unit="µm")]), 2) == 0


def test_what_grows_does_not_take_from_others():
    result = clean(scene(), [Dilate(distance=0.5, unit="µm", structures=(2,))])
    assert count(result, 1) == count(scene(), 1)
    assert count(result, 2) == 29 + 6  # around the speck in its slice; the next slice is 2 µm away


def test_erosion_and_smoothing():
    assert count(clean(scene(), [Erode(distance=0.5, unit="µm")]), 2) == 3  # the middle column of the nucleus's slices
    smoothed = clean(scene(), [Smooth(radius=0.5, unit="µm")])
    assert smoothed.array[4, 18, 18] == 0
    assert smoothed.array[2, 4, 4] == 1


def test_parts_become_objects_of_their_structure():
    result = clean(scene(), [NumberParts(structures=(2,))])
    assert result.are_objects
    assert np.unique(result.array).tolist() == [0, 1, 2]
    assert [(s.label, s.name) for s in result.structures] == [(1, "nucleus")]


def test_objects_are_separated_one_by_one():
    y, x = np.indices((20, 40))
    two = ((y - 10) ** 2 + (x - 12) ** 2 < 64) | ((y - 10) ** 2 + (x - 26) ** 2 < 64)
    labels = Labels((two * 1).astype(np.uint8)[None], structures=STRUCTURES[:1])
    result = clean(labels, [Separate()])
    assert result.are_objects
    assert result.array.max() == 2
    again = clean(result, [Separate(), Renumber()])
    np.testing.assert_array_equal(again.array, result.array)


def test_objects_of_several_structures_need_a_choice():
    with pytest.raises(SettingsError, match="choose one"):
        clean(scene(), [Separate()])


def test_tiles_are_merged_and_numbers_closed_up():
    array = np.array([[[0, 30, 70, 70, 0, 90]]], np.uint16)
    result = clean(Labels(array, are_objects=True), [MergeTiles(tile=(1, 1, 2)), Renumber()])
    assert result.array.tolist() == [[[0, 1, 1, 1, 0, 2]]]


def test_progress_names_the_step():
    job = iter_clean(scene(), [KeepLargest(), FillHoles()])
    assert [(p.done, p.total, p.stage) for p in job] == [(0, 2, "Keep largest"), (1, 2, "Fill holes")]


def test_no_steps_and_no_labels():
    np.testing.assert_array_equal(clean(scene(), []).array, scene().array)
    nothing = Labels(np.zeros((1, 3, 4), np.uint8))
    every = [KeepLargest(), RemoveSmall(volume=3), FillHoles(), Smooth(radius=1), Dilate(distance=1), Erode(distance=1)]
    every += [Separate(), NumberParts(), MergeTiles(tile=(1, 2, 2)), Renumber()]
    assert not clean(nothing, every).array.any()


def test_a_physical_size_needs_a_voxel_size():
    with pytest.raises(SettingsError, match="give the voxel size"):
        clean(Labels(np.ones((2, 3, 4), np.uint8)), [RemoveSmall(volume=3, unit="µm")])


def test_an_image_of_another_shape_is_refused():
    with pytest.raises(InputError, match="shapes differ"):
        clean(scene(), [], CleanupContext(Volume(np.zeros((1, 2, 3, 4)))))


def test_thousands_of_objects():
    array = np.kron(np.arange(1, 2001, dtype=np.uint16).reshape(10, 10, 20), np.ones((3, 3, 3), np.uint16))
    array[::3] = 0
    result = clean(Labels(array, are_objects=True), [KeepLargest(), RemoveSmall(volume=18), FillHoles()])
    np.testing.assert_array_equal(result.array, array)


STEPS = (KeepLargest(parts=2), Dilate(distance=0.5, unit="µm", structures=(1, 3)), MergeTiles(tile=(1, 2, 3)))


def test_steps_are_plain_records():
    records = steps_to_json(STEPS)
    assert records[0] == {"kind": "keep_largest", "parts": 2, "structures": []}
    assert steps_from_json(records) == STEPS


def test_steps_as_typed():
    assert parse_step("remove_small volume=10 unit=um") == RemoveSmall(volume=10, unit="µm")
    assert parse_step("fill_holes:per_slice=true") == FillHoles(per_slice=True)
    assert parse_step("keep_largest structures=1,2") == KeepLargest(structures=(1, 2))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "polish",
        "remove_small",
        "remove_small volume=-1",
        "remove_small volume=nan",
        "remove_small volume=1 unit=foot",
        "keep_largest parts=0",
        "keep_largest parts",
        "smooth radius=inf",
        "merge_tiles tile=0,1,1",
        "separate along=luck",
        "renumber from=1",
    ],
)
def test_a_wrong_step_is_one_clear_line(text):
    with pytest.raises(SettingsError) as caught:
        parse_step(text)
    assert isinstance(caught.value, UnetsegError)
    assert "\n" not in str(caught.value)
