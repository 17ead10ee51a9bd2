"""Stitched equals untiled, nothing strange in an image stops a prediction, and it falls back, cancels and repeats."""

import dataclasses

import numpy as np
import pytest
import torch

from napari_unetseg.core.geometry.tiles import Budget
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.models.card import ModelCard, Normalisation, VoxelSize
from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Structure, Volume
from napari_unetseg.engine.inference import plan, predict
from napari_unetseg.engine.inference.predict import iter_predict
from napari_unetseg.engine.networks import precision
from napari_unetseg.engine.networks.fused import FusedUNet
from napari_unetseg.engine.networks.model_file import Model, load_model
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
from napari_unetseg.errors import ModelError, ResourceError

ALL = SegmentSettings(device="cpu", write="probabilities")
FIELD = 24
"""How far `trained` looks: convolutions 2 + 2·2 + 2·4 down and 2·2 + 2 up, and what its poolings straddle."""


def trained(dimensions, norm="batch", **options):
    """A network with random weights whose running statistics fit its activations, as training leaves them."""
    torch.manual_seed(0)
    network = UNet(UNetSettings(dimensions, 1, 3, (4, 8, 16), norm=norm, **options)).train()
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # the plain mean over all batches
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(2, 1, *(60 if options else 16,) * dimensions))
        network.head.weight *= 10
        network.head.bias.zero_()
    structures = tuple(Structure(label=i, name=f"s{i}", colour="#ff0000", channels=(i,)) for i in (1, 2))
    card = ModelCard(
        name="random", title="", description="", version="1", dimensions=dimensions,
        architecture=network.settings.to_json(), normalisation=Normalisation(method="zscore"), structures=structures,
        patch=(16, 16, 16) if dimensions == 3 else (1, 16, 16), halo=(FIELD,) * 3,
    )  # fmt: skip
    return Model(network.eval(), card)


def noise(*shape):
    return Volume(np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32))


def untiled(model, volume):
    """Probabilities of the whole volume in one pass of the network itself, float32."""
    values = volume.array.astype(np.float64)
    image = torch.from_numpy(((values - values.mean()) / values.std()).astype(np.float32))
    with torch.inference_mode():
        if model.card.dimensions == 3:
            return model.network(image[None])[0].softmax(0).numpy()
        return model.network(image.transpose(0, 1)).softmax(1).transpose(0, 1).numpy()


@pytest.fixture
def exact(monkeypatch):
    """Float32, so that results can be compared bit by bit or nearly so."""
    for module in (plan, precision):
        monkeypatch.setattr(module, "fast_dtype", lambda _device: torch.float32)


@pytest.fixture
def tiles_of(monkeypatch):
    """A function that sets the number of voxels in a tile."""

    def set_voxels(voxels):
        monkeypatch.setattr(predict, "tile_budget", lambda *_: Budget(voxels))

    return set_voxels


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(
    ("dimensions", "shape", "voxels"),
    [(3, (7, 61, 83), 8 * 56 * 64), (3, (59, 6, 77), 1), (2, (1, 131, 97), 60 * 60), (2, (3, 70, 110), 3 * 60 * 72)],
)
def test_stitched_equals_untiled_on_odd_sizes(dimensions, shape, voxels, tiles_of):
    model, volume = trained(dimensions), noise(*shape)
    tiles_of(voxels)
    steps = []
    result = finish(iter_predict(model, volume, ALL), steps.append)
    assert steps[-1].total > 1
    expected = untiled(model, volume)
    np.testing.assert_allclose(result.probabilities, expected, atol=2e-3)
    clear = np.sort(expected, axis=0)[-1] - np.sort(expected, axis=0)[-2] > 1e-4
    np.testing.assert_array_equal(result.classes[clear], expected.argmax(0)[clear])
    assert len(np.unique(result.classes)) > 1


@pytest.mark.usefixtures("exact")
def test_a_vote_is_the_mean_over_three_directions_and_stitches_too(tiles_of):
    model, volume = trained(2), noise(57, 12, 60)
    vote = dataclasses.replace(ALL, vote=True)
    whole = finish(iter_predict(model, volume, vote))
    padded = [untiled(model, Volume(volume.array.transpose(0, *order))) for order in ((1, 2, 3), (2, 1, 3), (3, 1, 2))]
    views = [padded[0], padded[1].transpose(0, 2, 1, 3), padded[2].transpose(0, 2, 3, 1)]
    inside = (slice(None), slice(0, 56), slice(None), slice(None))  # 57 is no multiple of 4: z is mirrored differently
    assert np.abs(whole.probabilities - np.mean(views, axis=0))[inside].mean() < 0.02
    tiles_of(1)
    tiled = finish(iter_predict(model, volume, vote))
    np.testing.assert_allclose(tiled.probabilities, whole.probabilities, atol=2e-3)


