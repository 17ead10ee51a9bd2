from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_unetseg import api
from napari_unetseg.core.card import ModelCard
from napari_unetseg.core.cleanup import FillHoles, KeepLargest


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
