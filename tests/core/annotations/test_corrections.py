"""Corrections as paint, and results that keep them."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unetseg.core.annotations.corrections import (
    corrections,
    keep_corrections,
    keep_in_probabilities,
    kept_in_slice,
    parse_right,
)
from napari_unetseg.core.annotations.next_slice import SliceUncertainty
from napari_unetseg.core.annotations.versions import SlicePrediction
from napari_unetseg.core.io.loadsave import load_labels, save_labels
from napari_unetseg.core.volume import Labels, MadeBy, Structure, Volume
from napari_unetseg.errors import InputError, SettingsError

AXON = Structure(label=1, name="axon", colour="#e69f00")
MYELIN = Structure(label=2, name="myelin", colour="#56b4e9")
MAKER = MadeBy(name="axons", sha256="ab" * 32)


def labels(array, **more):
    return Labels(np.array(array, np.uint8), structures=(AXON, MYELIN), made_by=MAKER, **more)


RESULT = labels([[[0, 1, 2], [0, 0, 0]], [[1, 1, 1], [2, 2, 0]]])
CORRECTED = labels([[[0, 2, 2], [0, 0, 1]], [[1, 1, 1], [2, 0, 0]]])


def test_what_differs_becomes_paint_one_higher():
    painted = corrections(RESULT, CORRECTED)
    assert painted.array.tolist() == [[[0, 3, 0], [0, 0, 2]], [[0, 0, 0], [0, 1, 0]]]
    assert [(s.label, s.name) for s in painted.structures] == [(1, "background"), (2, "axon"), (3, "myelin")]
    assert painted.made_by is None  # it is paint, no result


def test_slices_that_are_right_and_earlier_corrections_are_paint_too():
    earlier = Labels(np.array([[[0, 1, 0], [0, 0, 0]], [[2, 0, 0], [0, 0, 1]]], np.uint8))
    painted = corrections(RESULT, CORRECTED, {"x": [2]}, earlier)
    assert painted.array.tolist() == [[[0, 3, 3], [0, 0, 2]], [[2, 0, 2], [0, 1, 1]]]


def test_objects_are_corrected_as_objects_and_background():
    result = Labels(np.array([[[0, 7, 7, 0]]], np.uint16), structures=(AXON,), are_objects=True)
    corrected = replace(result, array=np.array([[[9, 7, 8, 0]]], np.uint16))
    assert corrections(result, corrected, {"x": [1, 3]}).array.tolist() == [[[2, 2, 0, 1]]]


def test_the_persons_voxel_wins():
    kept = keep_corrections(RESULT, corrections(RESULT, CORRECTED))
    assert np.array_equal(kept.array, CORRECTED.array)
    assert kept.made_by == MAKER.model_copy(update={"corrected": 3})
    assert kept.array.dtype == np.uint8
    with pytest.raises(InputError, match="corrections of shape"):
        keep_corrections(RESULT, Labels(np.zeros((1, 1, 1), np.uint8)))


def test_a_structure_that_the_result_does_not_know_is_named_after_the_paint():
    core = Structure(label=3, name="core", colour="#000000")
    corrected = replace(CORRECTED, array=np.where(CORRECTED.array == 1, 3, CORRECTED.array), structures=(core,))
    painted = corrections(RESULT, corrected)
    assert [s.name for s in painted.structures] == ["background", "axon", "myelin", "core"]
    assert [s.name for s in keep_corrections(RESULT, painted).structures] == ["axon", "myelin", "core"]
    unnamed = corrections(RESULT, replace(corrected, structures=()))
    assert unnamed.structures[-1].name == "structure 3"


def test_objects_grow_by_what_was_painted_and_new_ones_get_new_numbers():
    result = Labels(np.array([[[5, 5, 0, 0, 0, 0, 0, 3]]], np.uint8), structures=(AXON,), are_objects=True)
    painted = Labels(np.array([[[1, 0, 2, 0, 0, 2, 0, 0]]], np.uint8))
    assert keep_corrections(result, painted).array.tolist() == [[[0, 5, 5, 0, 0, 6, 0, 3]]]
    nothing = Labels(np.zeros((1, 1, 8), np.uint8))
    assert keep_corrections(result, nothing).array.tolist() == result.array.tolist()


def test_probabilities_are_certain_of_what_was_painted():
    soft = Volume(np.full((2, 1, 1, 3), 0.5, np.float16), channels=("background", "axon"))
    kept = keep_in_probabilities(soft, np.array([[[0, 1, 2]]], np.uint8))
    assert kept.array[:, 0, 0].tolist() == [[0.5, 1.0, 0.0], [0.5, 0.0, 1.0]]
    assert (soft.array == 0.5).all()


def test_a_predicted_slice_keeps_the_paint_and_is_sure_of_it():
    found, unsure = np.array([[1, 0]], np.uint8), np.array([[200, 100]], np.uint8)
    slice_ = SlicePrediction(found, unsure, SliceUncertainty.of(found, unsure))
    kept = kept_in_slice(slice_, np.array([[3, 0]], np.uint8))
    assert (kept.labels.tolist(), kept.uncertainty.tolist()) == ([[2, 0]], [[0, 100]])
    assert kept_in_slice(slice_, np.zeros((1, 2), np.uint8)) is slice_


def test_slices_that_are_right_are_read_from_text():
    assert parse_right(["z=12, 40", "x=0", "z=3"]) == [{"z": [12, 40, 3], "x": [0]}]
    assert parse_right(["2:y=1"], 2) == [{}, {"y": [1]}]
    assert parse_right([], 2) == [{}, {}]
    for text in ("z=", "z=-1", "t=1", "z=1.5", "0:z=1", ""):
        with pytest.raises(SettingsError, match="Expected"):
            parse_right([text])


def test_what_is_corrected_by_nobody_is_refused():
    with pytest.raises(InputError, match="nothing to learn"):
        corrections(RESULT, RESULT)
    with pytest.raises(SettingsError, match="along z, y or x"):
        corrections(RESULT, CORRECTED, {"t": [0]})


@pytest.mark.parametrize("name", ["r.ome.tif", "r.nii.gz", "r.ome.zarr", "r.nrrd"])
def test_every_format_says_what_made_a_result(name, tmp_path):
    save_labels(tmp_path / name, RESULT)
    found = load_labels(tmp_path / name)
    assert (found.made_by, found.structures) == (MAKER, (AXON, MYELIN))
    assert np.array_equal(found.array, RESULT.array)
