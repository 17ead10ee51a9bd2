"""Cards from anywhere: what no model can be is refused in one line, before a network is built of it."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unetseg.core.models.architecture import check_architecture, least_weights
from napari_unetseg.core.models.bioimageio import read_model_file
from napari_unetseg.core.models.catalogue import CARD_KEY, list_models, read_card
from napari_unetseg.errors import ModelError
from support import Command

NAN, INF = float("nan"), float("inf")
WRONG: list[tuple[str, object]] = [
    ("architecture.widths", [4.5, 8]),
    ("architecture.widths", [4, 2**31]),
    ("architecture.widths", [4, True]),
    ("architecture.widths", [0, 8]),
    ("architecture.widths", ["4", "8"]),
    ("architecture.widths", [4096] * 40),
    ("architecture.widths", [4000, 4000]),
    ("architecture.inputs", 2**31),
    ("architecture.inputs", 1.5),
    ("architecture.outputs", 2**31),
    ("architecture.kernels", [[2999, 2999, 2999], [3, 3, 3]]),
    ("architecture.kernels", [[3, 3, 3], [{}, 3, 3]]),
    ("architecture.kernels", [[None, 3, 3], [3, 3, 3]]),
    ("architecture.widths", [[4], 8]),
    ("architecture.dimensions", None),
    ("architecture.pools", [[2**20, 2, 2]]),
    ("architecture.dropout", NAN),
    ("architecture.dropout", 1e308),
    ("architecture.norm", "x" * 10_000),
    ("architecture.unheard", [[[[[[[[[[1]]]]]]]]]]),
    ("architecture", [1]),
    ("patch", [8, 16, 2**31]),
    ("patch", [8, 0, 16]),
    ("patch", [8, 16.5, 16]),
    ("halo", [-1, 4, 4]),
    ("minimum_object", -5),
    ("channels", []),
    ("normalisation", {"method": "window", "low": NAN, "high": 1}),
    ("normalisation", {"method": "window", "low": 255, "high": 0}),
    ("normalisation", {"method": "percentile", "low": -1, "high": 99}),
    ("voxel_size", {"spacing": [0, 1, 1], "unit": "um"}),
    ("voxel_size", {"spacing": [INF, 1, 1], "unit": "um"}),
    ("voxel_size", {"spacing": [1, 1, 1], "unit": "furlong"}),
    ("structures", [{"label": 1, "name": "a", "colour": "#000000", "channels": [0]}]),
    ("structures", [{"label": 1, "name": "a", "colour": "#000000", "channels": [2**31]}]),
    ("structures", [{"label": 1, "name": "a", "colour": "#000000", "channels": [1], "seed_channel": -1}]),
    ("cleanup", [{"kind": "smooth", "radius": 1e308}]),
    ("scores", [{"held_out": "x", "structure": "a", "metric": "Dice", "value": NAN, "images": 1}]),
]


def with_field(model: Path, place: str, value: object) -> Path:
    """A copy of a model file, with one value of its card changed."""
    content = model.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    card = json.loads(header["__metadata__"][CARD_KEY])
    *path, last = place.split(".")
    inner: Any = card
    for step in path:
        inner = inner[step]
    inner[last] = value
    header["__metadata__"][CARD_KEY] = json.dumps(card)
    new = json.dumps(header).encode()
    changed = model.with_name("changed.safetensors")
    changed.write_bytes(len(new).to_bytes(8, "little") + new + content[8 + length :])
    return changed


@pytest.mark.parametrize(("place", "value"), WRONG, ids=lambda part: str(part)[:40])
def test_a_card_with_an_impossible_field_is_refused_by_its_name(
    command: Command, tiny_model: Path, tmp_path: Path, place: str, value: object
) -> None:
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((4, 8, 8), np.uint8), photometric="minisblack")
    model = with_field(tiny_model, place, value)
    for arguments in (["info", model], ["segment", tmp_path / "image.tif", "-m", model, "-o", tmp_path / "out.tif"]):
        outcome = command(*arguments)
        assert outcome.code == 2, outcome
        assert outcome.err.count("\n") == 1
        assert "changed.safetensors" in outcome.err
    assert not (tmp_path / "out.tif").exists()


def test_an_unchanged_card_is_read(tiny_model: Path) -> None:
    assert read_card(with_field(tiny_model, "title", "Other")).title == "Other"


def test_a_card_of_a_larger_network_than_the_file_holds_is_refused_before_it_is_built(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="does not hold the weights"):
        read_card(with_field(tiny_model, "architecture.widths", [1024, 2048]))


def test_weights_are_counted_by_hand() -> None:
    assert least_weights({"dimensions": 2, "widths": [4, 8, 16]}) == 9 * (4 * 8 + 8 * 16)
    assert least_weights({"dimensions": 3, "widths": [4, 8], "kernels": [[3, 3, 3], [1, 3, 3]]}) == 9 * 4 * 8
    assert least_weights({"kind": "other"}) == 0
    assert least_weights({}) == 0


def test_every_bundled_architecture_passes_and_fields_of_other_kinds_do_too() -> None:
    for card in list_models():
        assert check_architecture(card.architecture) == card.architecture
    other = {"kind": "other", "blocks": [1, 2.5, "gelu", None, True], "inner": {"widths": [8, 16]}}
    assert check_architecture(other) == other


@pytest.mark.parametrize("date", ["2026-13-45", "2026-02-30", "0000-00-00", "2026-01-01T99:00:00Z"])
def test_a_package_with_a_date_that_cannot_be_is_refused(command: Command, tmp_path: Path, date: str) -> None:
    package = tmp_path / "package.zip"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("rdf.yaml", f"type: model\ntimestamp: {date}\n")
    with pytest.raises(ModelError, match="not YAML"):
        read_model_file(package)
    outcome = command("import-model", package, "-o", tmp_path / "out.safetensors")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)


def test_a_model_of_another_name_is_the_same_model(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_model, tmp_path / "copy.safetensors")
    assert read_card(tmp_path / "copy.safetensors") == read_card(tiny_model)
