from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unetseg.core.models.card import Normalisation
from napari_unetseg.core.models.normalisation import normaliser
from napari_unetseg.core.progress import finish
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot.fit_head import (
    _chosen,
    _Trial,
    iter_fit_head,
    painted_slices,
    thinned,
)
from napari_unetseg.engine.fewshot.head_training import HeadSettings, fit_head, fresh_head
from napari_unetseg.engine.fewshot.validation import class_dice, mean_dice
from napari_unetseg.engine.networks.network import settings_from_json
from napari_unetseg.engine.networks.pixel.classifier import (
    PixelClassifier,
    PixelClassifierSettings,
    Refiner,
    refined_answer,
)
from napari_unetseg.engine.networks.pixel.features import Extractor, FeatureSource, MagnifiedSource
from napari_unetseg.engine.networks.pixel.filters import FilterSettings
from napari_unetseg.engine.networks.pixel.forest import ForestSettings, grow_forest
from napari_unetseg.engine.networks.pixel.head import Head, with_forest
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
from napari_unetseg.errors import SettingsError

FILTERS = FilterSettings(flat=(1.0, 2.0), deep=(1.0,))
SMALL = UNetSettings(2, 1, 2, widths=(4, 8, 8), norm="batch")
CPU = torch.device("cpu")


def source(shape=(5, 21, 26), room=10**9):
    torch.manual_seed(0)
    volume = Volume(np.random.default_rng(0).random((1, *shape)).astype(np.float32))
    return FeatureSource(volume, normaliser(volume, Normalisation()), Extractor(FILTERS, UNet(SMALL)), CPU, room)


def head_for(extractor, outputs=3):
    generator = torch.Generator().manual_seed(0)
    head = Head(extractor.widths, 8, outputs)
    for parameter in head.parameters():
        parameter.data.normal_(0, 0.1, generator=generator)
    return head


@torch.no_grad()
def test_a_head_gives_the_same_for_a_slice_as_for_its_single_pixels():
    """Mapping a coarse level and interpolating the result is interpolating and mapping."""
    features = source()[2]
    head = head_for(source().extractor)
    y, x = (a.ravel() for a in np.mgrid[:21, :26])
    points = features.at(torch.from_numpy(y), torch.from_numpy(x))
    whole = head.maps(features)[1].flatten(1).T
    torch.testing.assert_close(head(points), whole, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_a_head_with_a_forest_gives_the_same_for_a_slice_as_for_its_single_pixels():
    features, head = source()[2], head_for(source().extractor)
    y, x = (torch.from_numpy(a.ravel()) for a in np.mgrid[:21, :26])
    points = features.at(y, x)
    hand, bright = points[:, : features.hand.shape[0]], (features.image[0, y, x] > 0.5).long()
    mixed = with_forest(head, grow_forest(hand, bright, torch.ones(len(y)), ForestSettings(4, 3)), 0.5)
    hidden, scores = mixed.maps(features)
    torch.testing.assert_close(mixed(points), scores.flatten(1).T, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(hidden, head.maps(features)[0])
    network = PixelClassifier(source().extractor, mixed)
    again = PixelClassifier.from_settings(settings_from_json(PixelClassifierSettings, network.settings.to_json()))
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(features), scores)


def test_held_out_paint_chooses_a_forest_where_that_is_better():
    """A head without hidden units to speak of cannot tell rings from what lies inside; trees can."""
    found = source((3, 40, 40))
    z = np.indices((3, 40, 40))[0]
    painted = np.where(np.abs(found.volume.array[0] - 0.5) < 0.2, 2, 1).astype(np.uint8)
    held = np.where(z == 1, painted, 0).astype(np.uint8)
    settings = HeadSettings(hidden=1, steps=20, trees=10)
    fitted = finish(iter_fit_head([found], [painted], [held], settings))
    assert float(fitted.validation.forest.share) == float(fitted.head.forest.share) > 0
    assert fitted.mean_dice > 0.95
    plain = finish(iter_fit_head([found], [painted], [held], replace(settings, trees=0)))
    assert plain.head.forest is None
    assert plain.mean_dice < fitted.mean_dice - 0.1


def test_the_head_that_is_mostly_better_is_taken_unless_another_is_clearly_better():
    mostly, other = (_Trial(head_for(source().extractor), (1,), {1: dice}) for dice in (0.80, 0.84))
    assert _chosen([mostly, other]) is mostly
    assert _chosen([replace(mostly, dice={}), replace(other, dice={})]).dice == {}
    clearly = replace(other, dice={1: 0.86})
    assert _chosen([mostly, other, clearly]) is clearly


@pytest.mark.parametrize(("step", "share"), [(1, 0.5), (3, 1.0)], ids=["whole slices", "scribbles"])
def test_from_scribbles_a_forest_alone_is_taken(step, share, monkeypatch):
    monkeypatch.setattr("napari_unetseg.engine.fewshot.fit_head.MARGIN", 2.0)  # held-out paint has no say
    found = source((3, 42, 42))
    painted = np.zeros((3, 42, 42), np.uint8)
    painted[:, ::step, ::step] = 1 + (found.volume.array[0] > 0.5)[:, ::step, ::step]
    settings = HeadSettings(hidden=4, steps=5, trees=4)
    fitted = finish(iter_fit_head([found], [painted], [np.zeros_like(painted)], settings))
    assert float(fitted.head.forest.share) == share


def test_features_of_a_slice_are_its_own_and_are_kept():
    found = source()
    first = found[1]
    assert found[1] is first
    torch.testing.assert_close(source()[1].hand, first.hand)
    assert first.image.shape == (1, 21, 26)
    assert [len(level) for level in first.levels] == [4, 8, 8]
    assert first.strides == ((1, 1), (2, 2), (4, 4))


def test_a_head_may_look_at_the_finest_levels_alone():
    found = source()
    features, extractor = found[1], found.extractor
    torch.manual_seed(0)
    head = Head(extractor.widths[:2], 6, 3)
    assert extractor.widths[1] == len(features.levels[0])
    network = PixelClassifier(extractor, head).eval()
    y, x = (place.flatten() for place in torch.meshgrid(torch.arange(21), torch.arange(26), indexing="ij"))
    single = head(features.at(y, x)[:, : sum(extractor.widths[:2])])
    torch.testing.assert_close(network(features).flatten(1).T, single)
    again = PixelClassifier.from_settings(settings_from_json(PixelClassifierSettings, network.settings.to_json()))
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(features), network(features))


