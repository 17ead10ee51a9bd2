"""Learning beside a painter: versions, the gate between them, going back, and files."""

import numpy as np
import pytest

from napari_unetseg.core.annotations.expected_dice import StrokeCounts
from napari_unetseg.core.models.appearance import describe_image
from napari_unetseg.core.models.catalogue import read_card
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.progress import Progress, finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot.fine_tune import FineTuned
from napari_unetseg.engine.fewshot.session import MOST_NOT_FINITE, LearningSession
from napari_unetseg.engine.fewshot.slice_predictor import Slices
from napari_unetseg.engine.fewshot.versions import KEPT
from napari_unetseg.engine.inference.predict import iter_predict
from napari_unetseg.engine.networks.model_file import load_model
from napari_unetseg.engine.networks.unets.unet import UNet
from napari_unetseg.engine.training.loop import TrainProgress
from napari_unetseg.errors import InputError

NAMES = {1: "block"}


@pytest.fixture
def volume():
    """A stack (1, 2, 32, 32) whose left half is bright, with a little noise."""
    array = np.random.default_rng(0).normal(0, 3, (1, 2, 32, 32)).astype(np.float32)
    array[..., :16] += 200
    return Volume(array, name="halves")


@pytest.fixture
def painted():
    paint = np.zeros((2, 32, 32), np.uint8)
    paint[0, ::2, 2:12], paint[0, ::2, 20:30] = 2, 1
    return paint


def strokes(*shares):
    """Counts of strokes of one structure, each of 100 voxels on a slice of its own, with such a Dice."""
    full = np.tile([0.0, 100.0], (len(shares), 1))
    both = full * np.array(shares)[:, None]
    return StrokeCounts(both, full, full, np.arange(len(shares)))


def test_paint_on_one_slice_is_continued_on_the_other(volume, painted):
    session = LearningSession([volume], None, "cpu")
    verdict = finish(session.learn([painted], NAMES))
    assert verdict.accepted
    assert (verdict.version.number, verdict.version.painted) == (1, 320)
    assert verdict.version.dice[1] > 0.95
    assert 0 < verdict.version.held_out[1] < 160
    expected = verdict.version.expected[1]
    assert (expected.voxels, expected.source) == (verdict.version.held_out[1], "strokes")
    assert expected.low < expected.value
    assert session.current.card.expected_dice == verdict.version.expected
    found = session.predict(1).labels
    assert (found.dtype, found.shape) == (np.uint8, (32, 32))
    assert (found[:, 2:13] == 1).mean() > 0.95
    assert (found[:, 19:30] == 0).mean() > 0.95


@pytest.mark.parametrize(("found", "before", "accepted"), [(0.2, 0.8, False), (0.75, 0.8, True), (0.9, 0.8, True)])
def test_a_candidate_is_taken_only_if_it_is_not_worse(volume, painted, monkeypatch, found, before, accepted):
    session = LearningSession([volume], None, "cpu")
    finish(session.learn([painted], NAMES))
    scores = iter([strokes(found), strokes(found), strokes(before)])
    monkeypatch.setattr(Slices, "counts", lambda *_: next(scores))
    verdict = finish(session.learn([painted], NAMES))
    assert verdict.accepted == accepted
    assert verdict.version.number == (2 if accepted else 1)
    assert [version.number for version in session.versions] == ([1, 2] if accepted else [1])


@pytest.mark.parametrize(("dice", "accepted"), [(1.0, True), (0.1, False)])
def test_the_slower_light_head_of_fine_tuning_takes_over_only_where_it_is_better(
    volume, painted, monkeypatch, dice, accepted
):
    session = LearningSession([volume], None, "cpu")
    quick = finish(session.learn([painted], NAMES)).version
    monkeypatch.setitem(quick.dice, 1, 0.5)

    def tuned(*_):
        yield Progress(0, 1, "Fitting the light head")
        return FineTuned(session.current, 0, {1: dice}, {1: dice}, 1.0, ("Training made it worse.",))

    monkeypatch.setattr("napari_unetseg.engine.fewshot.session.iter_fine_tune", tuned)
    verdict = finish(session.fine_tune([painted], NAMES, FineTuneSettings(steps=5), 60.0)).verdict
    assert verdict.accepted == accepted
    assert verdict.version.kind == ("light head with trees" if accepted else "light head")