@pytest.mark.usefixtures("exact")
def test_flips_average_mirrored_copies():
    model, volume = trained(2), noise(1, 32, 40)
    result = finish(iter_predict(model, volume, dataclasses.replace(ALL, flips=True)))
    axes = [(), (2,), (3,), (2, 3)]
    views = [np.flip(untiled(model, Volume(np.flip(volume.array, a).copy())), a) for a in axes]
    np.testing.assert_allclose(result.probabilities, np.mean(views, axis=0), atol=2e-3)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_scale_shows_the_image_as_another_voxel_size_does(scale):
    model, volume = trained(3), noise(9, 20, 22)
    spacing = (1.0, 1.0, 1.0)
    sized = dataclasses.replace(
        model, card=model.card.model_copy(update={"voxel_size": VoxelSize(spacing=spacing, unit="µm")})
    )
    other = dataclasses.replace(volume, grid=Grid((scale,) * 3, "µm"))
    scaled = finish(iter_predict(model, volume, dataclasses.replace(ALL, scale=scale)))
    np.testing.assert_array_equal(scaled.probabilities, finish(iter_predict(sized, other, ALL)).probabilities)
    assert scaled.classes.shape == volume.shape
    assert (scaled.classes != finish(iter_predict(model, volume, ALL)).classes).mean() > 0.05


@pytest.mark.parametrize("norm", ["instance", "group"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_networks_that_depend_on_the_tile_are_blended(norm, dimensions):
    model, volume = trained(dimensions, norm), noise(9, 37, 45)
    result = finish(iter_predict(model, volume, ALL))
    np.testing.assert_allclose(result.probabilities.sum(axis=0, dtype=np.float32), 1, atol=3e-3)
    np.testing.assert_array_equal(finish(iter_predict(model, volume, ALL)).classes, result.classes)


@pytest.mark.usefixtures("exact")
def test_an_unpadded_network_sees_a_mirrored_margin(tiles_of):
    """Of a constant image all is constant but for the steps of the poolings; a border of zeros would show."""
    model = trained(2, padded=False, norm="none")
    image = Volume(np.full((1, 1, 50, 70), 3, dtype=np.float32))
    for voxels in (10**6, 1):
        tiles_of(voxels)
        outputs = finish(iter_predict(model, image, ALL)).probabilities[:, 0]
        np.testing.assert_allclose(outputs[:, 4:], outputs[:, :-4], atol=1e-3)
        np.testing.assert_allclose(outputs[:, :, 4:], outputs[:, :, :-4], atol=1e-3)


@pytest.mark.parametrize("write", ["auto", "probabilities"])
def test_the_result_repeats_on_a_cpu(write):
    model, volume = trained(3), noise(20, 30, 40)
    settings = SegmentSettings(device="cpu", write=write)
    first, second = (finish(iter_predict(model, volume, settings)) for _ in range(2))
    np.testing.assert_array_equal(first.classes, second.classes)
    if write == "probabilities":
        np.testing.assert_array_equal(first.probabilities, second.probabilities)
    else:
        assert first.probabilities is None


def bright(model, array, **grid):
    return finish(iter_predict(model, Volume(array, Grid(**grid)), SegmentSettings(device="cpu")))


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (1, 1, 5, 300), (1, 2, 3, 1), (1, 40, 1, 1), (1, 9, 17, 33), (1, 3, 100, 90)]
)
def test_any_shape_is_predicted(shape, tiny_model, tiny_model_2d):
    image = np.random.default_rng(0).choice(np.array([20, 230], dtype=np.uint8), shape)
    model = load_model(tiny_model if shape[1] > 1 else tiny_model_2d)
    np.testing.assert_array_equal(bright(model, image).classes, image[0] > 127)


@pytest.mark.parametrize("value", [0, 255, 77])
def test_a_constant_image_is_predicted(value, tiny_model):
    image = np.full((1, 4, 20, 20), value, dtype=np.uint8)
    np.testing.assert_array_equal(bright(load_model(tiny_model), image).classes, image[0] > 127)


def test_values_that_are_not_finite_are_noted(tiny_model):
    image = np.full((1, 4, 20, 20), 200, dtype=np.float32)
    image[0, 1, 2, 3:6] = np.nan, np.inf, -np.inf
    result = bright(load_model(tiny_model), image)
    assert (result.classes == 1).all()
    assert any(note.startswith("3 voxels are not finite") for note in result.notes)


def test_a_colour_picture_is_taken_by_its_luminance(tiny_model_2d):
    image = np.zeros((3, 1, 4, 4), dtype=np.uint8)
    image[1] = 230  # green alone is 135 of 255
    volume = Volume(image, channels=("red", "green", "blue"))
    result = finish(iter_predict(load_model(tiny_model_2d), volume, SegmentSettings(device="cpu")))
    assert (result.classes == 1).all()


