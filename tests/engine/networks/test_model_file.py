"""Model files travel whole; a damaged, foreign or dangerous one is refused with one clear line."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_unetseg.core.models.catalogue import CARD_KEY, find_model, list_models, read_card
from napari_unetseg.engine.networks.model_file import Model, load_model, save_model
from napari_unetseg.engine.networks.pixel.architecture import PixelClassifierArchitecture
from napari_unetseg.engine.networks.pixel.classifier import PixelClassifier, PixelClassifierSettings
from napari_unetseg.engine.networks.pixel.filters import FilterSettings
from napari_unetseg.engine.networks.unets.unet import UNet
from napari_unetseg.engine.networks.unets.unet_architecture import UNetArchitecture
from napari_unetseg.errors import ModelError, OutputError, SettingsError


def test_a_model_is_the_same_after_saving_and_loading(tiny_model, tmp_path):
    model = load_model(tiny_model)
    save_model(tmp_path / "copy.safetensors", model)
    again = load_model(tmp_path / "copy.safetensors")
    assert again.card == model.card
    image = torch.rand(1, 1, 8, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(again.network(image), model.network(image), rtol=0, atol=0)


def test_half_precision_halves_the_file_and_loads_as_float32(tiny_model, tmp_path):
    model = load_model(tiny_model)
    save_model(tmp_path / "half.safetensors", model, half=True)
    stored = load_file(tmp_path / "half.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = load_model(tmp_path / "half.safetensors")
    assert {tensor.dtype for tensor in loaded.network.state_dict().values()} == {torch.float32}
    assert not loaded.network.training


def test_an_unknown_model_is_named():
    with pytest.raises(ModelError, match="no 'nonsense'"):
        load_model("nonsense")


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def truncated(path, whole):
    path.write_bytes(whole.read_bytes()[:-100])


def cut_in_its_header(path, whole):
    path.write_bytes(whole.read_bytes()[:50])


def empty(path, whole):
    path.write_bytes(b"")


def random_bytes(path, whole):
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def text(path, whole):
    path.write_text("not a model\n" * 100)


def json_that_is_no_header(path, whole):
    path.write_bytes((13).to_bytes(8, "little") + b'{"a": [1, 2]}')


def pickled(path, whole):
    path.write_bytes(pickle.dumps(Trap(str(path.parent / "trap"))))


def torch_file(path, whole):
    torch.save({"weights": Trap(str(path.parent / "trap"))}, path)


def without_a_card(path, whole):
    save_file({"a": torch.zeros(3)}, path)


def with_a_wrong_card(path, whole):
    save_file({"a": torch.zeros(3)}, path, metadata={CARD_KEY: '{"name": 3}'})


def with_a_wrong_shape(path, whole):
    weights = load_file(whole)
    weights["head.weight"] = torch.zeros(9, 4, 1, 1, 1)
    save_file(weights, path, metadata={CARD_KEY: read_card(whole).model_dump_json()})


def without_a_layer(path, whole):
    weights = load_file(whole)
    del weights["head.bias"]
    save_file(weights, path, metadata={CARD_KEY: read_card(whole).model_dump_json()})


def with_an_unknown_architecture(path, whole):
    card = read_card(whole).model_copy(update={"architecture": {"rooms": 3}})
    save_file(load_file(whole), path, metadata={CARD_KEY: card.model_dump_json()})


def with_other_channels(path, whole):
    card = read_card(whole).model_copy(update={"channels": ("red", "green")})
    save_file(load_file(whole), path, metadata={CARD_KEY: card.model_dump_json()})


BROKEN = [
    truncated, cut_in_its_header, empty, random_bytes, text, json_that_is_no_header, pickled, torch_file,
    without_a_card, with_a_wrong_card, with_a_wrong_shape, without_a_layer, with_an_unknown_architecture,
    with_other_channels,
]  # fmt: skip


@pytest.mark.parametrize("breaking", BROKEN)
def test_a_broken_file_is_refused_in_one_line_and_nothing_in_it_runs(breaking, tiny_model, tmp_path):
    path = tmp_path / "broken.safetensors"
    breaking(path, tiny_model)
    with pytest.raises(ModelError) as failure:
        load_model(path)
    assert "broken.safetensors" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert len(str(failure.value)) < 500
    assert not (tmp_path / "trap").exists()


def test_a_folder_that_is_missing_is_said(tiny_model, tmp_path):
    with pytest.raises(OutputError, match="folder"):
        save_model(tmp_path / "missing" / "m.safetensors", load_model(tiny_model))


def test_a_start_to_learn_from_names_no_structure_and_has_any_outputs(tiny_model, tmp_path):
    model = load_model(tiny_model)
    start = Model(model.network, model.card.model_copy(update={"structures": ()}))
    save_model(tmp_path / "start.safetensors", start)
    assert load_model(tmp_path / "start.safetensors").card.is_start


def test_bundled_models_load_and_agree_with_their_cards():
    for card in list_models():
        model = load_model(card.name)
        assert isinstance(model, Model)
        assert isinstance(model.network, UNet)
        assert find_model(card.name).stem == card.name


def test_a_model_that_is_one_u_net_gives_it_and_another_says_what_it_is(tiny_model):
    model = load_model(tiny_model)
    assert model.unet is model.network
    light = PixelClassifier.from_settings(PixelClassifierSettings(FilterSettings(), model.network.settings))
    with pytest.raises(ModelError, match="threshold is a pixel classifier; expected a U-Net"):
        _ = Model(light, model.card).unet


UNFIT = [
    {"widths": [4.5, 8.5]},
    {"widths": [2**31, 2**31]},
    {"widths": [2000, 1]},
    {"kernels": [[2999] * 3] * 2},
    {"kernels": [[1, 1, 31]] * 2},
    {"kernels": 7},
    {"pools": [[16, 16, 16]]},
    {"inputs": 4096},
    {"outputs": 65536},
    {"outputs": None},
    {"norm": "nonsense"},
    {"norm_affine": [1]},
    {"dropout": 7},
    {"dropout": "much"},
    {"dimensions": 2},
    {"colour": "red"},
]


@pytest.mark.parametrize("fields", UNFIT, ids=str)
def test_settings_that_do_not_fit_the_weights_are_refused_before_a_network_is_built(
    fields, tiny_model, tmp_path, monkeypatch
):
    with safe_open(tiny_model, framework="np") as file:
        card = json.loads(file.metadata()[CARD_KEY])
    card["architecture"] |= fields
    path = tmp_path / "unfit.safetensors"
    save_file(load_file(tiny_model), path, metadata={CARD_KEY: json.dumps(card)})
    build = UNetArchitecture.build

    def built(architecture):
        network = build(architecture)
        assert next(network.parameters()).is_meta
        return network

    monkeypatch.setattr(UNetArchitecture, "build", built)
    with pytest.raises(ModelError, match=r"unfit\.safetensors"):
        load_model(path)


@pytest.mark.parametrize(
    "fields",
    [
        {"filters": {"flat": [1e6]}},
        {"filters": {"deep": [8.0], "depth": 1e-9}},
        {"filters": {"flat": "wide"}},
        {"filters": [], "hidden": 8},
        {"hidden": 1.5},
        {"base": {"widths": [4, "x"]}},
        {"base": {"colour": "red"}},
    ],
    ids=str,
)
def test_settings_of_a_pixel_classifier_that_do_not_fit_are_refused(fields):
    whole = PixelClassifierSettings(FilterSettings()).to_json()
    with pytest.raises(SettingsError):
        PixelClassifierArchitecture.from_json(whole | fields)
