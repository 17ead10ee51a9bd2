"""A new architecture is one class and one name: what it takes here, and nothing else, is what it takes."""

import math
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from torch import nn

from napari_unetseg.core.geometry.tiles import Budget
from napari_unetseg.core.models.card import ModelCard, Normalisation
from napari_unetseg.core.models.catalogue import read_card
from napari_unetseg.core.models.compatibility import map_input
from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Structure, Volume
from napari_unetseg.engine.bioimageio.packages import export_model
from napari_unetseg.engine.inference import plan, predict
from napari_unetseg.engine.inference.cost import estimate_cost
from napari_unetseg.engine.inference.predict import iter_predict
from napari_unetseg.engine.networks import registry
from napari_unetseg.engine.networks.architecture import Architecture
from napari_unetseg.engine.networks.model_file import Model, load_model, save_model
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.networks.registry import architecture_of, find_architecture, known_architectures, register
from napari_unetseg.engine.training.loop import TrainSettings, iter_train
from napari_unetseg.errors import InputError, ModelError, SettingsError

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
ALL = SegmentSettings(device="cpu", write="probabilities")


@dataclass(frozen=True)
class TwoLayerSettings:
    kind: ClassVar[str] = "two-layer"
    dimensions: int = 2
    inputs: int = 1
    outputs: int = 3
    width: int = 6

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


class TwoLayers(Network):
    """A convolution, a ReLU, a convolution."""

    def __init__(self, settings: TwoLayerSettings) -> None:
        super().__init__()
        self.settings = settings
        convolution = CONVOLUTION[settings.dimensions]
        self.first = convolution(settings.inputs, settings.width, 3, padding=1)
        self.head = convolution(settings.width, settings.outputs, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.first(image)))


@dataclass(frozen=True)
class TwoLayerArchitecture(Architecture[TwoLayerSettings]):
    title: ClassVar[str] = "two-layer network"

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        try:
            return cls(TwoLayerSettings(**{name: value for name, value in fields.items() if name != "kind"}))
        except TypeError as error:
            raise SettingsError(str(error)) from error

    def build(self) -> TwoLayers:
        return TwoLayers(self.settings)

    @property
    def stride(self) -> tuple[int, ...]:
        return (1,) * self.settings.dimensions

    @property
    def field_of_view(self) -> tuple[int, ...]:
        return (2,) * self.settings.dimensions

    def bytes_per_voxel(self, dtype: torch.dtype) -> float:
        return (self.settings.width + self.settings.outputs) * dtype.itemsize


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    register("two-layer", TwoLayerArchitecture)


def make_model(dimensions: int = 2) -> Model:
    torch.manual_seed(0)
    network = TwoLayers(TwoLayerSettings(dimensions)).eval()
    field = architecture_of(network).field_of_view
    card = ModelCard(
        name="tiny", title="Tiny", description="", version="1", dimensions=dimensions,
        architecture=network.settings.to_json(), normalisation=Normalisation(method="zscore"),
        structures=tuple(Structure(label=i, name=f"s{i}", colour="#ff0000", channels=(i,)) for i in (1, 2)),
        patch=(16, 16, 16) if dimensions == 3 else (1, 16, 16), halo=(0,) * (3 - dimensions) + field,
    )  # fmt: skip
    return Model(network, card)


def noise(*shape: int) -> Volume:
    return Volume(np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32))


def test_it_is_found_by_its_name_its_card_its_network_and_its_settings() -> None:
    model = make_model()
    assert find_architecture("two-layer") is TwoLayerArchitecture
    expected = TwoLayerArchitecture(TwoLayerSettings())
    assert architecture_of(model.card) == architecture_of(model.network) == architecture_of(TwoLayerSettings())
    assert architecture_of(model.card) == expected
    assert known_architectures() == ("light", "two-layer", "unet")


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    model = make_model()
    save_model(tmp_path / "tiny.safetensors", model)
    again = load_model(tmp_path / "tiny.safetensors")
    assert again.card == model.card
    assert isinstance(again.network, TwoLayers)
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor)


def test_work_and_memory_are_counted_by_its_own_layers() -> None:
    architecture = architecture_of(TwoLayerSettings())
    assert architecture.flops_per_voxel == 2 * 9 * (1 * 6 + 6 * 3)
    # kept for the backward pass: the image, what the ReLU gives, the logarithms of the softmax, and the classes
    kept = 4 * (1 + 6 + 3) + 8
    assert architecture.training_bytes_per_voxel(torch.float32) == pytest.approx(kept, rel=0.05)
    assert architecture.training_bytes_per_voxel(torch.bfloat16) == pytest.approx(kept / 2, rel=0.05)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_it_is_planned_and_its_cost_forecast(dimensions: int) -> None:
    card, volume = make_model(dimensions).card, noise(8, 40, 50)
    planned = plan.plan(card, map_input(card, volume, ALL), Budget(4000))
    assert not planned.blend
    assert max(tile.seen[0][1] - tile.seen[0][0] for tile in planned.tiles) <= 8
    assert 8 * 40 * 50 <= planned.price < 2 * 8 * 40 * 50
    expected = estimate_cost(card, volume, ALL)
    assert 0 < expected.seconds < 10
    assert expected.peak_bytes > 2 * 3 * volume.array.size  # the probabilities alone


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_tiles_give_what_the_whole_gives(dimensions: int, flips: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, volume, steps = make_model(dimensions), noise(9, 33, 47), []
    monkeypatch.setattr(predict, "tile_budget", lambda *_: Budget(900))
    monkeypatch.setattr(plan, "fast_dtype", lambda _device: torch.float32)
    monkeypatch.setattr("napari_unetseg.engine.networks.precision.fast_dtype", lambda _device: torch.float32)
    settings = SegmentSettings(device="cpu", write="probabilities", flips=flips)
    found = finish(iter_predict(model, volume, settings), steps.append).probabilities
    assert steps[-1].total > 8
    image = torch.from_numpy((volume.array - volume.array.mean()) / volume.array.std())
    image = image[None] if dimensions == 3 else image.transpose(0, 1)
    axes = list(range(2, image.dim()))
    copies = [[a for n, a in enumerate(axes) if bits >> n & 1] for bits in range(2 ** len(axes) if flips else 1)]
    with torch.inference_mode():
        whole = torch.stack([model.network(image.flip(c)).softmax(1).flip(c) for c in copies]).mean(0)
    whole = whole[0] if dimensions == 3 else whole.transpose(0, 1)
    assert np.abs(found.astype(np.float32) - whole.numpy()).max() < 1e-3  # float16


def test_tiles_of_one_that_measures_them_are_blended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwoLayerArchitecture, "depends_on_tile", True)
    card, volume = make_model().card, noise(2, 64, 64)
    assert plan.plan(card, map_input(card, volume, ALL), Budget(10**6)).blend