def test_held_out_paint_decides_how_deep_a_head_looks():
    """The coarsest level tells the classes apart here, and nothing else does."""
    found = source((3, 64, 64))
    coarse = found[0].levels[-1]
    channel = int(coarse.std((1, 2)).argmax())
    painted = np.stack([np.kron(f.levels[-1][channel] > coarse[channel].median(), np.ones((4, 4))) for f in found]) + 1
    held = np.where(np.indices(painted.shape)[0] == 1, painted, 0).astype(np.uint8)
    fitted = finish(iter_fit_head([found], [painted.astype(np.uint8)], [held], HeadSettings(steps=60)))
    assert len(fitted.head.levels) == len(fitted.validation.levels) == 3
    assert fitted.mean_dice > 0.6  # levels are interpolated linearly, the paint is not


def test_features_are_dropped_where_there_is_no_room():
    found = source(room=0)
    first = found[1]
    found[2]
    assert found[1] is not first


def test_a_head_learns_what_one_feature_tells_whatever_its_scale():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3000, 4, generator=generator) * torch.tensor([1e-3, 1.0, 1e3, 1.0])
    classes = (features[:, 0] > 0.5e-3).long()
    settings = HeadSettings(steps=150)
    head = fit_head(features, classes, settings, fresh_head((4,), features, settings, 2))
    assert (head(features).argmax(1) == classes).float().mean() > 0.95
    again = fit_head(features, classes, settings, fresh_head((4,), features, settings, 2))
    torch.testing.assert_close(head(features), again(features), rtol=0, atol=0)


def test_a_head_that_is_fitted_on_starts_from_what_it_knew():
    features = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    classes = (features[:, 0] > 0).long()
    first = fit_head(features, classes, HeadSettings(steps=100), fresh_head((4,), features, HeadSettings(), 2))
    second = fit_head(features + 1, classes, HeadSettings(steps=1, learning_rate=1e-12, weight_decay=0.0), first)
    torch.testing.assert_close(first(features), second(features), atol=1e-3, rtol=1e-3)


def test_painted_slices_are_those_with_paint():
    painted = np.zeros((6, 4, 5), np.uint8)
    painted[1, 2, 3], painted[4, :, :2] = 2, 1
    first, second = painted_slices([np.zeros((2, 4, 5), np.uint8), painted])
    assert (first.image, first.z, first.y.tolist(), first.x.tolist(), first.classes.tolist()) == (1, 1, [2], [3], [1])
    assert (second.z, second.classes.tolist()) == (4, [0] * 8)


def test_few_slices_are_chosen_so_that_every_class_is_there():
    painted = np.zeros((50, 4, 5), np.uint8)
    painted[:40] = 1
    painted[45, 0, 0] = 2
    chosen = painted_slices([painted], most=5)
    assert len(chosen) == 5
    assert 45 in [s.z for s in chosen]


