"""Packages of the BioImage Model Zoo: written, checked by its library, run by other programs, and taken back."""

import importlib.util
import pickle
import zipfile
from pathlib import Path

import bioimageio.spec as spec
import numpy as np
import pytest
import torch
import yaml

from napari_unetseg import api
from napari_unetseg.core.models.bioimageio import read_model_file
from napari_unetseg.core.models.card import ModelCard, Normalisation, VoxelSize
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Structure, Volume
from napari_unetseg.engine.bioimageio.description import describe, minimum_size
from napari_unetseg.engine.bioimageio.packages import export_model, import_model, preprocess, sample_image
from napari_unetseg.engine.networks.model_file import Model, load_model, save_model
from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
from napari_unetseg.errors import ModelError, ResourceError

pytestmark = pytest.mark.filterwarnings(  # the library leaves files open
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


def random_model(path: Path, dimensions: int, normalisation: Normalisation, size: VoxelSize | None = None) -> Path:
    """A small U-Net with random weights and trained-looking batch norm."""
    torch.manual_seed(1)
    network = UNet(UNetSettings(dimensions, 1, 3, widths=(4, 8), norm="batch", conv_bias=False))
    with torch.no_grad():
        network.train()
        network(torch.randn(2, 1, *(16,) * dimensions))
    card = ModelCard(
        name=path.stem,
        title="Cores, rims & more",
        description="For tests.",
        version="1.0",
        dimensions=dimensions,
        architecture=network.settings.to_json(),
        normalisation=normalisation,
        voxel_size=size,
        structures=(Structure(label=1, name="cell", colour="#ff0000", channels=(1, 2), seed_channel=1),),
        patch=(16,) * 3 if dimensions == 3 else (1, 16, 16),
        halo=(4, 8, 8) if dimensions == 3 else (0, 8, 8),
        licence="BSD-3-Clause; trained on nothing",
    )
    save_model(path, Model(network.eval(), card))
    return path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An exported 2D model."""
    model = random_model(tmp_path / "cells.safetensors", 2, Normalisation(low=2, high=98))
    export_model(model, tmp_path / "cells.zip")
    return tmp_path / "cells.zip"


def content_of(package: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(package) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("dimensions", "normalisation", "size"),
    [
        (2, Normalisation(), None),
        (2, Normalisation(method="zscore"), VoxelSize(spacing=(1, 0.5, 0.25), unit="µm")),
        (3, Normalisation(method="window", low=20, high=200), VoxelSize(spacing=(2, 1, 1), unit="mm")),
    ],
)
def test_the_library_finds_nothing_wrong_and_others_get_the_same_output(tmp_path, dimensions, normalisation, size):
    model = random_model(tmp_path / "cells.safetensors", dimensions, normalisation, size)
    export_model(model, tmp_path / "cells.zip")
    found = spec.load_description(tmp_path / "cells.zip", perform_io_checks=True)
    assert found.validation_summary.status in ("passed", "valid-format")
    assert not [error for detail in found.validation_summary.details for error in detail.errors]
    content = content_of(tmp_path / "cells.zip")
    for name in ("unet.py", "weights.pt", "test_input.npy", "test_output.npy"):
        (tmp_path / name).write_bytes(content[name])
    output = as_another_program(tmp_path, yaml.safe_load(content["rdf.yaml"]))
    assert np.abs(output - np.load(tmp_path / "test_output.npy")).max() < 1e-5
    assert output.sum(axis=1) == pytest.approx(1, abs=1e-5)


def as_another_program(folder: Path, description: dict) -> np.ndarray:
    """Run a package by what it says alone: its own source, its state dict, its processing."""
    entry = description["weights"]["pytorch_state_dict"]
    named = importlib.util.spec_from_file_location("unet_of_the_package", folder / entry["architecture"]["source"])
    module = importlib.util.module_from_spec(named)
    named.loader.exec_module(module)
    network = getattr(module, entry["architecture"]["callable"])(**entry["architecture"]["kwargs"]).eval()
    network.load_state_dict(torch.load(folder / entry["source"], weights_only=True))
    image = np.load(folder / description["inputs"][0]["test_tensor"]["source"])
    steps = {step["id"]: step["kwargs"] for step in description["inputs"][0]["preprocessing"]}
    axes = tuple(range(2, image.ndim))
    if "scale_range" in steps:
        ends = steps["scale_range"]["min_percentile"], steps["scale_range"]["max_percentile"]
        low, high = np.percentile(image, ends, axis=axes, keepdims=True)
        image = (image - low) / (high - low + float(steps["scale_range"]["eps"]))
    elif "zero_mean_unit_variance" in steps:
        image = (image - image.mean()) / (image.std() + 1e-6)
    else:
        image = np.clip(image * steps["scale_linear"]["gain"] + steps["scale_linear"]["offset"], 0, 1)
    with torch.no_grad():
        scores = network(torch.from_numpy(image.astype(np.float32)))
    assert description["outputs"][0]["postprocessing"][0]["id"] == "softmax"
    return scores.softmax(dim=1).numpy()


def test_a_model_comes_back_as_it_was(package, tmp_path):
    card = import_model(package, tmp_path / "back.safetensors")
    first, back = load_model(tmp_path / "cells.safetensors"), load_model(tmp_path / "back.safetensors")
    assert card == first.card == back.card
    weights = first.network.state_dict(), back.network.state_dict()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_test_tensors_are_what_segmenting_gives(package, tmp_path):
    content = content_of(package)
    for name in ("test_input.npy", "test_output.npy"):
        (tmp_path / name).write_bytes(content[name])
    image, output = np.load(tmp_path / "test_input.npy"), np.load(tmp_path / "test_output.npy")
    import_model(package, tmp_path / "back.safetensors")
    settings = SegmentSettings(device="cpu", write="probabilities")
    ours = api.segment(Volume(image[0][:, None]), tmp_path / "back.safetensors", settings).probabilities
    assert np.abs(ours.array[1, 0].astype(np.float32) - output[0, 1:].sum(axis=0)).max() < 0.03  # bfloat16, float16


def test_a_bundled_model_is_exported_with_its_picture(tmp_path):
    export_model("hippocampus-3d", tmp_path / "h.zip")
    content = content_of(tmp_path / "h.zip")
    description = yaml.safe_load(content["rdf.yaml"])
    assert description["license"] == "CC-BY-SA-4.0"
    assert description["covers"][0]["source"] == "cover.png"
    bundled = load_model("hippocampus-3d").card
    space = description["outputs"][0]["axes"][2:]
    assert [axis["halo"] for axis in space] == list(bundled.halo)
    assert [(axis["scale"], axis["unit"]) for axis in space] == [(1.0, "millimeter")] * 3
    names = description["outputs"][0]["axes"][1]["channel_names"]
    assert names == ["background", "anterior_hippocampus", "posterior_hippocampus"]
    assert b"Validation" in content["README.md"]
    import_model(tmp_path / "h.zip", tmp_path / "h.safetensors")
    assert load_model(tmp_path / "h.safetensors").card == bundled


def test_what_the_description_says(tmp_path):
    size = VoxelSize(spacing=(1, 0.5, 0.25), unit="µm")
    card = load_model(random_model(tmp_path / "cells.safetensors", 2, Normalisation(low=2, high=98), size)).card
    (tmp_path / "file").write_bytes(b"")
    names = ("model", "weights", "architecture", "documentation", "input", "output")
    description = describe(card, dict.fromkeys(names, tmp_path / "file"), "2.13.0")
    assert description["name"] == "Cores rims  more"
    assert minimum_size(card) == (18, 18)
    (image,), (output,) = description["inputs"], description["outputs"]
    assert image["axes"][2] == {
        "type": "space",
        "id": "y",
        "scale": 0.5,
        "unit": "micrometer",
        "size": {"min": 18, "step": 2},
    }
    assert output["axes"][1]["channel_names"] == ["background", "cell_core", "cell_rim"]
    assert output["axes"][3]["halo"] == 8
    kwargs = image["preprocessing"][0]["kwargs"]
    assert (kwargs["min_percentile"], kwargs["max_percentile"], kwargs["axes"]) == (2, 98, ["y", "x"])


def test_the_processing_is_by_the_formulas_of_the_zoo():
    image = np.arange(0, 101, dtype=np.float32).reshape(1, 1, 1, 101)
    assert preprocess(image, Normalisation(low=10, high=90))[0, 0, 0, [10, 50, 90]] == pytest.approx(
        [0, 0.5, 1], abs=1e-6
    )
    window = preprocess(image, Normalisation(method="window", low=25, high=75))[0, 0, 0]
    assert window[[0, 50, 100]] == pytest.approx([0, 0.5, 1])
    scored = preprocess(image, Normalisation(method="zscore"))
    assert (scored.mean(), scored.std()) == pytest.approx((0, 1), abs=1e-5)


def test_the_sample_image_is_always_the_same(tmp_path):
    card = load_model(random_model(tmp_path / "cells.safetensors", 3, Normalisation())).card
    image = sample_image(card)
    assert image.shape == (1, 1, 10, 18, 18)
    assert (image.min(), image.max()) == (0, 255)
    assert np.array_equal(image, sample_image(card))


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_nothing_of_a_hostile_package_is_run(package, tmp_path):
    content = content_of(package)
    marker = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(marker))
    import_model(write(tmp_path / "a.zip", content | {"weights.pt": bomb}), tmp_path / "a.safetensors")
    content |= {"weights.pt": bomb, "unet.py": f"open({str(marker)!r}, 'w')".encode(), "cells.safetensors": bomb}
    with pytest.raises(ModelError, match=r"the checksum of cells\.safetensors is wrong"):
        import_model(write(tmp_path / "b.zip", content), tmp_path / "b.safetensors")
    content["rdf.yaml"] = rdf_with(content, config={"napari_unetseg": {"model": entry("cells.safetensors", bomb)}})
    with pytest.raises(ModelError, match="never a pickle"):
        import_model(write(tmp_path / "c.zip", content), tmp_path / "c.safetensors")
    content["rdf.yaml"] = b"!!python/object/apply:pathlib.Path.touch [" + str(marker).encode() + b"]"
    with pytest.raises(ModelError, match="is not YAML"):
        import_model(write(tmp_path / "d.zip", content), tmp_path / "d.safetensors")
    assert not marker.exists()
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == ["a.safetensors", "cells.safetensors"]
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def entry(name: str, data: bytes) -> dict[str, str]:
    import hashlib

    return {"source": name, "sha256": hashlib.sha256(data).hexdigest()}


def rdf_with(content: dict[str, bytes], **fields: object) -> bytes:
    return yaml.safe_dump(yaml.safe_load(content["rdf.yaml"]) | fields).encode()


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a\\..\\..\\evil.txt", "C:/evil.txt"])
def test_a_name_that_points_out_of_the_package_is_refused(package, tmp_path, name):
    with pytest.raises(ModelError, match="points out of it"):
        import_model(write(tmp_path / "evil.zip", content_of(package) | {name: b"x"}), tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


def test_a_package_of_another_program_is_told_apart(package, tmp_path):
    content = content_of(package)
    description = rdf_with(content, config={}, weights={"torchscript": {"source": "weights.pt"}})
    path = write(tmp_path / "other.zip", content | {"rdf.yaml": description})
    with pytest.raises(ModelError, match="holds weights as torchscript, which run only with code of its own"):
        import_model(path, tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rdf.yaml": None}, "has no rdf.yaml"),
        ({"rdf.yaml": b"type: dataset\n"}, "does not describe a model"),
        ({"rdf.yaml": b"- 1\n"}, "does not describe a model"),
        ({"rdf.yaml": b"a: [\n"}, "is not YAML"),
        ({"rdf.yaml": b"type: model\nconfig: {napari_unetseg: {model: x}}\n"}, "does not say which file is the model"),
        ({"cells.safetensors": None}, "does not hold cells.safetensors"),
    ],
)
def test_what_is_not_whole_is_told_in_one_line(package, tmp_path, change, said):
    content = {name: data for name, data in (content_of(package) | change).items() if data is not None}
    with pytest.raises(ModelError, match=said) as caught:
        import_model(write(tmp_path / "odd.zip", content), tmp_path / "m.safetensors")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "m.safetensors").exists()


def test_what_is_no_zip_or_is_cut_off_is_told(package, tmp_path):
    cut = tmp_path / "cut.zip"
    cut.write_bytes(package.read_bytes()[:-3000])
    (tmp_path / "text.zip").write_text("hello")
    for path in (cut, tmp_path / "text.zip", tmp_path / "missing.zip"):
        with pytest.raises(ModelError, match="is not a whole zip file"):
            read_model_file(path)


def test_a_file_that_is_larger_than_it_may_be_is_refused(package, monkeypatch):
    monkeypatch.setattr("napari_unetseg.core.models.bioimageio.MOST_MODEL", 1000)
    with pytest.raises(ModelError, match=r"cells\.safetensors is larger than"):
        read_model_file(package)


def test_a_start_to_learn_from_is_not_exported(tmp_path):
    path = random_model(tmp_path / "start.safetensors", 2, Normalisation())
    card = load_model(path).card.model_copy(update={"structures": ()})
    torch.manual_seed(0)
    save_model(path, Model(UNet(UNetSettings(2, 1, 1, widths=(4, 8))), card.model_copy(update=architecture(1))))
    with pytest.raises(ModelError, match="finds nothing by itself"):
        export_model(path, tmp_path / "m.zip")


def architecture(outputs: int) -> dict[str, object]:
    return {"architecture": UNetSettings(2, 1, outputs, widths=(4, 8)).to_json()}


def test_without_the_library_one_line_says_what_to_install(tmp_path, monkeypatch, tiny_model):
    monkeypatch.setitem(__import__("sys").modules, "bioimageio.spec", None)
    with pytest.raises(ResourceError, match=r'pip install "napari-unetseg\[zoo\]"'):
        export_model(tiny_model, tmp_path / "m.zip")
    assert not (tmp_path / "m.zip").exists()
