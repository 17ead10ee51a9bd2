"""Folders as inputs: results of former runs are no images, names are of any kind, and no two share a result."""

from __future__ import annotations

import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unetseg.core.io.loadsave import load_labels, load_volume, save_labels, save_volume
from napari_unetseg.core.volume import Labels, Structure
from support import Command

BRIGHT = np.zeros((4, 40, 40), np.uint8)
BRIGHT[:, :20] = 255


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two stacks: a TIFF and a NIfTI."""
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", BRIGHT, photometric="minisblack")
    nib.save(nib.Nifti1Image(BRIGHT.T, np.diag([-1.0, -1, 1, 1])), folder / "b.nii.gz")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def left_out(record: dict) -> list[str]:
    return [note["text"] for note in record["notes"] if note["code"] == "results-left-out"]


def test_a_folder_segmented_into_itself_is_segmented_again(folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    """By the program as it is started: the same files come out, and nothing is made of labels."""
    command = [sys.executable, "-m", "napari_unetseg", "segment", folder, "-m", tiny_model, "-o"]
    for target in (folder, folder, tmp_path):
        done = subprocess.run([*map(str, command), str(target)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert names(folder) == ["a-labels.ome.tif", "a.tif", "b-labels.nii.gz", "b.nii.gz"]
    assert "a-labels.ome.tif" in names(tmp_path)
    assert "note: 2 results of former runs are left out: a-labels.ome.tif, b-labels.nii.gz." in done.stderr


def test_the_record_decides_and_not_the_name(command: Command, folder: Path, tiny_model: Path) -> None:
    shutil.copy(folder / "a.tif", folder / "c-labels.tif")
    save_labels(
        folder / "photo.ome.tif", Labels(BRIGHT, structures=(Structure(label=255, name="x", colour="#ff0000"),))
    )
    out = folder.parent / "out"
    out.mkdir()
    record = command("segment", folder, "-o", out, "-m", tiny_model, "--json").json
    assert names(out) == ["a-labels.ome.tif", "b-labels.nii.gz", "c-labels-labels.ome.tif"]
    assert left_out(record) == ["A result of a former run is left out: photo.ome.tif. Name a file to take it."]


def test_probabilities_are_no_images_and_images_that_were_saved_here_are(
    command: Command, folder: Path, tiny_model: Path
) -> None:
    command("segment", folder, "-o", folder, "-m", tiny_model, "--write", "probabilities")
    save_volume(folder / "c.ome.zarr", load_volume(folder / "a.tif"))
    record = command("segment", folder, "-o", folder, "-m", tiny_model, "--json").json
    assert [Path(result["output"]).name for result in record["results"]] == [
        "a-labels.ome.tif",
        "b-labels.nii.gz",
        "c-labels.ome.zarr",
    ]
    assert "a-probabilities.ome.tif, b-probabilities.nii.gz" in left_out(record)[0]


def test_what_is_named_is_taken_and_a_folder_of_results_alone_is_refused(
    command: Command, folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    command("segment", folder, "-o", folder, "-m", tiny_model)
    (folder / "a.tif").unlink()
    (folder / "b.nii.gz").unlink()
    refused = command("segment", folder, "-o", tmp_path, "-m", tiny_model)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "holds labels and probabilities alone; expected images" in refused.err
    named = command("segment", folder / "a-labels.ome.tif", "-o", tmp_path / "x.ome.tif", "-m", tiny_model)
    assert named.code == 0


def test_a_run_of_one_image_says_in_its_record_what_was_left_out(
    command: Command, folder: Path, tiny_model: Path
) -> None:
    (folder / "b.nii.gz").unlink()
    command("segment", folder, "-o", folder, "-m", tiny_model)
    record = command("segment", folder, "-o", folder, "-m", tiny_model, "--json").json
    assert left_out(record) == ["A result of a former run is left out: a-labels.ome.tif. Name a file to take it."]
    hidden = command("segment", folder, "-o", folder.parent, "-m", tiny_model, "--anonymous", "--json")
    assert "a-labels" not in hidden.out + hidden.err


@pytest.mark.parametrize(
    "name", ["ядро клетки", "細胞 3", unicodedata.normalize("NFD", "Zellkörper ä"), "a" * 240, "ü" * 118, "x.y.z (1)"]
)
def test_names_of_any_kind_go_through(command: Command, tiny_model: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    tifffile.imwrite(tmp_path / "in" / f"{name}.tif", BRIGHT, photometric="minisblack")
    done = command("segment", tmp_path / "in", "-o", tmp_path / "out", "-m", tiny_model)
    if len(f"{name}-labels.ome.tif".encode()) > 255:
        assert done.code == 2
        assert "too long" in done.err
        assert names(tmp_path / "out") == []
        return
    assert done.code == 0, done.err
    assert names(tmp_path / "out") == [f"{name}-labels.ome.tif"]
    assert load_labels(tmp_path / "out" / f"{name}-labels.ome.tif").array.max() == 1


def test_two_images_never_share_a_result(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    """One stem in two formats, in two folders, and once composed and once decomposed."""
    for where in ("one", "two", "out"):
        (tmp_path / where).mkdir()
        tifffile.imwrite(tmp_path / where / "a.tif", BRIGHT, photometric="minisblack")
    Image.fromarray(BRIGHT[0]).save(tmp_path / "one" / "a.png")
    out = tmp_path / "out"
    three = tmp_path / "three"
    three.mkdir()
    for form in ("NFC", "NFD"):
        shutil.copy(out / "a.tif", three / unicodedata.normalize(form, "ä.tif"))
    for inputs in ([tmp_path / "one"], [tmp_path / "two", out], [three]):
        done = command("segment", *inputs, "-o", out, "-m", tiny_model)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "2 images would all be written to" in done.err
        assert names(out) == ["a.tif"]
