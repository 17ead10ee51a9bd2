"""Which models to begin with have structures that learning can keep."""

import pytest

from napari_unetseg.core.models.catalogue import BUNDLED, list_models, read_card
from napari_unetseg.core.models.fine_tuned_card import why_nothing_is_kept

KEPT = {card.name for card in list_models() if why_nothing_is_kept(card) is None}


def test_structures_that_are_single_outputs_of_a_u_net_can_be_kept():
    assert {"axon-myelin-2d", "hippocampus-3d"} <= KEPT
    assert not {"general-2d", "general-3d", "nuclei-2d", "nuclei-3d"} & KEPT


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        (None, {}, "nothing to keep"),
        ("general-2d", {}, "finds no structures"),
        ("nuclei-2d", {}, "separate objects"),
        ("axon-myelin-2d", {"architecture": {"kind": "light"}}, "made by painting"),
    ],
)
def test_the_reason_is_one_line(name, changes, reason):
    start = read_card(BUNDLED / f"{name}.safetensors").model_copy(update=changes) if name else None
    said = why_nothing_is_kept(start)
    assert reason in said
    assert "\n" not in said


def test_training_refuses_what_the_rule_refuses():
    """The rule reads cards only; training looks at the network."""
    from napari_unetseg.engine.fewshot.unet import _teacher
    from napari_unetseg.engine.networks.model_file import load_model
    from napari_unetseg.errors import ModelError

    taught = set()
    for card in list_models():
        try:
            _teacher(load_model(card.name))
        except ModelError:
            continue
        taught.add(card.name)
    assert taught == KEPT