@pytest.mark.parametrize(
    ("found", "before", "verdict"),
    [
        ((0.9, 0.7, 0.8, 0.85), (0.8, 0.9, 0.75, 0.9), "offered"),  # lower by 0.02
        ((0.9, 0.95, 0.9, 0.95), (0.9, 0.9, 0.9, 0.95), "offered"),  # higher, but on one slice alone
        ((0.9, 0.95, 0.9, 0.95), (0.7, 0.8, 0.75, 0.7), "taken"),
        ((0.5, 0.6, 0.5, 0.6), (0.9, 0.9, 0.95, 0.9), "refused"),
        ((1.0,), (0.5,), "offered"),  # one stroke tells nothing
    ],
)
def test_what_cannot_be_told_apart_is_offered_and_not_taken(volume, painted, monkeypatch, found, before, verdict):
    session = LearningSession([volume], None, "cpu")
    first = finish(session.learn([painted], NAMES)).version

    def tuned(*_):
        yield Progress(0, 1, "Fitting the light head")
        yield from ()
        dice = {1: float(np.mean(found))}
        return FineTuned(session.current, 40, dice, dice, 1.0, counts=strokes(*found))

    monkeypatch.setattr("napari_unetseg.engine.fewshot.session.iter_fine_tune", tuned)
    monkeypatch.setattr(Slices, "counts", lambda *_: strokes(*before))
    done = finish(session.fine_tune([painted], NAMES, FineTuneSettings(steps=5), 60.0)).verdict
    assert done.accepted == (verdict == "taken")
    if verdict == "taken":
        assert (done.version.number, done.offered) == (2, None)
        with pytest.raises(InputError, match="on offer"):
            session.take()
    elif verdict == "refused":
        assert (done.version, done.offered, session.current is not None) == (first, None, True)
        assert "worse" in done.reason
    else:
        assert (done.version, done.offered.number) == (first, 2)
        assert "cannot be told apart from version 1" in done.reason
        assert session.predict_offered(1).labels.shape == (32, 32)
        assert [version.number for version in session.versions] == [1]
        assert session.take().version.number == 2
        assert [version.number for version in session.versions] == [1, 2]
        assert session.revert(1) == first


def test_a_structure_that_the_version_in_use_does_not_know_is_taken(volume, painted):
    session = LearningSession([volume], None, "cpu")
    finish(session.learn([painted], NAMES))
    painted[1, 20:30, 2:30] = 3
    done = finish(session.learn([painted], {1: "block", 2: "floor"}))
    assert done.accepted
    assert {label: found.groups > 0 for label, found in done.version.expected.items()} == {1: True, 2: True}


def test_one_can_go_back_to_an_earlier_version(volume, painted):
    session = LearningSession([volume], None, "cpu")
    finish(session.learn([painted], NAMES))
    first = session.predict(1).labels
    painted[1, 20:30, 2:30] = 3
    finish(session.learn([painted], {1: "block", 2: "floor"}))
    assert session.current.network.settings.outputs == 3
    assert session.revert(1).number == 1
    assert np.array_equal(session.predict(1).labels, first)
    with pytest.raises(InputError, match=f"the last {KEPT}"):
        session.revert(7)


def test_a_saved_model_has_the_names_of_today_and_begins_the_next_session(volume, painted, tmp_path):
    session = LearningSession([volume], None, "cpu")
    finish(session.learn([painted], NAMES))
    path = tmp_path / "left side.safetensors"
    session.save(path, {1: "left"})
    card = read_card(path)
    assert (card.name, card.structures[0].name, card.scores[0].structure) == ("left-side", "left", "left")
    assert set(describe_image(volume)) <= set(card.appearance.descriptors)
    again = LearningSession([volume], None, "cpu", kept=load_model(path))
    assert [(version.number, version.kind) for version in again.versions] == [(1, "restored")]
    assert (again.predict(1).labels == session.predict(1).labels).mean() > 0.99


def test_what_cannot_be_learned_or_saved_is_said(volume, painted, tmp_path):
    session = LearningSession([volume], None, "cpu")
    with pytest.raises(InputError, match="no model yet"):
        session.save(tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="Nothing is painted"):
        finish(session.learn([np.zeros_like(painted)], NAMES))
    large = Volume(np.broadcast_to(np.zeros((), np.uint8), (1, 1, 4096, 4096)))
    with pytest.raises(InputError, match="lower resolution"):
        LearningSession([large], None, "cpu")


def test_uncertainty_is_high_where_two_classes_are_alike(painted):
    array = np.random.default_rng(0).normal(0, 3, (1, 2, 32, 32)).astype(np.float32)
    array[..., :16] += 200
    array[..., 1, 24:, :] = 100
    session = LearningSession([Volume(array)], None, "cpu")
    finish(session.learn([painted], NAMES))
    seen = session.predict(1)
    assert (seen.uncertainty.dtype, seen.uncertainty.shape) == (np.uint8, (32, 32))
    assert seen.uncertainty[26:, 4:28].mean() > seen.uncertainty[:20, 2:12].mean() + 10
    assert seen.summary.rows.sum() == pytest.approx(seen.uncertainty.sum() / 255)


