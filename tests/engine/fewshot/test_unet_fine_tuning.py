"""Fine-tuning of a whole U-Net: what it begins with, what it sees, what comes out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.models.card import ModelCard, VoxelSize
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings, structures_of
from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.fewshot import fine_tune, unet
from napari_unetseg.engine.fewshot.fine_tune import iter_fine_tune
from napari_unetseg.engine.fewshot.head_training import HeadSettings
from napari_unetseg.engine.fewshot.run import AnnotationDataset, FineTuningRun, network_input
from napari_unetseg.engine.fewshot.unet import UNetFineTuner, augmentation_for, from_nothing, trains_whole
from napari_unetseg.engine.fewshot.unet_patches import NetworkFrame, annotated_cases, scored_windows
from napari_unetseg.engine.fewshot.validation import Schedule, known_classes
from napari_unetseg.engine.inference.predict import iter_predict
from napari_unetseg.engine.networks.model_file import Model, load_model, save_model
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
from napari_unetseg.errors import ModelError

CPU = SegmentSettings(device="cpu")


@pytest.fixture(autouse=True, scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_tune, "head_settings", lambda _: HeadSettings(hidden=4, steps=10))
        patch.setattr(unet, "WIDTHS", (8, 16))
        patch.setattr(unet, "PATCHES", {2: (16, 32), 3: (4, 16, 32)})
        patch.setattr("napari_unetseg.engine.fewshot.validation.LEARNING_RATE", 1e-2)
        patch.setattr("napari_unetseg.engine.training.loop.NORM_BATCHES", 2)
        yield


def bars(shape=(8, 16, 32)):
    """A bright and a middling bar on the dark, in noise; output labels 1 and 2."""
    labels = np.zeros(shape, np.uint8)
    labels[..., 4:12], labels[..., 18:26] = 1, 2
    noise = np.random.default_rng(0).normal(0, 4, shape)
    return Volume((60.0 * labels + noise).astype(np.float32)[None], Grid((1.0, 1.0, 1.0), "mm")), labels


def painted_from(labels, slices):
    painted = np.zeros_like(labels)
    painted[slices] = labels[slices] + 1
    return painted


def run_of(volume, painted, pretrained, settings, names=None):
    return FineTuningRun(AnnotationDataset([volume], [painted], names or {}), pretrained, settings)


def task_model(dimensions, outputs=3):
    torch.manual_seed(0)
    network = UNet(UNetSettings(dimensions, 1, outputs, widths=(8, 16), norm="batch")).eval()
    card = ModelCard(
        name="task", title="", description="", version="1", dimensions=dimensions,
        architecture=network.settings.to_json(), structures=structures_of(outputs - 1, {1: "one", 2: "two"}),
        patch=(8, 32, 32), halo=(4, 8, 8),
    )  # fmt: skip
    return Model(network, card)


def general_start(dimensions):
    """A start to learn from: its outputs have no names."""
    model = task_model(dimensions, 5)
    return replace(model, card=model.card.model_copy(update={"structures": ()}))


STARTS = {
    "nothing": None,
    "2D": task_model(2),
    "3D": task_model(3),
    "general-2d": general_start(2),
    "general-3d": general_start(3),
}


@pytest.mark.parametrize(
    "start",
    [pytest.param(s, id=name, marks=[pytest.mark.long] * name.startswith("general")) for name, s in STARTS.items()],
)
def test_an_ordinary_u_net_comes_out_and_finds_what_was_painted(start, tmp_path, monkeypatch):
    monkeypatch.setattr(fine_tune, "is_no_worse", lambda *_: True)  # training is always kept
    volume, labels = bars()
    settings = FineTuneSettings(steps=200, device="cpu", whole=True)
    result = finish(iter_fine_tune(run_of(volume, painted_from(labels, [1, 3, 5]), start, settings, {2: "bar"})))
    save_model(tmp_path / "m.safetensors", result.model)
    model = load_model(tmp_path / "m.safetensors")
    assert isinstance(model.network, UNet)
    for name, tensor in result.model.network.state_dict().items():  # what is kept is what was judged
        torch.testing.assert_close(model.network.state_dict()[name], tensor, rtol=0, atol=0)
    assert model.card.dimensions == (2 if start is not None and start.card.dimensions == 2 else 3)
    assert [s.name for s in model.card.structures] == ["structure 1", "bar"]
    assert result.steps == 200
    found = finish(iter_predict(model, volume, CPU)).classes
    assert (found[[0, 2, 4]] == labels[[0, 2, 4]]).mean() > 0.75  # half of it is background
    assert set(result.held_out_dice) == {1, 2}


def test_a_3d_start_is_trained_itself_and_replaced_by_the_light_head_where_that_is_better(monkeypatch):
    volume, labels = bars()
    monkeypatch.setattr(UNetFineTuner, "score", lambda *_: {1: 0.1, 2: 0.1})
    settings = FineTuneSettings(steps=2, device="cpu")
    result = finish(iter_fine_tune(run_of(volume, painted_from(labels, [1, 3, 5]), task_model(3), settings)))
    assert (result.steps, result.model.card.architecture["kind"]) == (0, "light")
    assert "worse" in result.notes[0]


def test_kept_structures_are_still_found_and_new_ones_are_added(monkeypatch):
    """The teacher knows bar 2; bar 1 and background are painted, and bar 3 is new."""
    monkeypatch.setattr(fine_tune, "is_no_worse", lambda *_: True)
    volume, labels = bars()
    settings = FineTuneSettings(steps=200, device="cpu", whole=True)
    teacher = finish(iter_fine_tune(run_of(volume, painted_from(labels, [1, 3, 5]), None, settings))).model
    painted = painted_from(labels, [1, 3, 5])
    painted[labels == 2] = 0
    found = {}
    for keep in (True, False):
        again = replace(settings, steps=20, keep_structures=keep)
        model = finish(iter_fine_tune(run_of(volume, painted, teacher, again))).model
        found[keep] = (finish(iter_predict(model, volume, CPU)).classes[labels == 2] == 2).mean()
    assert found[True] > found[False] + 0.5
    assert found[False] < 0.1


def test_the_start_is_left_as_it_was_where_training_ruins_it(monkeypatch):
    volume, labels = bars()
    monkeypatch.setattr(UNetFineTuner, "score", lambda self, network: {1: 0.9 if network is self.network else 0.2})
    settings = FineTuneSettings(steps=2, device="cpu", keep_structures=True)
    start = task_model(3)
    result = finish(iter_fine_tune(run_of(volume, painted_from(labels, [1, 3, 5]), start, settings)))
    assert result.model is start
    assert "worse" in result.notes[0]


def test_a_new_output_joins_those_that_are_kept():
    volume, labels = bars()
    painted = np.where(labels[:, :8] == 2, 4, 0).astype(np.uint8)
    painted = np.pad(painted, ((0, 0), (0, 8), (0, 0)))
    painted[0, 0] = 1
    start, settings = task_model(3), FineTuneSettings(steps=1, device="cpu", keep_structures=True)
    run = run_of(volume, painted, start, settings)
    tuner = UNetFineTuner(run, Schedule.of(run))
    assert tuner.network.settings.outputs == 4
    torch.testing.assert_close(tuner.network.head.weight[:3], start.network.head.weight)
    assert not tuner.network.head.weight[3].any()
    card = tuner.model("refit", tuner.network, {1: 0.5, 3: 0.25}).card
    assert [s.name for s in card.structures] == ["one", "two", "structure 3"]
    assert [(s.structure, s.value) for s in card.scores] == [("one", 0.5), ("structure 3", 0.25)]


def test_objects_cannot_be_kept_by_a_teacher():
    volume, labels = bars()
    start = task_model(3)
    cores = start.card.structures[0].model_copy(update={"channels": (1, 2), "seed_channel": 1})
    start = replace(start, card=start.card.model_copy(update={"structures": (cores,)}))
    settings = FineTuneSettings(steps=1, device="cpu", keep_structures=True)
    for model in (start, None):
        with pytest.raises(ModelError, match=r"nothing to keep|cannot be kept"):
            finish(iter_fine_tune(run_of(volume, painted_from(labels, [1, 3, 5]), model, settings)))


def test_killed_training_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(fine_tune, "is_no_worse", lambda *_: True)
    volume, labels = bars()
    settings = FineTuneSettings(steps=8, device="cpu")
    run = run_of(volume, painted_from(labels, [1, 3, 5]), task_model(3), settings)
    uninterrupted = finish(iter_fine_tune(run))
    job = iter_fine_tune(run, checkpoint=tmp_path / ".m")
    for progress in job:
        if progress.stage == "Training" and progress.total == 5 and progress.done == 3:  # the refit
            break
    job.close()
    assert [path.name.split(".")[-1] for path in tmp_path.iterdir()] == ["validation"]
    resumed = finish(iter_fine_tune(run, checkpoint=tmp_path / ".m"))
    assert list(tmp_path.iterdir()) == []
    torch.testing.assert_close(resumed.model.network.state_dict(), uninterrupted.model.network.state_dict())


def test_image_and_paint_are_seen_on_the_grid_of_the_start():
    """Voxels of half the start's size: the network sees half as many, and no painted slice is lost."""
    volume, labels = bars()
    volume = replace(volume, grid=Grid((1.0, 0.5, 0.5), "mm"))
    start = task_model(3)
    start = replace(
        start, card=start.card.model_copy(update={"voxel_size": VoxelSize(spacing=(2.0, 1.0, 1.0), unit="mm")})
    )
    run = run_of(volume, painted_from(labels, [1, 4, 5]), start, FineTuneSettings(steps=1, device="cpu"))
    tuner = UNetFineTuner(run, Schedule.of(run))
    (case,) = tuner.cases(run.dataset.painted)
    assert case.labels.shape == (4, 8, 16)
    assert [bool((plane >= 0).any()) for plane in case.labels] == [True, False, True, False]
    assert case.image[0][case.labels == 2].mean() > 0.8 > 0.6 > case.image[0][case.labels == 1].mean()
    assert tuner.model("refit", tuner.network, {}).card.voxel_size.spacing == (2.0, 1.0, 1.0)


