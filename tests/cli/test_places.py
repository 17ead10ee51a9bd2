"""Labels at another place are not scored, cleaned or learned from voxel by voxel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
import zarr

from napari_unetseg.core.grid import Grid, ScannerFrame
from napari_unetseg.core.io.loadsave import load_labels, save_labels
from napari_unetseg.core.volume import Labels
from support import Command, Outcome

BLOCK = np.zeros((6, 16, 20), np.uint8)
BLOCK[1:5, 4:12, 5:15] = 1
STRAIGHT = np.diag([-0.5, -0.5, 2.0, 1])
"""Index (i, j, k) of a NIfTI to (right, anterior, superior): i to the left, j to posterior."""


def program(*arguments: object) -> Outcome:
    command = [sys.executable, "-m", "napari_unetseg", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def nifti(path: Path, affine: np.ndarray, array: np.ndarray = BLOCK) -> Path:
    """An array (z, y, x) as a file of order (x, y, z)."""
    image = nib.Nifti1Image(array.T, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def moved(affine: np.ndarray, *voxels: float) -> np.ndarray:
    return affine @ nib.affines.from_matvec(np.eye(3), voxels)


def turned(degrees: float) -> np.ndarray:
    return nib.affines.from_matvec(nib.eulerangles.euler2mat(z=np.deg2rad(degrees))) @ STRAIGHT


def ome_zarr(path: Path, translation: list[float] | None) -> Path:
    """An OME-Zarr 0.4 of 2 × 0.5 × 0.5 µm, as another program writes it."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=BLOCK)
    transforms = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    if translation:
        transforms.append({"type": "translation", "translation": translation})
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    dataset = {"path": "0", "coordinateTransformations": transforms}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    return path


def refused(outcome: Outcome, *words: str) -> None:
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome
    assert all(word in outcome.err for word in words), outcome.err


def test_zarrs_apart_are_refused_and_those_that_round_are_one(tmp_path: Path) -> None:
    here, there = ome_zarr(tmp_path / "here.zarr", None), ome_zarr(tmp_path / "there.zarr", [0.0, 3.0, 5.5])
    near = ome_zarr(tmp_path / "near.zarr", [0.0, 0.1, 0.2])
    refused(program("evaluate", here, there), "positions (µm) differ", "(0, 0, 0) and (0, 3, 5.5)", "11 voxels apart")
    assert program("evaluate", here, near, "--json").json["mean_dice"] == 1


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (moved(STRAIGHT, 2, 0, 0), "positions (mm) differ: (0, 0, 0) and (0, 0, 1)"),
        (moved(STRAIGHT, 0, 0, -1), "positions (mm) differ: (0, 0, 0) and (-2, 0, 0)"),
        (
            turned(12),
            "orientations differ: z (1, 0, 0), y (0, 1, 0), x (0, 0, 1) and z (1, 0, 0), y (0, 0.978, -0.208)",
        ),
    ],
)
def test_niftis_apart_are_refused(command: Command, tmp_path: Path, affine: np.ndarray, words: str) -> None:
    one, other = nifti(tmp_path / "one.nii.gz", STRAIGHT), nifti(tmp_path / "other.nii.gz", affine)
    refused(command("evaluate", one, other), words)


def test_a_file_in_another_voxel_order_is_scored_where_it_lies(command: Command, tmp_path: Path) -> None:
    """Flipped and permuted files are of the same place: the voxels are brought into one order."""
    one = nifti(tmp_path / "one.nii.gz", STRAIGHT)
    transform = nib.orientations.ornt_transform(
        nib.io_orientation(STRAIGHT), nib.orientations.axcodes2ornt(("A", "R", "I"))
    )
    image = nib.load(one).as_reoriented(transform)
    assert image.shape != nib.load(one).shape
    nib.save(image, tmp_path / "other.nii.gz")
    assert command("evaluate", one, tmp_path / "other.nii.gz", "--json").json["mean_dice"] == 1


