"""Clean-up steps from anywhere: numbers that no image has are refused in one line."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.io.loadsave import load_labels, save_labels
from napari_unetseg.core.steps import parse_step, steps_from_json
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import SettingsError
from support import Command

WRONG = [
    "smooth radius=1e308",
    "smooth radius=99999999999999999999",
    "smooth radius=nan",
    "smooth radius=inf",
    "smooth radius=0",
    "smooth radius=1e-300",
    "smooth radius=-1",
    "smooth",
    "dilate distance=1e308",
    "erode distance=1e400",
    "separate depth=1e300",
    "remove_small volume=1e308",
    "remove_small volume=nan",
    "keep_largest parts=0",
    "keep_largest parts=1e30",
    "keep_largest parts=1.5",
    "merge_tiles tile=0,1,1",
    "merge_tiles tile=1,1",
    f"merge_tiles tile=1,1,{2**70}",
    "merge_tiles tile=8,8,8 contact=nan",
    "fill_holes structures=-1",
    f"fill_holes structures={2**70}",
    "fill_holes structures=0",
    "fill_holes structures=",
    "crf iterations=1e9",
    "crf appearance=inf",
    "crf contrast=1e-300",
    "prior strength=1e308",
    "prior softness=nan",
    "smooth radius=1 unit=furlong",
    "smooth radius=1 colour=red",
    "wash",
    "",
    "=",
    "smooth radius",
]


@pytest.mark.parametrize("text", WRONG)
def test_a_step_that_cannot_be_is_refused_in_one_line(command: Command, tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse_step(text)
    assert "\n" not in str(refusal.value)
    save_labels(tmp_path / "labels.tif", Labels(np.ones((2, 4, 4), np.uint8)))
    outcome = command("clean", tmp_path / "labels.tif", "--step", text, "-o", tmp_path / "out.tif")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(
    "text", ["smooth radius=1e9", "dilate distance=1e9", "erode distance=1e9", "remove_small volume=1e27"]
)
def test_the_largest_step_that_is_allowed_ends(command: Command, tmp_path: Path, text: str) -> None:
    array = np.zeros((3, 16, 16), np.uint8)
    array[1, 4:12, 4:12] = 1
    save_labels(tmp_path / "labels.tif", Labels(array))
    outcome = command("clean", tmp_path / "labels.tif", "--step", text, "-o", tmp_path / "out.tif")
    assert outcome.code == 0, outcome.err
    assert load_labels(tmp_path / "out.tif").array.mean() == (1 if text.startswith("dilate") else 0)


def test_structures_are_named_once() -> None:
    assert parse_step("fill_holes structures=2,1,2,1").structures == (2, 1)


KINDS = ["smooth", "dilate", "separate", "keep_largest", "merge_tiles", "crf", "prior", "remove_small", "x"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = [
    "radius",
    "distance",
    "depth",
    "parts",
    "tile",
    "contact",
    "volume",
    "unit",
    "structures",
    "iterations",
    "softness",
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_any_record_is_a_step_or_refused(kind: str, fields: dict[str, object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            (step,) = steps_from_json([{"kind": kind, **fields}])
        except SettingsError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either is right
        else:
            assert step.kind == kind