def test_a_coarse_grid_never_loses_paint_and_a_fine_one_repeats_it():
    volume = Volume(np.random.default_rng(0).random((1, 4, 6, 6)).astype(np.float32))
    painted = np.zeros((4, 6, 6), np.uint8)
    painted[1, 2, 3], painted[1, 2, 2] = 2, 1
    read = network_input(volume, None).read
    (coarse,) = annotated_cases([volume], [painted], [read], NetworkFrame(3, (9, 9, 9), (0.5, 0.5, 0.5)))
    assert np.argwhere(coarse.labels.numpy() >= 0).tolist() == [[0, 1, 1]]
    assert coarse.labels[0, 1, 1] == 1  # structure 1 before background
    (fine,) = annotated_cases([volume], [painted], [read], NetworkFrame(3, (9, 9, 9), (1.0, 2.0, 2.0)))
    assert int((fine.labels == 1).sum()) == int((fine.labels == 0).sum()) == 4
    assert fine.image.shape == (1, 4, 12, 12)


def test_of_large_images_only_slabs_around_painted_planes_are_held(monkeypatch):
    monkeypatch.setattr("napari_unetseg.engine.fewshot.unet_patches.MOST_VOXELS", 3 * 32 * 32 * 2)
    volume, labels = bars((40, 32, 32))
    read = network_input(volume, None).read
    cases = annotated_cases(
        [volume], [painted_from(labels, [5, 30])], [read], NetworkFrame(3, (1, 4, 4), (1.0, 1.0, 1.0))
    )
    assert [tuple(case.labels.shape) for case in cases] == [(3, 32, 32), (3, 32, 32)]
    assert all((case.labels[1] >= 0).all() and (case.labels[::2] == -1).all() for case in cases)


