"""What a bundled model's training begins with."""

import torch
from training.make_models import NAMES, begun, recipe_named

from napari_unetseg.engine.networks.model_file import load_model


def test_training_begins_with_the_trunk_of_the_model_it_names():
    recipe = recipe_named("chloroplast-2d")
    network, start = begun(recipe), load_model(recipe.start).network
    assert network.settings == recipe.network
    own, others = network.state_dict(), start.state_dict()
    trunk = [name for name in own if not name.startswith("head.")]
    assert len(trunk) == len(others) - 2
    assert all(torch.equal(own[name], others[name]) for name in trunk)
    assert own["head.weight"].shape[0] == 2 != others["head.weight"].shape[0]


def test_a_model_is_made_after_the_one_it_starts_from():
    starts = {name: recipe_named(name).start for name in NAMES}
    assert starts["axon-myelin-2d"] is None
    assert all(NAMES.index(start) < NAMES.index(name) for name, start in starts.items() if start)
