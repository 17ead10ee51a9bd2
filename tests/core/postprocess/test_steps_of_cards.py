from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_unetseg import api
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.steps import Crf, Erode, FillHoles, KeepLargest
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.inference.crf import refine


def test_a_models_own_clean_up_is_done_and_survives_its_file(tiny_model):
    image = np.zeros((8, 20, 20), np.uint8)
    image[2:6, 4:12, 4:12] = 255
    image[4, 8, 8] = 0
    image[0, 18, 18] = 255
    model = api.load_model(tiny_model)
    assert model.card.cleanup == ()
    card = model.card.model_copy(update={"cleanup": (KeepLargest(), FillHoles())})
    assert ModelCard.model_validate_json(card.model_dump_json()) == card
    plain, cleaned = (api.segment(image, one).labels.array for one in (model, replace(model, card=card)))
    assert plain.sum() == 4 * 8 * 8 - 1 + 1
    assert cleaned.sum() == 4 * 8 * 8
    assert cleaned[4, 8, 8] == 1
    assert cleaned[0, 18, 18] == 0


def test_a_crf_in_the_card_weighs_the_networks_probabilities(tiny_model):
    """The network looks at noisy voxels one by one; the crf lets them agree."""
    rng, shape = np.random.default_rng(0), (6, 24, 24)
    truth = np.zeros(shape, bool)
    truth[:, :, 12:] = True
    image = np.clip(128 + 40 * (2 * truth - 1) + rng.normal(scale=30, size=shape), 0, 255).astype(np.uint8)
    model = api.load_model(tiny_model)
    step = Crf(contrast=1.5, smoothness=30.0)
    refining = replace(model, card=model.card.model_copy(update={"cleanup": (step,)}))
    plain, refined = api.segment(image, model), api.segment(image, refining)
    assert (refined.labels.array != truth).mean() < 0.5 * (plain.labels.array != truth).mean()
    soft = api.segment(image, model, SegmentSettings(write="probabilities")).probabilities
    expected = refine(soft.array, Volume(image[None]), step).argmax(axis=0)
    np.testing.assert_array_equal(refined.labels.array, expected)
    assert refined.probabilities is None


def test_the_users_steps_stand_in_for_the_cards(tiny_model, command, tmp_path):
    image = np.zeros((4, 12, 12), np.uint8)
    image[1:3, 2:8, 2:8] = 255
    image[2, 4, 4] = 0
    image[1, 10, 10] = 255
    api.save_volume(tmp_path / "image.nii.gz", Volume(image[None], Grid((1, 1, 1), "mm")))
    loaded = api.load_model(tiny_model)
    model = replace(loaded, card=loaded.card.model_copy(update={"cleanup": (KeepLargest(),)}))
    sums = [
        api.segment(image, model, SegmentSettings(cleanup=steps)).labels.array.sum()
        for steps in (None, (), (FillHoles(per_slice=True),))
    ]
    assert sums == [71, 72, 73]
    out = tmp_path / "labels.nii.gz"
    steps = ("--step", "keep_largest", "--step", "erode distance=1 unit=mm")
    assert command("segment", tmp_path / "image.nii.gz", "-o", out, "--model", tiny_model, *steps).code == 0
    expected = api.clean((image > 0).astype(np.uint8), [KeepLargest(), Erode(distance=1)]).array
    np.testing.assert_array_equal(api.load_labels(out).array, expected)
    wrong = command("segment", tmp_path / "image.nii.gz", "-o", tmp_path / "no.tif", "--step", "polish")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