@torch.no_grad()
def test_scoring_window_by_window_is_scoring_at_once():
    volume, labels = bars((8, 24, 32))
    network = task_model(2).network
    read = network_input(volume, None).read
    (case,) = annotated_cases(
        [volume], [painted_from(labels, [3])], [read], NetworkFrame(2, (1, 40, 40), (1.0, 1.0, 1.0))
    )
    predicted, true = known_classes(scored_windows(network, [case], (8, 16), (8, 8)))
    at_once = network(case.image[None])[0].argmax(0)
    assert len(true) == 24 * 32
    assert torch.bincount(true).tolist() == torch.bincount(case.labels.flatten().long()).tolist()
    assert abs(int((predicted == 1).sum()) - int((at_once == 1).sum())) <= 0.02 * 24 * 32


def test_what_is_varied_follows_the_voxel_size_and_the_scanner():
    settings = FineTuneSettings()
    assert augmentation_for(Grid((3.0, 1.0, 1.0)), 3, settings).turn_planes == ((1, 2),)
    assert augmentation_for(Grid((1.0, 1.0, 1.0)), 3, settings).turn_planes == ((0, 1), (0, 2), (1, 2))
    assert augmentation_for(Grid((1.0, 1.0, 1.0)), 2, settings).flip_axes == (0, 1)
    kept = augmentation_for(Grid(), 3, FineTuneSettings(keep_structures=True))
    assert (kept.flip_axes, kept.quarter_turns) == ((), False)
    wide = augmentation_for(Grid(), 3, FineTuneSettings(several_scales=True))
    assert wide.reach > 1.6


def test_which_network_is_trained():
    settings = FineTuneSettings()
    assert trains_whole(task_model(3), settings)
    assert not trains_whole(task_model(2), settings)
    assert not trains_whole(None, settings)
    assert trains_whole(None, replace(settings, whole=True))
    volume, _ = bars()
    assert from_nothing(volume, 3).dimensions == 3
    thick = replace(volume, grid=Grid((4.0, 1.0, 1.0)))
    assert from_nothing(thick, 3).pools[0] == (1, 2, 2)
    assert from_nothing(Volume(volume.array[:, :1]), 3).dimensions == 2