def test_an_nrrd_is_held_against_a_nifti(command: Command, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(BLOCK)
    image.SetSpacing((0.5, 0.5, 2.0))
    sitk.WriteImage(image, tmp_path / "here.nrrd")
    image.SetOrigin((0.0, 4.0, 0.0))
    sitk.WriteImage(image, tmp_path / "there.nrrd")
    reference = nifti(tmp_path / "reference.nii.gz", STRAIGHT)
    assert command("evaluate", tmp_path / "here.nrrd", reference, "--json").json["mean_dice"] == 1
    refused(command("evaluate", tmp_path / "there.nrrd", reference), "positions (mm) differ: (0, 4, 0) and (0, 0, 0)")


def test_a_tiff_has_no_place_and_a_note_says_so_where_it_matters(command: Command, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mask.tif", BLOCK, photometric="minisblack")
    tifffile.imwrite(tmp_path / "copy.tif", BLOCK, photometric="minisblack")
    reference = nifti(tmp_path / "reference.nii.gz", moved(STRAIGHT, 7, 0, 0))
    done = command("evaluate", tmp_path / "mask.tif", reference, "--json")
    assert done.code == 0
    (note,) = [note for note in json.loads(done.out)["notes"] if note["code"] == "place-unknown"]
    assert note["text"] == "mask does not say where it lies, so its place was not compared with that of reference."
    assert done.err.count("does not say where it lies") == 1
    assert "place" not in command("evaluate", tmp_path / "mask.tif", tmp_path / "copy.tif", "--json").out


def test_cleaning_and_learning_want_the_image_at_the_place(command: Command, tmp_path: Path, tiny_model: Path) -> None:
    labels = nifti(tmp_path / "labels.nii.gz", STRAIGHT)
    image = nifti(tmp_path / "image.nii.gz", moved(STRAIGHT, 0, 3, 0), BLOCK * 200)
    paint = nifti(tmp_path / "paint.nii.gz", STRAIGHT, BLOCK + 1)
    words = "positions (mm) differ: ", "3 voxels apart"
    refused(command("clean", labels, "-o", tmp_path / "c.nii.gz", "--step", "crf", "--image", image), *words)
    refused(command("measure", labels, "--image", image), *words)
    refused(command("finetune", image, "--painted", paint, "-o", tmp_path / "m.safetensors", "-m", tiny_model), *words)
    assert not (tmp_path / "c.nii.gz").exists()
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("name", ["turned.nii.gz", "turned.nrrd"])
def test_a_sheared_and_turned_grid_is_written_as_it_lies(tmp_path: Path, name: str) -> None:
    affine = np.array([[0.1, -0.4, -0.9, 3], [0, -0.9, 0.4, 4], [2, 0, 0.3, 5], [0, 0, 0, 1]])
    frame = ScannerFrame(tuple(map(tuple, affine.tolist())), ("L", "P", "S"))
    spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist())
    save_labels(tmp_path / name, Labels(BLOCK, Grid(spacing, "mm", scanner=frame)))
    if name.endswith("nrrd"):
        corner = np.array(sitk.ReadImage(tmp_path / name).TransformIndexToPhysicalPoint((19, 15, 5))) * (-1, -1, 1)
    else:  # SimpleITK refuses a NIfTI with a shear
        corner = nib.affines.apply_affine(nib.load(tmp_path / name).affine, (19, 15, 5))
    assert np.allclose(corner, (affine @ [5, 15, 19, 1])[:3], atol=1e-4)


def test_a_format_that_holds_no_orientation_says_so(tmp_path: Path) -> None:
    frame = ScannerFrame(tuple(map(tuple, (turned(30)[:, [2, 1, 0, 3]]).tolist())), ("L", "P", "S"))
    labels = Labels(BLOCK, Grid((2.0, 0.5, 0.5), "mm", scanner=frame))
    for name in ("turned.ome.tif", "turned.ome.zarr"):
        with pytest.warns(UserWarning, match=f"{name}: other programs will not see that it is turned"):
            save_labels(tmp_path / name, labels)
        assert load_labels(tmp_path / name).grid.scanner == frame
