"""A saved model finds on the image that it was painted on, voxel by voxel, what was shown while it was painted."""

import numpy as np
import pytest

import napari_unetseg
from napari_unetseg.api import InteractiveSession
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import load_volume
from napari_unetseg.core.io.samples import sample
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.volume import COLOUR, Volume

TRAINED = {
    "light head": None,
    "refiner": FineTuneSettings(steps=20, device="cpu"),
    "whole U-Net": FineTuneSettings(steps=4, device="cpu", whole=True),
}


@pytest.fixture
def tinted() -> tuple[Volume, np.ndarray]:
    """A micrograph in colours of its own, and paint: bright and dark parts in some squares."""
    grey = load_volume(sample("fluorescent-nuclei")).array[0, 0].astype(float)[:96, :96]
    grey *= 200 / grey.max()
    rgb = np.stack([grey, 0.5 * grey + 20, 255 - grey]).astype(np.uint8)[:, None]
    paint, rng = np.zeros((1, *grey.shape), np.uint8), np.random.default_rng(0)
    for y, x in rng.integers(0, 80, (12, 2)):
        part = (0, slice(y, y + 14), slice(x, x + 14))
        paint[part] = 1 + (grey[part[1:]] > np.quantile(grey, 0.7))
    return Volume(rgb, Grid(), COLOUR, "tinted"), paint


@pytest.mark.parametrize("settings", TRAINED.values(), ids=TRAINED)
@pytest.mark.parametrize("start", [None, "general-2d"])
def test_labels_of_a_saved_model_are_those_that_were_seen(tinted, start, settings, tmp_path):
    volume, paint = tinted
    session = InteractiveSession(volume, start, device="cpu")
    session.paint(paint)
    session.learn({1: "bright"})
    if settings is not None and session.fine_tune({1: "bright"}, settings).offered is not None:
        session.take()
    seen = session.predict(0).labels
    session.save(tmp_path / "bright.safetensors")
    found = napari_unetseg.segment(volume, tmp_path / "bright.safetensors").labels.array[0]
    assert 0.1 < seen.mean() < 0.9
    np.testing.assert_array_equal(found, seen)
