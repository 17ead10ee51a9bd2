from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_unetseg.core.annotations.sparse_labels import hold_out
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings, model_name, starting_model, structures_of
from napari_unetseg.core.progress import Progress, finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot import fine_tune, refiner
from napari_unetseg.engine.fewshot.fine_tune import iter_fine_tune
from napari_unetseg.engine.fewshot.head_training import HeadSettings
from napari_unetseg.engine.fewshot.refiner import RefinerTuner, refiner_batches
from napari_unetseg.engine.fewshot.run import AnnotationDataset, FineTuningRun, filters_for
from napari_unetseg.engine.fewshot.validation import loss_of, steady
from napari_unetseg.engine.inference.cost import estimate_cost
from napari_unetseg.engine.inference.predict import iter_predict
from napari_unetseg.engine.networks.model_file import load_model, save_model
from napari_unetseg.engine.networks.unets.unet import UNetSettings
from napari_unetseg.engine.training.loop import Trained, TrainProgress
from napari_unetseg.engine.training.losses import boundary_weights, painted_loss
from napari_unetseg.engine.training.patches import Case
from napari_unetseg.errors import InputError, SettingsError

SHORT = FineTuneSettings(steps=3, device="cpu")


def spheres(shape=(9, 48, 48)):
    """Bright spheres on noise, and their labels."""
    z, y, x = np.indices(shape)
    labels = ((z - shape[0] // 2) ** 2 + (y % 24 - 12) ** 2 + (x % 24 - 12) ** 2 < 49).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 0.15, shape)
    return Volume((labels + noise).astype(np.float32)[None], Grid((2.0, 1.0, 1.0), "µm"), name="Spheres 1"), labels


def painted_from(labels, slices):
    painted = np.zeros_like(labels)
    painted[slices] = labels[slices] + 1
    return painted


def run_of(volumes, painted, names=None, settings=SHORT):
    """A run that begins with nothing."""
    return FineTuningRun(AnnotationDataset(volumes, painted, names or {}), None, settings)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Fewer steps than a good result takes; these images are easy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_tune, "HeadSettings", partial(HeadSettings, hidden=16, steps=60))
        patch.setattr(refiner, "REFINER", UNetSettings(2, 1, 2, widths=(4, 8), norm="batch"))
        patch.setattr("napari_unetseg.engine.training.loop.NORM_BATCHES", 2)
        yield


@pytest.fixture(scope="module")
def tuned():
    volume, labels = spheres()
    return finish(iter_fine_tune(run_of([volume], [painted_from(labels, [2, 4, 6])], {1: "bead"})))


def test_what_was_painted_is_found_in_the_other_slices_through_a_file(tuned, tmp_path):
    volume, labels = spheres()
    save_model(tmp_path / "m.safetensors", tuned.model, half=True)
    stored = load_file(tmp_path / "m.safetensors")
    assert stored["head.out.weight"].dtype == torch.float32  # float16 would lose what undoes the features' scale
    model = load_model(tmp_path / "m.safetensors")
    found = finish(iter_predict(model, volume, SegmentSettings(device="cpu"))).classes
    assert dice(found[[1, 3, 5, 7]] == 1, labels[[1, 3, 5, 7]] == 1) > 0.9


def test_the_card_says_what_and_how_good(tuned):
    card = tuned.model.card
    assert [(s.label, s.name, s.channels) for s in card.structures] == [(1, "bead", (1,))]
    assert card.name == "spheres-1"
    assert card.scores[0].value == pytest.approx(tuned.held_out_dice[1], abs=1e-4)
    assert tuned.mean_dice > 0.8
    assert tuned.held_out_dice[1] > tuned.head_dice[1] - 0.1  # less than that is left to chance


def test_the_same_seed_gives_the_same_model(tuned):
    volume, labels = spheres()
    again = finish(iter_fine_tune(run_of([volume], [painted_from(labels, [2, 4, 6])], {1: "bead"})))
    torch.testing.assert_close(again.model.network.state_dict(), tuned.model.network.state_dict(), rtol=0, atol=0)


def test_probabilities_and_mirrored_averages_are_those_of_the_slices(tuned):
    volume, _ = spheres()
    settings = SegmentSettings(device="cpu", write="probabilities", flips=True)
    found = finish(iter_predict(tuned.model, volume, settings))
    assert found.probabilities.shape == (2, 9, 48, 48)
    np.testing.assert_allclose(found.probabilities.sum(0), 1, atol=2e-3)


def test_a_light_model_refuses_a_scale(tuned):
    volume, _ = spheres()
    half = SegmentSettings(device="cpu", scale=0.5)
    with pytest.raises(SettingsError, match=r"takes images as they are: expected a scale of 1; got 0\.5"):
        finish(iter_predict(tuned.model, volume, half))
    with pytest.raises(SettingsError, match="expected a scale of 1"):
        estimate_cost(tuned.model.card, volume, half)


def test_windows_of_a_large_slice_give_what_the_whole_gives(tuned, monkeypatch):
    volume, _ = spheres((3, 200, 48))
    whole = finish(iter_predict(tuned.model, volume, SegmentSettings(device="cpu"))).classes
    monkeypatch.setattr("napari_unetseg.engine.inference.predict_slices.WINDOW", 184)
    parts = finish(iter_predict(tuned.model, volume, SegmentSettings(device="cpu"))).classes
    assert (whole == parts).mean() > 0.999


def test_training_that_does_not_help_is_not_kept(monkeypatch):
    def ruined(network, *_, **__):
        yield Progress(0, 1, "Training")
        torch.nn.init.constant_(network.head.bias, float("nan"))
        return Trained(network, 3, 0.0, 0)

    monkeypatch.setattr("napari_unetseg.engine.fewshot.validation.iter_train", ruined)
    volume, labels = spheres()
    result = finish(iter_fine_tune(run_of([volume], [painted_from(labels, [2, 4, 6])])))
    assert result.steps == 0
    assert result.model.network.refiner is None
    assert result.held_out_dice == result.head_dice
    assert "worse" in result.notes[0]


@pytest.mark.parametrize(("found", "taken", "said"), [(0.96, True, "lower by 0.04"), (0.94, False, "made it worse")])
def test_a_little_less_on_one_held_out_slice_is_left_to_chance(monkeypatch, found, taken, said):
    scores = iter([{1: 1.0}, {1: found}])
    monkeypatch.setattr(RefinerTuner, "score", lambda *_: next(scores))
    monkeypatch.setattr(refiner, "chance", lambda _: 0.05)
    volume, labels = spheres()
    result = finish(iter_fine_tune(run_of([volume], [painted_from(labels, [2, 4, 6])])))
    assert (result.steps > 0) == taken
    assert said in result.notes[0]


@pytest.mark.parametrize(("good_steps", "kept"), [(0, False), (2, True)], ids=["the validation fit", "the refit"])
def test_a_loss_that_is_not_a_number_ends_training_with_the_best_from_before(monkeypatch, good_steps, kept):
    calls = []

    def breaking(scores, labels):
        calls.append(1)
        return painted_loss(scores, labels) * (1.0 if len(calls) <= good_steps else float("nan"))

    monkeypatch.setattr("napari_unetseg.engine.fewshot.validation.loss_of", lambda _: breaking)
    monkeypatch.setattr(RefinerTuner, "score", lambda *_: {1: 1.0})
    volume, labels = spheres()
    settings = FineTuneSettings(steps=5, device="cpu")
    result = finish(iter_fine_tune(run_of([volume], [painted_from(labels, [2, 4, 6])], settings=settings)))
    assert "not a number" in result.notes[0]
    assert (result.model.network.refiner is not None) == kept
    assert result.steps == (2 if kept else 0)
    found = finish(iter_predict(result.model, volume, SegmentSettings(device="cpu"))).classes
    assert dice(found[[1, 3, 5, 7]] == 1, labels[[1, 3, 5, 7]] == 1) > 0.8


def test_training_that_breaks_down_is_stopped_before_its_end():
    def job():
        for done in range(1, 1001):
            yield TrainProgress(done, 1000, "Training", skipped=max(0, done - 100))
        return Trained(None, 1000, 0.0, 900)

    seen, watched = [], steady(job())
    assert finish(watched, seen.append) is None
    assert seen[-1].done == 200  # as many were skipped as not


def test_patches_of_the_refiner_are_bent_together_with_their_classes():
    """Where the image shows its own classes, it still does so after every change of place."""
    classes = torch.zeros(120, 120, dtype=torch.int16)
    classes[:, 40:80] = 1
    seen = torch.cat([classes[None].half(), classes[None].half()])
    batches = refiner_batches([Case(seen, classes)], 1, seed=0)
    bent = 0
    for step in range(12):
        patch, labels = batches[step]
        known = labels >= 0
        bent += not bool(known.all())
        agreement = ((patch[:, 1] > 0.5) == (labels == 1))[known].float().mean()
        assert agreement > 0.99
        assert patch.shape == (4, 2, 96, 96)
    assert bent > 0
    torch.testing.assert_close(batches[3], batches[3])


def test_no_steps_give_the_light_head_alone():
    volume, labels = spheres()
    settings = FineTuneSettings(steps=0, device="cpu")
    result = finish(iter_fine_tune(run_of([volume], [painted_from(labels, [2, 4, 6])], settings=settings)))
    assert (result.steps, result.model.network.refiner, result.notes) == (0, None, ())


def test_several_2d_images_are_learned_together():
    volume, labels = spheres((9, 48, 48))
    images = [Volume(volume.array[:, z : z + 1]) for z in (3, 4, 5)]
    paint = [labels[z : z + 1] + 1 for z in (3, 4, 5)]
    result = finish(iter_fine_tune(run_of(images, paint)))
    assert result.model.card.dimensions == 2
    found = finish(iter_predict(result.model, images[0], SegmentSettings(device="cpu"))).classes
    assert dice(found == 1, labels[3:4] == 1) > 0.8


def test_checkpoints_are_gone_at_the_end_and_left_by_a_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(RefinerTuner, "score", lambda *_: {1: 1.0})  # training is always kept
    volume, labels = spheres()
    paint = [painted_from(labels, [2, 4, 6])]
    settings = replace(SHORT, steps=8)
    whole = finish(iter_fine_tune(run_of([volume], paint, settings=settings)))
    job = iter_fine_tune(run_of([volume], paint, settings=settings), checkpoint=tmp_path / ".m")
    for progress in job:
        if progress.stage == "Training" and progress.total == 5 and progress.done == 4:  # the refit
            break
    job.close()
    left = sorted(path.name.split(".")[-1] for path in tmp_path.iterdir())
    assert left == ["validation"]
    resumed = finish(iter_fine_tune(run_of([volume], paint, settings=settings), checkpoint=tmp_path / ".m"))
    assert list(tmp_path.iterdir()) == []
    torch.testing.assert_close(resumed.model.network.state_dict(), whole.model.network.state_dict())


def test_bad_paint_is_refused_before_anything_is_computed():
    volume, labels = spheres()
    with pytest.raises(InputError, match="Nothing is painted"):
        AnnotationDataset([volume], [np.zeros_like(labels)])
    with pytest.raises(InputError, match="of one kind"):
        AnnotationDataset([volume, Volume(volume.array[:, :1])], [labels + 1, labels[:1] + 1])


def test_labels_are_held_out_once_for_head_refiner_and_u_net(monkeypatch):
    asked = []
    monkeypatch.setattr("napari_unetseg.engine.fewshot.run.hold_out", lambda p: asked.append(p) or hold_out(p))
    volume, labels = spheres((5, 24, 24))
    for settings in (SHORT, replace(SHORT, whole=True)):
        painted = painted_from(labels, [1, 2, 3])
        finish(iter_fine_tune(run_of([volume], [painted], settings=settings)))
        assert len(asked) == 1
        assert asked.pop()[0] is painted


def test_filters_follow_the_voxel_size():
    volume, _ = spheres()
    assert filters_for([volume]).depth == 2
    assert filters_for([Volume(volume.array[:, :1])]).deep == ()


def test_settings_take_minutes_or_steps():
    assert FineTuneSettings().minutes == 1
    assert FineTuneSettings(steps=5).minutes is None
    for wrong in ({"steps": 1, "minutes": 1.0}, {"steps": -1}, {"minutes": float("nan")}):
        with pytest.raises(SettingsError, match=r"minutes|steps"):
            FineTuneSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"structure_weight": 0.5}, {"structure_weight": 6.0}, {"boundary_weight": 1.1}])
