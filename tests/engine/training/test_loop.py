import errno
import math
import os
from pathlib import Path

import pytest
import torch

from napari_unetseg.core.progress import finish
from napari_unetseg.engine.networks import precision
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
from napari_unetseg.engine.training import loop
from napari_unetseg.engine.training.loop import TrainProgress, TrainSettings, descend, iter_train
from napari_unetseg.engine.training.patches import Batches, BatchSettings, Case
from napari_unetseg.errors import SettingsError


def make_network(norm="batch", seed=0) -> UNet:
    torch.manual_seed(seed)
    return UNet(UNetSettings(2, 1, 2, widths=(8, 16), norm=norm))


def make_batches() -> Batches:
    """Bright squares on a dark, noisy ground."""
    labels = torch.zeros(48, 48, dtype=torch.int8)
    labels[8:20, 8:20] = labels[28:40, 24:44] = 1
    image = labels[None].float() + 0.2 * torch.randn(1, 48, 48, generator=torch.Generator().manual_seed(0))
    return Batches([Case(image, labels)], BatchSettings((16, 16), batch=4))


def accuracy(network: UNet) -> float:
    case = make_batches().cases[0]
    with torch.inference_mode():
        return float((network(case.image[None]).argmax(1)[0] == case.labels).float().mean())


def weights_of(network: UNet) -> list[torch.Tensor]:
    return list(network.state_dict().values())


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
def test_it_learns_what_is_bright(norm):
    records: list[TrainProgress] = []
    network = make_network(norm)
    before = [tensor.clone() for tensor in weights_of(network)]
    settings = TrainSettings(steps=80, learning_rate=1e-2, score_every=40)
    trained = finish(iter_train(network, make_batches(), settings, score=accuracy), records.append)
    assert accuracy(trained.network) > 0.97
    assert not trained.network.training
    assert [r.done for r in records] == list(range(1, 81))
    assert {r.total for r in records} == {80}
    assert records[-1].loss < 0.6 * records[0].loss
    assert [r.done for r in records if r.score is not None] == [40, 80]
    assert (trained.steps, trained.skipped) == (80, 0)
    torch.testing.assert_close(weights_of(network), before)  # the caller's network is not touched


def test_it_learns_in_bfloat16_too(monkeypatch):
    monkeypatch.setattr(precision, "fast_dtype", lambda device: torch.bfloat16)
    settings = TrainSettings(steps=80, learning_rate=1e-2, half=True)
    trained = finish(iter_train(make_network(), make_batches(), settings))
    assert accuracy(trained.network) > 0.97
    assert {tensor.dtype for tensor in trained.network.parameters()} == {torch.float32}
    exact = finish(iter_train(make_network(), make_batches(), TrainSettings(steps=80, learning_rate=1e-2)))
    assert not all(map(torch.equal, weights_of(trained.network), weights_of(exact.network)))


def test_the_same_seed_gives_the_same_weights():
    one, other = (finish(iter_train(make_network(), make_batches(), TrainSettings(steps=8))) for _ in range(2))
    torch.testing.assert_close(weights_of(one.network), weights_of(other.network), rtol=0, atol=0)


@pytest.mark.parametrize("stopped_at", [3, 7], ids=["before norm is fixed", "after"])
def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path, stopped_at):
    settings = TrainSettings(steps=9, save_every=0)
    whole = finish(iter_train(make_network(), make_batches(), settings))
    job = iter_train(make_network(), make_batches(), settings, checkpoint=tmp_path / "run.safetensors")
    for _ in range(stopped_at):
        next(job)
    job.close()
    resumed: list[TrainProgress] = []
    job = iter_train(make_network(seed=1), make_batches(), settings, checkpoint=tmp_path / "run.safetensors")
    trained = finish(job, resumed.append)
    assert resumed[0].done == stopped_at + 1
    torch.testing.assert_close(weights_of(trained.network), weights_of(whole.network))
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def test_a_finished_run_is_not_trained_again(tmp_path):
    settings = TrainSettings(steps=3)
    first = finish(iter_train(make_network(), make_batches(), settings, checkpoint=tmp_path / "run.safetensors"))
    records = []
    again = finish(
        iter_train(make_network(), make_batches(), settings, checkpoint=tmp_path / "run.safetensors"), records.append
    )
    assert not records
    torch.testing.assert_close(weights_of(again.network), weights_of(first.network))


