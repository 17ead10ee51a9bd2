"""Whatever is wrong with the input: exit code 2, one line that says so, and nothing left behind."""

import gzip
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import zarr

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.io.loadsave import load_labels, save_labels, save_volume
from napari_unetseg.core.volume import Labels, Volume
from support import Command, ModelMaker, Outcome, full_disk

Maker = Callable[[Path], Path]


def noise(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def missing(folder: Path) -> Path:
    return folder / "missing.tif"


def empty(folder: Path) -> Path:
    path = folder / "empty.tif"
    path.touch()
    return path


def text_called_tif(folder: Path) -> Path:
    path = folder / "text.tif"
    path.write_text("Dear colleague, please find the stack attached.")
    return path


def cut_tiff(folder: Path, compression: str | None = None) -> Path:
    path = folder / "cut.tif"
    tifffile.imwrite(path, noise(8, 64, 64), compression=compression)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def cut_compressed_tiff(folder: Path) -> Path:
    return cut_tiff(folder, "zlib")


def huge_tiff(folder: Path) -> Path:
    path = folder / "huge.tif"
    tifffile.imwrite(path, noise(16, 16), photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[name].overwrite(200_000)
    return path


def cut_nifti(folder: Path) -> Path:
    path = folder / "cut.nii.gz"
    nibabel.save(nibabel.Nifti1Image(noise(32, 32, 32), np.eye(4)), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def nifti_with_a_short_body(folder: Path) -> Path:
    whole, path = folder / "whole.nii", folder / "short.nii.gz"
    nibabel.save(nibabel.Nifti1Image(noise(32, 32, 32), np.eye(4)), whole)
    path.write_bytes(gzip.compress(whole.read_bytes()[:10_000]))
    whole.unlink()
    return path


def two_channels(folder: Path) -> Path:
    path = folder / "two.ome.tif"
    tifffile.imwrite(path, noise(8, 2, 16, 16), ome=True, metadata={"axes": "ZCYX"})
    return path


def flat_image(folder: Path) -> Path:
    path = folder / "flat.tif"
    tifffile.imwrite(path, noise(32, 32))
    return path


def empty_folder(folder: Path) -> Path:
    path = folder / "nothing"
    path.mkdir()
    return path


def zarr_image(folder: Path) -> Path:
    path = folder / "image.ome.zarr"
    save_volume(path, Volume(noise(1, 8, 64, 64)))
    return path


def chunks(path: Path) -> list[Path]:
    array = next(array for _, array in zarr.open_group(path, mode="r").arrays())
    return sorted(file for file in (path / array.path).rglob("*") if file.is_file() and file.suffix != ".json")


def zarr_without_chunks(folder: Path) -> Path:
    path = zarr_image(folder)
    for chunk in chunks(path):
        chunk.unlink()
    return path


def zarr_with_a_broken_chunk(folder: Path) -> Path:
    path = zarr_image(folder)
    chunk = chunks(path)[0]
    chunk.write_bytes(chunk.read_bytes()[:20])
    return path


def refused(outcome: Outcome, *words: str) -> None:
    """The command failed with one line that has these words."""
    assert outcome.code == 2, outcome
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A good image."""
    folder = tmp_path / "source"
    folder.mkdir()
    tifffile.imwrite(folder / "noise.tif", noise(8, 40, 40), photometric="minisblack")
    return folder / "noise.tif"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An empty folder to write to."""
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (missing, "no file or folder"),
        (empty, "empty"),
        (text_called_tif, "TIFF"),
        (cut_tiff, "cut.tif"),
        (cut_compressed_tiff, "cut.tif"),
        (huge_tiff, "huge.tif"),
        (cut_nifti, "cut.nii.gz"),
        (nifti_with_a_short_body, "short.nii.gz"),
        (two_channels, "channel"),
        (flat_image, "2D"),
        (empty_folder, "empty"),
        (zarr_without_chunks, "image.ome.zarr"),
        (zarr_with_a_broken_chunk, "image.ome.zarr"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_image_that_cannot_be_segmented(
    command: Command, tmp_path: Path, tiny_model: Path, results: Path, make: Maker, word: str
) -> None:
    refused(command("segment", make(tmp_path), "-o", results / "out.ome.tif", "-m", tiny_model), word)
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("make", [missing, empty, text_called_tif, cut_compressed_tiff])
def test_info_about_what_cannot_be_read(command: Command, tmp_path: Path, make: Maker) -> None:
    outcome = command("info", make(tmp_path))
    refused(outcome)
    assert outcome.out == ""


def test_info_tells_a_whole_header_though_the_rest_is_cut_off(command: Command, tmp_path: Path) -> None:
    outcome = command("info", cut_nifti(tmp_path))
    assert outcome.code == 0
    assert "NIfTI" in outcome.out


def cut_model(folder: Path, model: Path) -> Path:
    path = folder / "cut.safetensors"
    path.write_bytes(model.read_bytes()[:-100])
    return path


def misshapen_model(folder: Path, model: Path) -> Path:
    """The card declares other widths than the weights have."""
    path = folder / "misshapen.safetensors"
    path.write_bytes(model.read_bytes().replace(rb"\"widths\":[4,8]", rb"\"widths\":[8,4]"))
    return path


def text_model(folder: Path, model: Path) -> Path:
    path = folder / "text.safetensors"
    path.write_text("not a model at all")
    return path


def empty_model(folder: Path, model: Path) -> Path:
    path = folder / "empty.safetensors"
    path.touch()
    return path


@pytest.mark.parametrize("make", [cut_model, misshapen_model, text_model, empty_model])
def test_a_model_file_that_is_damaged(
    command: Command, source: Path, tmp_path: Path, tiny_model: Path, results: Path, make: Callable[[Path, Path], Path]
) -> None:
    damaged = make(tmp_path, tiny_model)
    refused(command("segment", source, "-o", results / "out.tif", "-m", damaged), damaged.name)
    assert list(results.iterdir()) == []


class Malice:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_a_pickle_is_never_executed(command: Command, source: Path, tmp_path: Path, results: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Malice(tmp_path / "executed")))
    refused(command("segment", source, "-o", results / "out.tif", "-m", tmp_path / name), "pickle")
    refused(command("info", tmp_path / name))
    assert not (tmp_path / "executed").exists()
    assert list(results.iterdir()) == []


def test_a_model_that_is_not_there(command: Command, source: Path, results: Path) -> None:
    refused(command("segment", source, "-o", results / "out.tif", "-m", "nuclei-4d"), "nuclei-4d")
    assert list(results.iterdir()) == []


def test_an_output_folder_that_is_missing(command: Command, source: Path, tiny_model: Path, tmp_path: Path) -> None:
    refused(command("segment", source, "-o", tmp_path / "nowhere" / "out.tif", "-m", tiny_model), "Make it first")
    assert not (tmp_path / "nowhere").exists()


def test_an_output_folder_that_is_read_only(command: Command, source: Path, tiny_model: Path, results: Path) -> None:
    results.chmod(0o500)
    folder = Path("/sys") if os.access(results, os.W_OK) else results  # root may write to any folder but to this one
    refused(command("segment", source, "-o", folder / "out.tif", "-m", tiny_model), "cannot be written to")
    assert not (folder / "out.tif").exists()


@pytest.mark.parametrize("name", ["out.tif", "out.nii.gz", "out.ome.zarr", "out.nrrd"])
def test_a_disk_that_is_full(command: Command, source: Path, tiny_model: Path, results: Path, name: str) -> None:
    with full_disk(200):
        outcome = command("segment", source, "-o", results / name, "-m", tiny_model)
    refused(outcome, "cannot be written")
    assert list(results.iterdir()) == []


def test_a_failed_write_keeps_the_older_file(command: Command, source: Path, tiny_model: Path, results: Path) -> None:
    target = results / "out.tif"
    target.write_bytes(b"the older result")
    with full_disk(200):
        outcome = command("segment", source, "-o", target, "-m", tiny_model)
    refused(outcome)
    assert target.read_bytes() == b"the older result"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--spacing", "1,2"], None),
        (["--spacing", "0,1,1"], "above 0"),
        (["--spacing", "nan,1,1"], "Z,Y,X"),
        (["--spacing", "thick"], "Z,Y,X"),
        (["--unit", "furlong"], "furlong"),
        (["--device", "abacus"], "abacus"),
        (["--write", "poetry"], "poetry"),
        (["--smallest", "-1"], "smallest"),
        (["--channel", "7"], "channel"),
        (["--channel", "red"], "red"),
        (["--time", "3"], "time point"),
        (["--level", "2"], "level"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_options_that_make_no_sense(
    command: Command, source: Path, tiny_model: Path, results: Path, arguments: list[str], word: str | None
) -> None:
    outcome = command("segment", source, "-o", results / "out.tif", "-m", tiny_model, *arguments)
    if word is None:  # two numbers are y and x
        assert outcome.code == 0
    else:
        refused(outcome, word)
        assert list(results.iterdir()) == []


def test_a_target_of_an_unknown_format(command: Command, source: Path, tiny_model: Path, results: Path) -> None:
    refused(command("segment", source, "-o", results / "out.docx", "-m", tiny_model), ".docx")
    assert list(results.iterdir()) == []


def test_an_input_is_never_replaced(command: Command, source: Path, tiny_model: Path) -> None:
    before = source.read_bytes()
    refused(command("segment", source, "-o", source, "-m", tiny_model), "would be replaced")
    assert source.read_bytes() == before


def test_one_bad_file_of_many_does_not_stop_the_others(
    command: Command, source: Path, tiny_model: Path, results: Path
) -> None:
    shutil.copy(source, source.parent / "also.tif")
    empty(source.parent)
    outcome = command("segment", source.parent, "-o", results, "-m", tiny_model, "--json")
    refused(outcome, "empty.tif")
    assert sorted(path.name for path in results.iterdir()) == ["also-labels.ome.tif", "noise-labels.ome.tif"]
    assert [Path(failure["input"]).name for failure in outcome.json["failures"]] == ["empty.tif"]


@pytest.mark.parametrize("affine", [np.full((4, 4), np.nan), np.zeros((4, 4))], ids=["not a number", "singular"])
def test_an_affine_that_means_nothing_is_told_and_taken_as_unit_spacing(
    command: Command, tiny_model: Path, tmp_path: Path, affine: npt.NDArray[np.float64]
) -> None:
    image = nibabel.Nifti1Image(noise(16, 16, 16), np.eye(4))
    image.header.set_sform(affine, code=1)
    image.header.set_qform(None, code=0)
    image.header["srow_x"], image.header["srow_y"], image.header["srow_z"] = affine[:3]
    nibabel.save(nibabel.Nifti1Image(image.dataobj, None, image.header), tmp_path / "odd.nii.gz")
    outcome = command("segment", tmp_path / "odd.nii.gz", "-o", tmp_path / "out.nii.gz", "-m", tiny_model)
    assert outcome.code == 0, outcome.err
    assert outcome.err.startswith("note: ")
    assert load_labels(tmp_path / "out.nii.gz").grid.spacing == (1, 1, 1)


def test_voxels_that_are_not_finite_are_told_and_do_not_spread(
    command: Command, tiny_model: Path, tmp_path: Path
) -> None:
    image = np.zeros((8, 16, 16), np.float32)
    image[:, 8:] = 255
    image[2, 2, 2], image[5, 3, 3] = np.nan, np.inf
    tifffile.imwrite(tmp_path / "holes.tif", image, photometric="minisblack")
    outcome = command("segment", tmp_path / "holes.tif", "-o", tmp_path / "out.tif", "-m", tiny_model)
    assert outcome.code == 0, outcome.err
    assert "2" in outcome.err
    assert "finite" in outcome.err
    labels = load_labels(tmp_path / "out.tif").array
    right = image > 127
    right[5, 3, 3] = False
    elsewhere = np.isfinite(image)
    assert np.array_equal(labels[elsewhere], right[elsewhere])


@pytest.mark.parametrize(("value", "label"), [(0, 0), (100, 0), (200, 1)])
def test_a_constant_image_is_one_label(
    command: Command, tiny_model: Path, tmp_path: Path, value: int, label: int
) -> None:
    tifffile.imwrite(tmp_path / "constant.tif", np.full((6, 20, 20), value, np.uint8), photometric="minisblack")
    assert command("segment", tmp_path / "constant.tif", "-o", tmp_path / "out.tif", "-m", tiny_model).code == 0
    assert np.unique(load_labels(tmp_path / "out.tif").array).tolist() == [label]


@pytest.mark.parametrize("shape", [(2, 1, 30), (3, 30, 1), (1, 1), (2, 2, 2), (2, 3, 5), (1, 40)])
def test_thin_and_tiny_images_are_segmented_voxel_by_voxel(
    command: Command, make_model: ModelMaker, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    image = noise(*shape)
    save_volume(tmp_path / "thin.tif", Volume(image.reshape((1,) * (4 - image.ndim) + shape), Grid()))
    model = make_model(dimensions=image.ndim)
    outcome = command("segment", tmp_path / "thin.tif", "-o", tmp_path / "out.tif", "-m", model)
    assert outcome.code == 0, outcome.err
    clear = np.abs(image.astype(int) - 127) > 10
    assert np.array_equal(load_labels(tmp_path / "out.tif").array.reshape(shape)[clear], (image > 127)[clear])


def holey_zarr(folder: Path) -> Path:
    """Labels that this program wrote in four chunks, of which one is gone."""
    path = folder / "labels.ome.zarr"
    save_labels(path, Labels(np.ones((2, 300, 300), np.uint8)))
    chunks(path)[1].unlink()
    return path


READING = {
    "measure": lambda image, out: ["measure", image],
    "clean": lambda image, out: ["clean", image, "-o", out / "c.tif", "--step", "keep_largest"],
    "evaluate": lambda image, out: ["evaluate", image, image],
    "surfaces": lambda image, out: ["surfaces", image, "-o", out],
    "report": lambda image, out: ["report", image, "-o", out / "r.html"],
}


@pytest.mark.parametrize("verb", READING)
def test_a_chunk_that_this_program_wrote_and_is_gone(
    command: Command, tmp_path: Path, results: Path, verb: str
) -> None:
    path = holey_zarr(tmp_path)
    words = READING[verb](path, results)
    refused(command(*words), "0/c/0/0/1", "--allow-missing")
    assert list(results.iterdir()) == []
    allowed = command(*words, "--allow-missing")
    assert allowed.code == 0, allowed.err
    assert "note: " in allowed.err
    assert "1 chunks are not on disk and read as 0" in allowed.err


def test_a_lost_chunk_of_an_image_to_segment_and_to_learn_from(
    command: Command, tmp_path: Path, results: Path, tiny_model_2d: Path
) -> None:
    path = tmp_path / "image.ome.zarr"
    save_volume(path, Volume(np.full((1, 1, 300, 300), 255, np.uint8)))
    chunks(path)[3].unlink()
    segment = ["segment", path, "-o", results / "out.tif", "-m", tiny_model_2d]
    refused(command(*segment), "0/c/0/0/1/1")
    assert command(*segment, "--allow-missing").code == 0
    assert load_labels(results / "out.tif").array.sum() == 300 * 300 - 44 * 44
    learn = ["finetune", path, "--painted", path, "-o", results / "m.safetensors", "--steps", 1]
    refused(command(*learn), "0/c/0/0/1/1")


def test_a_chunk_that_another_program_left_out_is_counted_in_a_note(command: Command, tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4, 8, 8), chunks=(1, 8, 8), dtype="u1", fill_value=3)
    array[0] = 1
    outcome = command("measure", tmp_path / "a.zarr")
    assert outcome.code == 0, outcome.err
    assert "3 chunks are not on disk and read as 3" in outcome.err


def test_paint_of_numbers_that_no_model_has_outputs_for(
    command: Command, source: Path, tmp_path: Path, results: Path, tiny_model: Path
) -> None:
    paint = np.zeros((8, 40, 40), np.uint32)
    paint[2, 5:15, 5:15], paint[2, 20:30, 20:30] = 1, 2**31
    tifffile.imwrite(tmp_path / "paint.tif", paint, photometric="minisblack")
    words = ("--steps", 1, "-m", tiny_model, "-o", results / "m.safetensors")
    refused(command("finetune", source, "--painted", tmp_path / "paint.tif", *words), "up to 128", str(2**31))
    assert list(results.iterdir()) == []
    outcome = command("evaluate", tmp_path / "paint.tif", tmp_path / "paint.tif", "--painted", "--json")
    assert outcome.code == 0
    found = {row["label"]: row["reference_volume"] for row in outcome.json["structures"]}
    assert found[2**31 - 1] == 100
