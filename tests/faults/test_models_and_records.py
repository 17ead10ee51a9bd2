"""Faults 16, 18, 20 and 38: what must not leak, must not be executed, and records that are damaged."""

import json
import pickle
import struct

import numpy as np
import pytest
import tifffile

from napari_unetseg.core.io.cache import user_cache


class Bomb:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors", "model.zip"])
def test_fault_18_a_pickle_called_a_model_is_not_executed(command, tmp_path, name):
    image, bomb, ran = tmp_path / "image.tif", tmp_path / name, tmp_path / "ran"
    tifffile.imwrite(image, np.zeros((8, 8), np.uint8), photometric="minisblack")
    bomb.write_bytes(pickle.dumps(Bomb(ran)))
    for words in (
        ("segment", image, "-o", tmp_path / "out.tif", "-m", bomb),
        ("info", bomb),
        ("import-model", bomb, "-o", tmp_path / "taken.safetensors"),
    ):
        outcome = command(*words)
        assert outcome.code == 2
        assert outcome.err.strip().count("\n") == 0
    assert not ran.exists()
    assert not (tmp_path / "out.tif").exists()


def with_header(path, change):
    """Rewrite the header of a safetensors file (its length in 8 bytes, then JSON)."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header)
    packed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + content[8 + length :])


def one_channel_more(header):
    card = json.loads(header["__metadata__"]["unetseg_card"])
    card["architecture"]["inputs"] = 2
    card["channels"] = ["one", "two"]
    header["__metadata__"]["unetseg_card"] = json.dumps(card)


@pytest.mark.parametrize("fault", ["cut", "empty", "another hash", "other channels"])
def test_fault_20_a_model_file_that_is_damaged(command, tmp_path, tiny_model, fault):
    image = tmp_path / "image.tif"
    tifffile.imwrite(image, np.zeros((8, 16, 16), np.uint8), photometric="minisblack", metadata={"axes": "ZYX"})
    if fault == "other channels":
        with_header(tiny_model, one_channel_more)
    else:
        content = tiny_model.read_bytes()
        changed = content[:-1] + bytes([content[-1] ^ 1])
        tiny_model.write_bytes({"cut": content[:-50], "empty": b"", "another hash": changed}[fault])
    outcome = command("segment", image, "-o", tmp_path / "out.tif", "-m", tiny_model)
    if fault == "another hash" and outcome.code == 0:
        pytest.fail("a model whose weights are not those that were saved was used")
    assert outcome.code == 2
    assert outcome.err.strip().count("\n") == 0
    assert not (tmp_path / "out.tif").exists()


def test_fault_38_a_damaged_cache_is_made_anew():
    cache = user_cache()
    cache.write("faults", "question", b"answer")
    assert cache.read("faults", "question") == b"answer"
    for file in cache.folder.rglob("*"):
        if file.is_file() and "faults" in str(file):
            file.write_bytes(b"\xff" * 7)
    assert cache.read("faults", "question") in (None, b"answer")
    cache.write("faults", "question", b"answer")
    assert cache.read("faults", "question") == b"answer"