class WithFault:
    """Batches of which one makes the loss NaN."""

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, labels = make_batches()[step]
        return (image * math.nan if step == 2 else image), labels


def test_a_step_that_is_not_finite_is_skipped_and_counted():
    records: list[TrainProgress] = []
    trained = finish(iter_train(make_network("instance"), WithFault(), TrainSettings(steps=6)), records.append)
    assert trained.skipped == 1
    assert [r.skipped for r in records] == [0, 0, 1, 1, 1, 1]
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(trained.network))


def test_normalisation_is_fixed_with_statistics_of_the_data():
    """A network whose first normalisation is measured on inputs of mean 5 must not keep the initial mean of 0."""
    image, labels = torch.randn(4, 1, 16, 16) + 5, torch.zeros(4, 16, 16, dtype=torch.long)

    class Shifted:
        def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            return image, labels

    settings = TrainSettings(steps=2, learning_rate=1e-12, fix_norm=1.0)
    trained = finish(iter_train(make_network(), Shifted(), settings))
    convolution, norm, _ = trained.network.down[0][0]
    expected = convolution(image).mean(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-3, atol=1e-3)


def test_minutes_end_the_training_and_give_a_forecast():
    records: list[TrainProgress] = []
    trained = finish(iter_train(make_network(), make_batches(), TrainSettings(minutes=0.02)), records.append)
    assert 1.2 <= trained.seconds < 10
    assert records[-1].total == records[-1].done
    assert records[0].seconds_left is not None
    assert 0 < records[0].seconds_left <= 1.2


@pytest.mark.parametrize("wrong", [{}, {"steps": 5, "minutes": 1}, {"steps": 0}, {"minutes": -1}])
def test_a_run_needs_one_end(wrong):
    with pytest.raises(SettingsError, match="steps or minutes"):
        TrainSettings(**wrong)


def test_a_step_down_a_loss_that_is_not_finite_changes_nothing():
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    assert not descend(optimiser, (weight * float("nan")).sum())
    assert weight.tolist() == [3.0, 4.0]
    assert descend(optimiser, (weight**2).sum() / 2, clip=1.0)  # the gradient (3, 4) is cut to (0.6, 0.8)
    torch.testing.assert_close(weight.detach(), torch.tensor([2.4, 3.2]))
    assert descend(optimiser, (weight**2).sum() / 2)
    torch.testing.assert_close(weight.detach(), torch.zeros(2))


@pytest.mark.parametrize(
    "spoil", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"garbage" * 99], ids=["empty", "cut", "garbage"]
)
def test_a_damaged_checkpoint_is_left_out_and_told(tmp_path, spoil):
    settings, file = TrainSettings(steps=3), tmp_path / "run.safetensors"
    whole = finish(iter_train(make_network(), make_batches(), settings, checkpoint=file))
    file.write_bytes(spoil(file.read_bytes()))
    again = finish(iter_train(make_network(), make_batches(), settings, checkpoint=file))
    assert again.notes == (loop.DAMAGED.format("run.safetensors"),)
    torch.testing.assert_close(weights_of(again.network), weights_of(whole.network), rtol=0, atol=0)
    assert not finish(iter_train(make_network(), make_batches(), settings, checkpoint=file)).notes  # it is whole again


def test_a_full_disk_at_a_checkpoint_does_not_end_training(tmp_path, monkeypatch):
    settings, file = TrainSettings(steps=6, save_every=0), tmp_path / "run.safetensors"
    job = iter_train(make_network(), make_batches(), settings, checkpoint=file)
    for _ in range(3):
        next(job)
    good = file.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    records: list[TrainProgress] = []
    trained = finish(job, records.append)
    assert trained.steps == 6
    assert all("No space left" in record.message for record in records)
    assert "the last good one stays" in trained.notes[0]
    assert file.read_bytes() == good
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def full_disk(path, content):
    with path.open("wb") as file:
        file.write(content[:100])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