def test_seeds_are_where_the_core_is(make_model):
    image = np.array([20, 150, 250], dtype=np.uint8).repeat(8)[None, None, None].repeat(4, 1).repeat(8, 2)
    result = bright(load_model(make_model(objects=True)), image)
    np.testing.assert_array_equal(result.classes, image[0] > 127)
    np.testing.assert_array_equal(result.seeds, image[0] > 200)


def blobs(spacing, extent=(16.0, 30.0, 30.0)):
    """The same smooth scene, sampled at a voxel size."""
    z, y, x = np.meshgrid(
        *(np.arange(s / 2, e, s) for s, e in zip(spacing, extent, strict=True)), indexing="ij", sparse=True
    )
    waves = np.sin(z / 3) * np.sin(y / 4) * np.sin(x / 5)
    return (127.5 + 120 * waves)[None].astype(np.float32)


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (2.0, 2.0, 2.0), (2.0, 0.5, 1.0), (1.7, 1.3, 0.6)])
@pytest.mark.parametrize("voxels", [10**7, 5000])
def test_labels_do_not_depend_on_the_voxel_size(spacing, voxels, tiny_model, tiles_of):
    model = load_model(tiny_model)
    card = model.card.model_copy(update={"voxel_size": VoxelSize(spacing=(1, 1, 1), unit="µm")})
    image = blobs(spacing)
    tiles_of(voxels)
    result = bright(Model(model.network, card), image, spacing=spacing, unit="µm")
    assert result.classes.shape == image.shape[1:]
    clear = np.abs(image[0] - 127.5) > 8
    assert np.mean((result.classes == (image[0] > 127.5))[clear]) > 0.99
    assert any("Resampled" in note for note in result.notes)


def test_a_3d_model_refuses_a_single_image(tiny_model):
    with pytest.raises(ModelError, match="needs a stack"):
        bright(load_model(tiny_model), np.zeros((1, 1, 9, 9), dtype=np.uint8))


def out_of_memory_above(voxels, monkeypatch):
    """Let the network fail as PyTorch does on a CPU without memory; returns the sizes that it was asked for."""
    forward, asked = FusedUNet.forward, []

    def limited(self, image):
        asked.append(image[:, 0].numel())
        if asked[-1] > voxels:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99999 bytes.")
        return forward(self, image)

    monkeypatch.setattr(FusedUNet, "forward", limited)
    return asked


def test_smaller_tiles_are_tried_where_memory_runs_out_and_it_is_said(tiny_model, monkeypatch):
    image = np.random.default_rng(0).choice(np.array([20, 230], dtype=np.uint8), (1, 32, 64, 64))
    asked = out_of_memory_above(20_000, monkeypatch)
    steps = []
    job = iter_predict(load_model(tiny_model), Volume(image), SegmentSettings(device="cpu"))
    result = finish(job, steps.append)
    np.testing.assert_array_equal(result.classes, image[0] > 127)
    assert asked[0] > 20_000 >= asked[-1]
    assert any("half the size" in step.message for step in steps)
    assert any("half the size" in note for note in result.notes)


def test_no_memory_at_all_is_a_line_for_the_user(tiny_model, monkeypatch):
    out_of_memory_above(0, monkeypatch)
    with pytest.raises(ResourceError, match="smallest tile"):
        bright(load_model(tiny_model), np.zeros((1, 32, 64, 64), dtype=np.uint8))


def test_other_faults_of_the_network_are_not_hidden(tiny_model, monkeypatch):
    def broken(_self, _image):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(FusedUNet, "forward", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        bright(load_model(tiny_model), np.zeros((1, 4, 8, 8), dtype=np.uint8))


def test_closing_stops_before_the_next_tile(tiny_model, monkeypatch, tiles_of):
    asked = out_of_memory_above(10**9, monkeypatch)
    tiles_of(1)
    job = iter_predict(load_model(tiny_model), noise(32, 64, 64), SegmentSettings(device="cpu"))
    for progress in job:
        if progress.done == 2:
            break
    job.close()
    assert len(asked) == 2


def test_progress_counts_up_and_forecasts(tiny_model, tiles_of):
    tiles_of(1)
    steps = []
    finish(iter_predict(load_model(tiny_model), noise(16, 32, 32), SegmentSettings(device="cpu")), steps.append)
    tiles = [step for step in steps if step.stage == predict.STAGE]
    assert [step.done for step in tiles] == list(range(tiles[-1].total + 1))
    assert tiles[0].seconds_left is None
    assert tiles[1].seconds_left > 0
    assert tiles[-1].seconds_left == 0


def test_the_volume_is_not_changed(tiny_model):
    image = np.random.default_rng(0).integers(0, 255, (1, 8, 16, 16), dtype=np.uint8)
    before = image.copy()
    bright(load_model(tiny_model), image)
    np.testing.assert_array_equal(image, before)
