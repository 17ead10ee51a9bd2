from pathlib import Path

import pytest

from napari_unetseg.core.io.batch import Task, plan_tasks
from napari_unetseg.errors import InputError, OutputError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("b.tif", "a.nii.gz", "c.PNG", "notes.txt", ".hidden.tif"):
        (folder / name).touch()
    (folder / "d.ome.zarr").mkdir()
    (folder / "other").mkdir()
    return folder


def test_one_image_goes_to_the_file_that_was_named(images: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.nii.gz"
    assert plan_tasks([images / "b.tif"], target, "labels") == [Task(images / "b.tif", target)]


def test_one_image_goes_into_an_existing_folder(images: Path, tmp_path: Path) -> None:
    assert plan_tasks([images / "b.tif"], tmp_path, "labels")[0].target == tmp_path / "b-labels.ome.tif"


def test_an_existing_zarr_is_a_file_to_replace_not_a_folder_to_write_into(images: Path, tmp_path: Path) -> None:
    (tmp_path / "out.ome.zarr").mkdir()
    assert plan_tasks([images / "b.tif"], tmp_path / "out.ome.zarr", "labels")[0].target == tmp_path / "out.ome.zarr"


def test_a_folder_gives_its_images_each_in_the_format_that_keeps_its_orientation(images: Path, tmp_path: Path) -> None:
    tasks = plan_tasks([images], tmp_path, "labels")
    assert [(task.source.name, task.target.name) for task in tasks] == [
        ("a.nii.gz", "a-labels.nii.gz"),
        ("b.tif", "b-labels.ome.tif"),
        ("c.PNG", "c-labels.ome.tif"),
        ("d.ome.zarr", "d-labels.ome.zarr"),
    ]


def test_a_folder_of_one_image_still_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tif").touch()
    with pytest.raises(OutputError, match="existing folder"):
        plan_tasks([tmp_path / "in"], tmp_path / "out.tif", "labels")


@pytest.mark.parametrize("stack", [True, False])
def test_slices_and_dicom_folders_are_one_image(tmp_path: Path, stack: bool) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    (folder / ("0001.tif" if stack else "0001.dcm")).touch()
    assert plan_tasks([folder], tmp_path / "out.nii.gz", "labels", stack) == [Task(folder, tmp_path / "out.nii.gz")]


def test_pictures_beside_a_dicom_series_are_no_images_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    (folder / "IM0001").write_bytes(bytes(128) + b"DICM")
    (folder / "preview.jpg").touch()
    assert plan_tasks([folder], tmp_path, "labels")[0] == Task(folder, tmp_path / "series-labels.nii.gz")
    (folder / "scan.nii.gz").touch()
    assert len(plan_tasks([folder], tmp_path, "labels")) == 2


def test_a_series_in_a_folder_is_written_as_nifti(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "IM0001").touch()
    assert plan_tasks([tmp_path / "series"], tmp_path, "labels")[0].target.name == "series-labels.nii.gz"


def test_two_images_of_one_name_are_refused(images: Path, tmp_path: Path) -> None:
    (images / "b.png").touch()
    with pytest.raises(OutputError, match="2 images would all be written to"):
        plan_tasks([images], tmp_path, "labels")


def test_a_result_in_place_of_an_input_is_refused(images: Path) -> None:
    with pytest.raises(OutputError, match="would be replaced"):
        plan_tasks([images / "b.tif"], images / "b.tif", "labels")


def test_what_is_not_there_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file or folder"):
        plan_tasks([tmp_path / "missing.tif"], tmp_path, "labels")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        plan_tasks([tmp_path / "empty"], tmp_path, "labels")