def test_one_learns_from_the_paint_of_several_images(volume, painted):
    """Background is painted on one image, the structure on another."""
    other = Volume(volume.array[..., ::-1].copy(), name="other")
    first, second = np.where(painted == 1, painted, 0), np.where(painted == 2, painted, 0)[..., ::-1].copy()
    session = LearningSession([volume, other], None, "cpu")
    verdict = finish(session.learn([first, second], NAMES))
    assert verdict.version.painted == 320
    assert (session.predict(1).labels[:, 2:13] == 1).mean() > 0.95
    assert session.current.card.training_data[0].name == "halves, other"
    with pytest.raises(InputError, match="the image's shape"):
        finish(session.learn([first, second[:1]], NAMES))


def test_images_of_another_kind_are_refused(volume, painted):
    flat = Volume(volume.array[:, :1])
    session = LearningSession([volume, flat], None, "cpu")
    with pytest.raises(InputError, match="one kind"):
        finish(session.learn([painted, painted[:1]], NAMES))


def test_minutes_become_steps_and_losses_are_told(volume, painted):
    session = LearningSession([volume], None, "cpu")
    finish(session.learn([painted], NAMES))
    losses, verdict = [], None
    while verdict is None:
        tuned = finish(session.fine_tune([painted], NAMES, FineTuneSettings(minutes=0.02), 0.2))
        losses, verdict = [*losses, *tuned.losses], tuned.verdict
    assert len(losses) > 2
    assert np.isfinite(losses).all()
    if verdict.accepted:
        assert session.origin.settings.steps >= 5
        assert session.origin.settings.minutes is None


def test_training_without_a_finite_loss_stops_and_the_best_stays_in_use(volume, painted, monkeypatch):
    session = LearningSession([volume], None, "cpu")
    finish(session.learn([painted], NAMES))
    before = session.predict(1).labels

    def endless(*_):
        while True:
            yield TrainProgress(1, 10, "Training", loss=float("nan"))

    monkeypatch.setattr("napari_unetseg.engine.fewshot.session.iter_fine_tune", endless)
    tuned = finish(session.fine_tune([painted], NAMES, FineTuneSettings(steps=500), 30))
    assert len(tuned.losses) == MOST_NOT_FINITE
    assert not tuned.verdict.accepted
    assert "not finite" in tuned.verdict.reason
    assert np.array_equal(session.predict(1).labels, before)


@pytest.mark.parametrize("depth", [1, 20])
def test_a_u_net_that_was_trained_itself_predicts_as_it_will_elsewhere_and_is_restored(depth, tmp_path, monkeypatch):
    """2D where the image is, else 3D and in blocks of slices."""
    monkeypatch.setattr(
        "napari_unetseg.engine.fewshot.fine_tune.is_no_worse", lambda *_: True
    )  # training is always kept
    array = np.random.default_rng(0).normal(0, 3, (1, depth, 32, 32)).astype(np.float32)
    array[..., :16] += 200
    volume, paint = Volume(array, name="halves"), np.zeros((depth, 32, 32), np.uint8)
    paint[0, ::2, 2:12], paint[0, ::2, 20:30] = 2, 1
    session = LearningSession([volume], None, "cpu")
    finish(session.learn([paint], NAMES))
    settings = FineTuneSettings(steps=20, whole=True)
    verdict = finish(session.fine_tune([paint], NAMES, settings, 600.0)).verdict
    verdict = verdict if verdict.accepted else session.take()
    assert (verdict.accepted, verdict.version.kind) == (True, "trained U-Net")
    assert isinstance(session.current.network, UNet)
    assert session.current.card.dimensions == (3 if depth > 1 else 2)
    everywhere = finish(iter_predict(session.current, volume, SegmentSettings("cpu"))).classes
    found = np.stack([session.predict(z).labels for z in range(depth)])
    assert (found == everywhere).mean() > 0.99
    assert (found[:, :, 2:13] == 1).mean() > 0.95
    assert (found[:, :, 19:30] == 0).mean() > 0.95
    session.save(tmp_path / "m.safetensors", {1: "left"})

    again = LearningSession([volume], None, "cpu", kept=load_model(tmp_path / "m.safetensors"))
    assert [version.kind for version in again.versions] == ["restored"]
    assert (again.predict(0).labels == found[0]).mean() > 0.99
    assert finish(again.learn([paint], NAMES)).accepted


def test_a_single_held_out_voxel_on_a_slice_is_counted(volume, painted):
    session = LearningSession([volume], None, "cpu")
    finish(session.learn([painted], NAMES))
    one = np.zeros_like(painted)
    one[0, 2, 2] = 2
    predicts = session._slices.network(session.current)
    counts = session._slices.counts(predicts, [one], [painted])
    assert counts.true.tolist() == [[0.0, 1.0]]
    assert counts.both.tolist() == [[0.0, 1.0]]
