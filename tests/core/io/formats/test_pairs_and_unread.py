"""Images in two files, Analyze among them, and what is said of formats that are not read."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume
from napari_unetseg.errors import InputError
from support import Command

ARRAY = np.random.default_rng(1).integers(0, 3000, (7, 6, 5)).astype(np.int16)
"""In a file's order (i, j, k)."""


def nifti_pair(path: Path, affine: np.ndarray) -> Path:
    image = nib.Nifti1Pair(ARRAY, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def analyze(path: Path) -> Path:
    """As SPM of 1999 and FSL wrote it: voxels of 0.5 × 0.5 × 2."""
    image = nib.AnalyzeImage(ARRAY, None)
    image.header.set_zooms((0.5, 0.5, 2.0))
    nib.save(image, path)
    return path


@pytest.mark.parametrize("half", ["scan.hdr", "scan.img"])
def test_a_pair_is_read_by_either_half_as_its_single_file_is(tmp_path: Path, half: str) -> None:
    affine = np.array([[0, -1.5, 0, 10], [0.9, 0, 0.1, -20], [0.1, 0, 2, 30], [0, 0, 0, 1]])
    nifti_pair(tmp_path / "scan.img", affine)
    single = nib.Nifti1Image(ARRAY, affine)
    single.header.set_xyzt_units("mm")
    nib.save(single, tmp_path / "single.nii")
    pair, one = load_volume(tmp_path / half), load_volume(tmp_path / "single.nii")
    assert np.array_equal(pair.array, one.array)
    assert pair.grid == one.grid


@pytest.mark.filterwarnings("ignore:.*Analyze")
def test_analyze_is_read_with_its_sizes_and_a_note_on_what_it_does_not_say(tmp_path: Path) -> None:
    analyze(tmp_path / "old.img")
    found = inspect(tmp_path / "old.hdr")
    assert (found.format, found.shape, found.grid.spacing, found.grid.unit) == (
        "Analyze",
        (5, 6, 7),
        (2, 0.5, 0.5),
        "mm",
    )
    assert {note.code for note in found.notes} == {"orientation-assumed", "unit-assumed"}
    loaded = load_volume(tmp_path / "old.hdr")
    seen = nib.as_closest_canonical(nib.load(tmp_path / "old.hdr")).get_fdata()  # right, anterior, superior
    assert np.array_equal(loaded.array[0], seen[::-1, ::-1].T)
    assert load_labels(tmp_path / "old.img").array.max() == ARRAY.max()


def test_a_half_alone_and_an_envi_header_are_refused(tmp_path: Path) -> None:
    analyze(tmp_path / "old.img")
    (tmp_path / "old.img").unlink()
    with pytest.raises(InputError, match=r"one of two files; expected old\.img beside it"):
        load_volume(tmp_path / "old.hdr")
    (tmp_path / "sat.hdr").write_text("ENVI\nsamples = 3\n")
    (tmp_path / "sat.img").write_bytes(bytes(9))
    with pytest.raises(InputError, match="is an ENVI image"):
        load_volume(tmp_path / "sat.img")
    analyze(tmp_path / "cut.img")
    (tmp_path / "cut.img").write_bytes(bytes(20))
    with pytest.raises(InputError, match="declares 420 bytes of voxels"):
        load_volume(tmp_path / "cut.hdr")


def test_a_pair_in_a_folder_is_one_image(command: Command, tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "in").mkdir()
    nifti_pair(tmp_path / "in" / "a.img", np.diag([-1.0, -1, 1, 1]))
    nifti_pair(tmp_path / "in" / "b.img", np.diag([-1.0, -1, 1, 1]))
    record = command("segment", tmp_path / "in", "-o", tmp_path, "-m", tiny_model, "--json").json
    assert [Path(result["output"]).name for result in record["results"]] == ["a-labels.nii.gz", "b-labels.nii.gz"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cells.CZI", "save it as OME-TIFF"),
        ("cells.oir", "Bio-Formats"),
        ("cells.vsi", "bioformats2raw"),
        ("cells.ims", "save the image as OME-TIFF or OME-Zarr"),
        ("cells.h5", "HDF5"),
        ("tomogram.mrc", "mrc2tif"),
        ("brain.mgz", "mri_convert"),
    ],
)
def test_a_format_that_is_not_read_is_told_how_to_convert(
    command: Command, tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / name).write_bytes(b"\x89HDF" + bytes(200))
    done = command("info", tmp_path / name)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert words in done.err