def test_thinning_keeps_rare_classes():
    painted = np.ones((1, 200, 200), np.uint8)
    painted[0, 0, :50] = 2
    kept = thinned(painted_slices([painted]), seed=0, most=4000)
    counts = torch.bincount(torch.cat([s.classes for s in kept]))
    assert counts[1] == 50
    assert 3500 < counts[0] < 4500
    (part,) = kept
    assert float(part.stands_for[part.classes == 1].sum()) == 50
    assert float(part.stands_for[part.classes == 0].sum()) == pytest.approx(39950, rel=0.1)


def test_thinned_voxels_give_the_dice_of_all():
    """A rare class keeps all of its voxels: counted as they come, false alarms in the others would hardly show."""
    painted = np.ones((1, 200, 200), np.uint8)
    painted[0, 0, :50] = 2
    (part,) = thinned(painted_slices([painted]), seed=0, most=4000)
    predicted = ((part.x < 100) & (part.y < 10)).long()  # the class, and 950 pixels besides
    assert class_dice(predicted, part.classes, part.stands_for)[1] == pytest.approx(2 * 50 / (50 + 1000), rel=0.15)
    assert class_dice(predicted, part.classes)[1] > 0.4


def test_dice_by_class():
    dice = class_dice(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2]))
    assert dice == {1: pytest.approx(2 / 3), 2: pytest.approx(2 / 3)}
    assert mean_dice(dice) == pytest.approx(2 / 3)
    assert class_dice(torch.tensor([1, 1]), torch.tensor([0, 0])) == {}
    assert mean_dice({}) == 0


@torch.no_grad()
def test_a_fresh_refiner_adds_nothing():
    refiner = Refiner.fresh(UNetSettings(2, 1 + 8, 3, widths=(4, 8, 8), norm="batch")).eval()
    seen = torch.randn(1, 1 + 8 + 3, 21, 26, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(refiner(seen), seen[:, -3:])


@torch.no_grad()
def test_head_and_refiner_have_half_of_the_say_each():
    refiner = Refiner.fresh(replace(SMALL, inputs=3, outputs=2))
    refiner.head.bias.copy_(torch.tensor([0.0, 2.0]))  # it only adds to the second class
    seen = torch.randn(1, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    own, refined = seen[:, 3:].softmax(1), (seen[:, 3:] + torch.tensor([0.0, 2.0])[:, None, None]).softmax(1)
    torch.testing.assert_close(refined_answer(refiner, seen).softmax(1), (own + refined) / 2)


def test_settings_survive_a_card():
    settings = PixelClassifierSettings(FILTERS, SMALL, 8, 3, None)
    assert settings_from_json(PixelClassifierSettings, settings.to_json()) == settings
    assert PixelClassifier.from_settings(settings).settings.dimensions == 3
    with pytest.raises(SettingsError, match="filters"):
        settings_from_json(PixelClassifierSettings, {"kind": "light"})


def test_features_of_single_pixels_are_kept_where_there_is_no_room_for_whole_slices(monkeypatch):
    pixels = source(room=0)
    y, x = torch.randint(21, (300,)), torch.randint(26, (300,))
    expected = {z: pixels[z].at(y, x) for z in range(3)}
    computed = []
    monkeypatch.setattr(pixels, "_computed", lambda z: computed.append(z) or source()[z])
    for z in (0, 1, 2, 0, 1, 2):
        assert torch.equal(pixels.at(z, y, x), expected[z])
    assert computed == [0, 1, 2]
    some = torch.tensor([17, 5, 5, 250])
    assert torch.equal(pixels.at(1, y[some], x[some]), expected[1][some])
    assert pixels.at(1, y[:0], x[:0]).shape == (0, expected[1].shape[1])
    assert computed == [0, 1, 2]
    free = next(p for p in range(21 * 26) if p not in set((y * 26 + x).tolist()))
    assert pixels.at(1, torch.tensor([free // 26]), torch.tensor([free % 26])).shape == (1, expected[1].shape[1])
    assert computed == [0, 1, 2, 1]
    monkeypatch.setattr("napari_unetseg.engine.networks.pixel.features.GATHERED_BYTES", expected[0].nbytes)
    pixels.at(0, y, x)
    pixels.at(2, torch.tensor([0]), torch.tensor([0]))
    pixels.at(0, y, x)
    assert computed == [0, 1, 2, 1, 2, 0]


def test_features_of_single_pixels_of_a_magnified_slice_are_their_own():
    """A pixel beyond the volume's own width is not taken for the first one of the next row."""
    larger = MagnifiedSource(source(), 2.0)
    y, x = torch.tensor([0, 3]), torch.tensor([40, 30])
    assert torch.equal(larger.at(1, y, x), larger[1].at(y, x))
    y, x = torch.tensor([1, 4]), torch.tensor([40 - 26, 30 - 26])
    assert torch.equal(larger.at(1, y, x), larger[1].at(y, x))
