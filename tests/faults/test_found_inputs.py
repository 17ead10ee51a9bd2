"""Inputs that mutation has found, each standing for its kind: refused in one line, where they enter."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from napari_unetseg.core.annotations.journal import read_journal
from napari_unetseg.core.annotations.journal_writer import Journal
from napari_unetseg.core.annotations.sparse_labels import HIGHEST, check_painted, to_classes
from napari_unetseg.core.models.bioimageio import read_model_file
from napari_unetseg.engine.networks.model_file import Model, load_model, save_model
from napari_unetseg.errors import InputError, ModelError
from support import Command, threshold_model

LONG = "a" * 300


@pytest.mark.parametrize("value", [HIGHEST + 1, 40_000, 2**31, 2**63 - 1])
def test_painted_values_that_no_network_has_outputs_for(value: int) -> None:
    painted = np.ones((1, 4, 4), np.int64)
    painted[0, 0, 0] = value
    with pytest.raises(InputError, match=f"up to {HIGHEST}; got {value}"):
        check_painted([painted], [painted.shape])


def test_the_largest_painted_value_is_a_class_of_its_own() -> None:
    painted = np.array([[[0, 1, HIGHEST]]])
    check_painted([painted], [painted.shape])
    assert to_classes(painted).astype(np.int8).tolist() == [[[-1, 0, HIGHEST - 1]]]


IN_LITTLE_MEMORY = """
import resource, sys
from napari_unetseg.cli import main
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
main(["info", sys.argv[1]])
"""


LOADED_IN_LITTLE_MEMORY = IN_LITTLE_MEMORY.replace('"info", sys.argv[1]', '"measure", sys.argv[1]')


@pytest.mark.parametrize(
    ("element", "script"),
    [("20000e00", IN_LITTLE_MEMORY), ("29001010", LOADED_IN_LITTLE_MEMORY)],
    ids=["that is asked for", "that is skipped until the pixels are read"],
)
def test_a_dicom_element_that_declares_gigabytes(element: str, script: str, tmp_path: Path) -> None:
    image, path = pydicom.Dataset(), tmp_path / "image.dcm"
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID, image.file_meta.MediaStorageSOPInstanceUID = CTImageStorage, "1.2.3"
    image.SOPClassUID, image.SOPInstanceUID, image.SeriesInstanceUID = CTImageStorage, "1.2.3", "1.2.3.4"
    image.Rows = image.Columns = 4
    image.SamplesPerPixel, image.BitsAllocated, image.BitsStored, image.HighBit = 1, 8, 8, 7
    image.PixelRepresentation, image.PhotometricInterpretation = 0, "MONOCHROME2"
    image.add_new(0x00291010, "LO", "private")
    image.PixelData = bytes(16)
    image.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    place = content.index(bytes.fromhex(element)) + 4  # its length
    path.write_bytes(content[:place] + (2**32 - 16).to_bytes(4, "little") + content[place + 4 :])
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout
    assert done.stderr.strip().count("\n") == 0, done.stderr
    assert "a DICOM element declares more than the memory holds" in done.stderr


@pytest.mark.parametrize("count", ["-1I", "0", "99", "", "-2147483648"])
def test_a_metaimage_of_a_number_of_axes_that_no_image_has(tmp_path: Path, count: str) -> None:
    path = tmp_path / "a.mha"
    path.write_text(f"ObjectType = Image\nNDims = {count}\nElementSpacing = 0.5 0\nElementDataFile = LOCAL\n")
    done = subprocess.run([sys.executable, "-c", IN_LITTLE_MEMORY, path], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "axes" in done.stderr


def test_a_name_of_a_structure_that_is_empty_is_no_name(tmp_path: Path) -> None:
    path = tmp_path / "a.paint"
    with Journal(path, (1, 2, 2)) as journal:
        journal.write_note({"structures": {"2": "cell"}})
        journal.write_note({"structures": {"2": ""}})
    with pytest.warns(UserWarning, match="1 records mean nothing"):
        assert read_journal(path).note == {"structures": {"2": "cell"}}


def test_cores_in_an_output_that_the_structure_does_not_have(tmp_path: Path) -> None:
    threshold_model(tmp_path / "model.safetensors", objects=True)
    model = load_model(tmp_path / "model.safetensors")
    (structure,) = model.card.structures
    wrong = structure.model_copy(update={"seed_channel": 999})
    save_model(
        tmp_path / "wrong.safetensors", Model(model.network, model.card.model_copy(update={"structures": (wrong,)}))
    )
    with pytest.raises(ModelError, match="output 999, which is none of its"):
        load_model(tmp_path / "wrong.safetensors")


def test_a_package_with_a_file_that_has_no_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"")
    with pytest.raises(ModelError, match="not to be trusted"):
        read_model_file(tmp_path / "p.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_package_whose_compressed_bytes_are_damaged(tmp_path: Path, method: int) -> None:
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("rdf.yaml", "type: model\n" * 50)
    content = bytearray(path.read_bytes())
    content[45:60] = bytes(b ^ 255 for b in content[45:60])
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"p\.zip"):
        read_model_file(path)


@pytest.mark.parametrize(
    "words",
    [
        ("info", f"{LONG}.tif"),
        ("info", f"{LONG}.safetensors"),
        ("segment", f"{LONG}.tif", "-o", "a.tif"),
        ("segment", "a.tif", "-o", f"{LONG}.tif"),
        ("models", LONG),
        ("clean", f"{LONG}.tif", "-o", "a.tif", "--step", "renumber"),
        ("evaluate", f"{LONG}.tif", f"{LONG}.nii"),
        ("measure", f"{LONG}.tif"),
        ("import-model", f"{LONG}.zip", "-o", "a.safetensors"),
        ("export", LONG, "-o", "a.zip"),
        ("finetune", "--session", f"{LONG}.session.json", "-o", "a.safetensors"),
    ],
    ids=lambda words: words[0],
)
def test_a_name_that_is_longer_than_any(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = command(*words)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
