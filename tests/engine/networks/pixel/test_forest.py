"""A forest agrees with scikit-learn's, survives a file, and has its share beside a head."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from napari_unetseg.engine.networks.pixel import forest as module
from napari_unetseg.engine.networks.pixel.forest import DEPTH, Forest, ForestSettings, grow_forest
from napari_unetseg.engine.networks.pixel.head import Head, with_forest


@pytest.fixture(scope="module")
def voxels():
    """Features (3000, 5) and classes of which two features tell most."""
    features = torch.randn(3000, 5, generator=torch.Generator().manual_seed(0))
    return features, (features[:, 1] * features[:, 3] > 0).long() + (features[:, 0] > 1).long()


@pytest.fixture(scope="module")
def forest(voxels):
    features, classes = voxels
    return grow_forest(features, classes, torch.ones(3000), ForestSettings(6, 3, seed=1))


def test_it_says_what_scikit_learn_says(voxels, forest, monkeypatch):
    features, classes = voxels
    oracle = RandomForestClassifier(6, max_depth=DEPTH, max_samples=2000, random_state=1)
    oracle.fit(features.numpy(), classes.numpy(), sample_weight=np.ones(3000))
    other = torch.randn(500, 5, generator=torch.Generator().manual_seed(2))
    expected = torch.from_numpy(oracle.predict_proba(other.numpy())).float()
    torch.testing.assert_close(forest(other), expected, atol=1e-6, rtol=0)
    monkeypatch.setattr(module, "CHUNK", 64)
    torch.testing.assert_close(forest(other), expected, atol=1e-6, rtol=0)


def test_it_learns_and_is_the_same_again(voxels, forest):
    features, classes = voxels
    assert (forest(features).argmax(1) == classes).float().mean() > 0.9
    again = grow_forest(features, classes, torch.ones(3000), ForestSettings(6, 3, seed=1))
    torch.testing.assert_close(again.state_dict(), forest.state_dict(), rtol=0, atol=0)


def test_a_class_that_was_not_painted_has_no_probability():
    features = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    grown = grow_forest(features, 2 * (features[:, 0] > 0).long(), torch.ones(60), ForestSettings(3, 4))
    found = grown(features)
    assert found.shape == (60, 4)
    assert not found[:, [1, 3]].any()
    torch.testing.assert_close(found.sum(1), torch.ones(60))


def test_weights_count():
    """Where two classes cannot be told apart, the heavier one has its share of the weight."""
    classes = torch.tensor([0, 1]).repeat(2000)
    weights = torch.where(classes == 1, 3.0, 1.0)
    grown = grow_forest(torch.zeros(4000, 1), classes, weights, ForestSettings(20, 2))
    torch.testing.assert_close(grown(torch.zeros(1, 1)), torch.tensor([[0.25, 0.75]]), atol=0.02, rtol=0)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
@torch.no_grad()
def test_its_share_of_the_answer(voxels, forest, share):
    head = Head((5, 2), 4, 3)
    seen = torch.cat([voxels[0][:50], torch.randn(50, 2, generator=torch.Generator().manual_seed(3))], dim=1)
    mixed = with_forest(head, forest, share)(seen).softmax(1)
    expected = (1 - share) * head(seen).softmax(1) + share * forest(voxels[0][:50])
    torch.testing.assert_close(mixed, expected, atol=3e-4, rtol=0)
    assert head.forest is None


def test_it_is_kept_as_plain_arrays(forest):
    empty = Forest(6, 3)
    assert set(empty.state_dict()) == {"feature", "threshold", "leaves", "share"}
    empty.load_state_dict(forest.state_dict())
    probe = torch.zeros(1, 5)
    torch.testing.assert_close(empty(probe), forest(probe), rtol=0, atol=0)