class Blobs:
    """Bright and dark, the same at every step."""

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(step))
        return image, (image[:, 0] > 0).long()


def test_it_is_trained_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    network, settings, losses = make_model().network, TrainSettings(30, learning_rate=0.02, save_every=0.0), []
    whole = finish(iter_train(network, Blobs(), settings), lambda p: losses.append(p.loss))
    assert losses[-1] < 0.7 * losses[0]
    checkpoint = tmp_path / "run.safetensors"
    stopped = iter_train(network, Blobs(), settings, checkpoint=checkpoint)
    for _ in range(12):
        next(stopped)
    stopped.close()
    again = finish(iter_train(network, Blobs(), settings, checkpoint=checkpoint))
    assert (again.steps, whole.steps) == (30, 30)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor)
    wider = TwoLayers(TwoLayerSettings(width=8))
    with pytest.raises(InputError, match="differs in width"):
        finish(iter_train(wider, Blobs(), settings, checkpoint=checkpoint))


def test_one_without_a_source_of_its_own_is_not_exported(tmp_path: Path) -> None:
    save_model(tmp_path / "tiny.safetensors", make_model())
    with pytest.raises(ModelError, match="tiny is a two-layer network, which other programs cannot run"):
        export_model(tmp_path / "tiny.safetensors", tmp_path / "tiny.zip")


def test_a_file_of_an_unknown_architecture_names_it_and_those_that_are_known(tmp_path: Path) -> None:
    save_model(tmp_path / "tiny.safetensors", make_model())
    registry._registered.clear()
    assert read_card(tmp_path / "tiny.safetensors").architecture["width"] == 6
    with pytest.raises(ModelError, match=r"knows \(light, unet\); got 'two-layer'"):
        load_model(tmp_path / "tiny.safetensors")


@pytest.mark.parametrize("kind", [3, None, ["unet"]])
def test_a_name_that_is_none_is_refused(kind: object) -> None:
    with pytest.raises(SettingsError, match="Expected an architecture"):
        find_architecture(kind)


def test_a_name_stands_for_one_architecture() -> None:
    register("two-layer", TwoLayerArchitecture)  # the same again

    class Other(TwoLayerArchitecture):
        pass

    for kind in ("two-layer", "unet"):
        with pytest.raises(SettingsError, match="already"):
            register(kind, Other)


def test_an_architecture_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys; from napari_unetseg.engine.networks import registry\n"
        "loaded = lambda: [m for m in sys.modules if m.startswith('napari_unetseg.engine.networks.unets.')]\n"
        "before = loaded(); registry.find_architecture('unet'); print(len(before), len(loaded()) > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]


def test_every_architecture_answers_every_question() -> None:
    """Of small settings of each: numbers above 0, as many as axes, and settings that travel as JSON."""
    from napari_unetseg.engine.networks.pixel.classifier import PixelClassifierSettings
    from napari_unetseg.engine.networks.pixel.filters import FilterSettings
    from napari_unetseg.engine.networks.unets.unet import UNetSettings

    small = UNetSettings(2, 1, 2, widths=(4, 8), norm="batch")
    plain = PixelClassifierSettings(FilterSettings(flat=(1.0,), deep=()), hidden=4, levels=0)
    rich = PixelClassifierSettings(FilterSettings(flat=(1.0,), deep=(1.0,)), small, 4, 2, small, levels=1)
    for settings in (small, plain, rich, TwoLayerSettings()):
        architecture = architecture_of(settings)
        assert architecture.from_json(settings.to_json()) == architecture
        assert architecture.build().settings == settings
        assert len(architecture.stride) == len(architecture.field_of_view) == settings.dimensions
        assert min(architecture.stride) >= 1
        numbers = [architecture.flops_per_voxel, architecture.bytes_per_voxel(torch.float32)]
        numbers.append(architecture.training_bytes_per_voxel(torch.float32))
        assert all(math.isfinite(number) and number > 0 for number in numbers)
    assert [architecture_of(s).predicts for s in (small, rich, TwoLayerSettings())] == ["tiles", "slices", "tiles"]
    assert [architecture_of(s).trains_whole for s in (small, rich, TwoLayerSettings())] == [True, False, False]
    built = architecture_of(rich).build()
    assert architecture_of(rich).base(built).settings == small
    assert architecture_of(plain).base(architecture_of(plain).build()) is None
