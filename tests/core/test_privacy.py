"""Folders are left out of names and messages, and nothing else is."""

from pathlib import Path

import pytest

from napari_unetseg.core.privacy import hidden_parts, neutral_name, shown_name, without_hidden


def test_a_file_has_its_name_and_a_folder_of_slices_has_none(tmp_path: Path) -> None:
    for folder in ("patient", "image.zarr/labels/cells"):
        (tmp_path / folder).mkdir(parents=True)
    assert shown_name(tmp_path / "scan.nii.gz") == "scan.nii.gz"
    assert shown_name(tmp_path / "patient") == "series"
    assert shown_name(tmp_path / "image.zarr") == "image.zarr"
    assert shown_name(tmp_path / "image.zarr/labels/cells") == "cells"


def test_only_several_files_are_numbered() -> None:
    assert [neutral_name("image"), neutral_name("image", 0, 2), neutral_name("image", 1, 2)] == [
        "image",
        "image 1",
        "image 2",
    ]


@pytest.mark.parametrize("typed", ["{0}/ward/scan.tif", "ward/scan.tif", "ward/../ward/scan.tif", "link/scan.tif"])
def test_a_folder_is_left_out_however_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ward").mkdir()
    Path("link").symlink_to("ward")
    path = Path(typed.format(tmp_path))
    for named in (path, path.resolve(), path.absolute()):
        told = without_hidden(f"{named} is cut off; see '{named}'.", hidden_parts([path]))
        assert told == "…/scan.tif is cut off; see '…/scan.tif'."


def test_a_folder_of_slices_is_left_out_as_a_whole_and_a_files_name_where_that_is_asked_for(tmp_path: Path) -> None:
    folder, scan = tmp_path / "ward" / "ada", tmp_path / "scan.tif"
    folder.mkdir(parents=True)
    assert without_hidden(f"{folder}/7.dcm in {folder} is cut off", hidden_parts([folder])) == "…/7.dcm in … is cut off"
    assert without_hidden(f"{scan}: scan.tif is cut off", hidden_parts([scan], names=True)) == "…: … is cut off"


def test_parts_of_longer_words_and_what_is_no_folder_stay() -> None:
    hidden = hidden_parts([Path("a/b.tif"), Path("c.tif"), Path("/d.tif")])
    for text in ("data/x and a-b and b/a.tif", "c.tif and ./c.tif", "/d.tif"):
        assert without_hidden(text, hidden) == text
    assert without_hidden("nothing is hidden", {}) == "nothing is hidden"


def test_a_path_that_cannot_be_looked_at_is_told_of_all_the_same() -> None:
    path = Path("a" * 300) / ("b" * 300)
    assert shown_name(path) == "b" * 300
    assert without_hidden(f"{path} is not there", hidden_parts([path])) == f"…/{'b' * 300} is not there"