def test_weights_have_a_range(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        FineTuneSettings(**wrong)


def test_weights_reach_head_and_training():
    settings = FineTuneSettings(structure_weight=3.0, boundary_weight=0.5)
    head = fine_tune.head_settings(settings)
    assert (head.structure_weight, head.boundary_weight) == (3.0, 0.5)
    scores = torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(1, 6, 6, dtype=torch.long)
    labels[..., 3:] = 1
    expected = painted_loss(scores, labels, boundary_weights(labels, 0.5), torch.tensor([1.0, 3.0]))
    assert loss_of(settings)(scores, labels) == expected
    assert loss_of(settings)(scores, labels) != loss_of(FineTuneSettings())(scores, labels)


def test_a_heavier_structure_is_found_more_often():
    """Where two classes look alike, the one with the larger weight is chosen."""
    volume = Volume(np.random.default_rng(0).random((1, 1, 48, 48)).astype(np.float32))
    painted = np.where(np.random.default_rng(1).random((1, 48, 48)) < 0.3, 2, 1)
    found = []
    for weight in (1.0, 5.0):
        settings = FineTuneSettings(steps=0, device="cpu", structure_weight=weight)
        model = finish(iter_fine_tune(run_of([volume], [painted], settings=settings))).model
        found.append(finish(iter_predict(model, volume, SegmentSettings(device="cpu"))).classes.mean())
    assert found[0] < 0.45
    assert found[1] > found[0] + 0.2


def test_several_scales_add_the_paint_at_other_sizes_and_hold_nothing_of_it_out():
    volume, labels = spheres()
    settings = FineTuneSettings(steps=1, device="cpu", several_scales=True)
    run = run_of([volume], [painted_from(labels, [2, 4, 6])], settings=settings)
    features = run.features
    assert [p.shape for p in features.painted] == [(9, 48, 48), (9, 32, 32), (9, 72, 72)]
    assert [source[2].hand.shape[1:] for source in features.sources] == [(48, 48), (32, 32), (72, 72)]
    assert [int(p.any()) for p in features.held_out] == [1, 0, 0]
    learning = run.dataset.split.learning[0]
    assert set(np.nonzero(features.painted[2].any((1, 2)))[0]) == set(np.nonzero(learning.any((1, 2)))[0])
    image, paint = features.sources[2][4].image[0].numpy(), features.painted[2][6]
    assert (image[paint == 2] > 0.5).mean() > 0.95  # image and paint lie on each other
    result = finish(iter_fine_tune(run))
    assert result.held_out_dice[1] > 0.8


def test_names_for_cards():
    assert model_name("My Stack_01.ome") == "my-stack-01.ome"
    assert model_name("…") == "painted"
    assert [s.name for s in structures_of(2, {2: "lumen"})] == ["structure 1", "lumen"]
    assert starting_model([]) is None
