"""A prediction from disk to disk is that in memory, voxel for voxel, and holds neither image nor labels whole."""

import dataclasses
import math
import tracemalloc

import numpy as np
import pytest
import torch

from napari_unetseg.core.geometry.tiles import Budget
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.lazy import open_volume
from napari_unetseg.core.io.loadsave import label_sink, load_labels, load_volume, save_volume, volume_sink
from napari_unetseg.core.models.card import ModelCard, Normalisation
from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Structure, Volume
from napari_unetseg.core.voxels import ArraySink
from napari_unetseg.engine.inference import predict, predict_slices
from napari_unetseg.engine.inference.aggregate import Sinks
from napari_unetseg.engine.inference.predict import iter_predict, iter_predict_into
from napari_unetseg.engine.networks.model_file import Model, load_model
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier, PixelClassifierSettings
from napari_unetseg.engine.networks.pixel.filters import FilterSettings
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings

CPU = SegmentSettings(device="cpu")
SOFT = SegmentSettings(device="cpu", write="probabilities")
STRUCTURES = (
    Structure(label=1, name="cell", colour="#ff0000", channels=(1, 2), seed_channel=2),
    Structure(label=2, name="wall", colour="#00ff00", channels=(3,)),
)


def card(dimensions, architecture, **more):
    return ModelCard(
        name="random", title="", description="", version="1", dimensions=dimensions, architecture=architecture,
        normalisation=Normalisation(method="zscore"), structures=STRUCTURES,
        patch=(16, 16, 16) if dimensions == 3 else (1, 16, 16), halo=(4, 4, 4), **more,
    )  # fmt: skip


def unet(dimensions, norm):
    """A network with random weights, whose running statistics fit its activations where it has some."""
    torch.manual_seed(0)
    network = UNet(UNetSettings(dimensions, 1, 4, (4, 8), norm=norm)).train()
    with torch.no_grad():
        for _ in range(30):
            network(torch.randn(2, 1, *(16,) * dimensions))
        network.head.weight *= 10
        network.head.bias.zero_()
    return Model(network.eval(), card(dimensions, network.settings.to_json()))


def light():
    torch.manual_seed(0)
    network = PixelClassifier.from_settings(PixelClassifierSettings(FilterSettings(), hidden=8, outputs=4))
    return Model(network.eval(), card(2, network.settings.to_json()))


def noise(*shape):
    array = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    return Volume(array, Grid((1.0, 0.5, 0.5), "µm"))


@pytest.fixture
def shuffled(monkeypatch):
    """Small tiles, in an order that has nothing to do with their places."""
    monkeypatch.setattr(predict, "tile_budget", lambda *_: Budget(2500))
    planned = predict.trusted_plan

    def mixed(*arguments):
        plan, dtype = planned(*arguments)
        order = np.random.default_rng(1).permutation(len(plan.tiles))
        return dataclasses.replace(plan, tiles=tuple(plan.tiles[i] for i in order)), dtype

    return lambda: monkeypatch.setattr(predict, "trusted_plan", mixed)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_from_zarr_to_zarr_with_shuffled_tiles_equals_in_memory(dimensions, norm, tmp_path, shuffled, monkeypatch):
    monkeypatch.setattr("napari_unetseg.core.io.formats.ome_zarr.CHUNK", (8, 16, 16))
    model, volume = unet(dimensions, norm), noise(21, 30, 37)
    whole = finish(iter_predict(model, volume, SOFT))
    save_volume(tmp_path / "image.zarr", volume)
    source = open_volume(tmp_path / "image.zarr")
    shuffled()
    with (
        label_sink(tmp_path / "classes.zarr", source, STRUCTURES) as classes,
        label_sink(tmp_path / "seeds.zarr", source, ()) as seeds,
        volume_sink(tmp_path / "soft.zarr", source, ("background", "cell", "wall")) as probabilities,
    ):
        steps = []
        finish(iter_predict_into(Sinks(classes, seeds, probabilities), model, source, CPU), steps.append)
    assert steps[-1].total >= 8
    found = load_labels(tmp_path / "classes.zarr")
    np.testing.assert_array_equal(found.array, whole.classes)
    np.testing.assert_array_equal(load_labels(tmp_path / "seeds.zarr").array, whole.seeds)
    np.testing.assert_array_equal(load_volume(tmp_path / "soft.zarr").array, whole.probabilities)
    assert len(np.unique(found.array)) > 1
    assert found.grid == volume.grid


@pytest.mark.parametrize("flips", [False, True])
def test_a_light_model_reads_slabs_and_finds_the_same(flips, tmp_path, monkeypatch):
    model, volume = light(), noise(5, 70, 90)
    settings = dataclasses.replace(CPU, flips=flips)
    monkeypatch.setattr(predict_slices, "WINDOW", 64)
    whole = finish(iter_predict(model, volume, settings)).classes
    save_volume(tmp_path / "image.zarr", volume)
    source, classes = open_volume(tmp_path / "image.zarr"), np.full(volume.shape, 9, np.uint8)
    finish(iter_predict_into(Sinks(ArraySink(classes)), model, source, settings))
    np.testing.assert_array_equal(classes, whole)
    assert len(np.unique(whole)) > 1


class Counted:
    """A source without an array that makes its voxels when they are read, and remembers the largest box."""

    chunk, dtype, grid, channels, name = (1, 1, 1), np.dtype(np.uint8), Grid(), ("grey",), "made"
    is_2d = is_colour = False
    largest = 0

    def __init__(self, shape):
        self.shape = shape

    def read(self, box):
        z, y, x = np.ogrid[tuple(slice(*span) for span in box)]
        self.largest = max(self.largest, math.prod(stop - start for start, stop in box))
        return ((z + y + x) // 16 % 2 * np.uint8(255)).astype(np.uint8)[None]

    def __array__(self, *_, **__):
        raise AssertionError("the whole volume was asked for")


class Summed:
    """A sink that keeps how many voxels came, and how many of them were above 0."""

    voxels = above = largest = 0

    def write(self, _box, values):
        self.voxels += values.size
        self.above += int(np.count_nonzero(values))
        self.largest = max(self.largest, values.size)


def test_neither_the_image_nor_the_labels_are_ever_whole_in_memory(tiny_model, monkeypatch):
    monkeypatch.setattr(predict, "tile_budget", lambda *_: Budget(2**17))
    monkeypatch.setattr("napari_unetseg.core.voxels.BLOCK", 2**17)
    source, sink = Counted((64, 256, 256)), Summed()
    voxels = math.prod(source.shape)
    model = load_model(tiny_model)
    finish(iter_predict_into(Sinks(sink), model, Counted((8, 16, 16)), CPU))  # what is imported and kept for later
    sink = Summed()
    monkeypatch.setattr("napari_unetseg.core.models.normalisation.SAMPLE", 2**14)
    tracemalloc.start()
    finish(iter_predict_into(Sinks(sink), model, source, CPU))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (sink.voxels, sink.above) == (voxels, int(np.count_nonzero(Counted(source.shape).read(whole_of(source)))))
    assert max(source.largest, sink.largest) <= voxels / 8
    assert peak < voxels  # one byte a voxel: less than labels, and a quarter of the image as floats


def whole_of(source):
    return tuple((0, length) for length in source.shape)
