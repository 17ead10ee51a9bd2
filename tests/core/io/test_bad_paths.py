"""What cannot be read or written gives one clear line and leaves nothing behind."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_labels, save_volume
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import InputError, OutputError
from support import full_disk

SUFFIXES = [".tif", ".nii", ".nii.gz", ".ome.zarr", ".nrrd"]
LABELS = Labels(np.random.default_rng(0).integers(0, 2**31, (8, 64, 64), dtype=np.uint32))


@pytest.mark.parametrize("name", ["a.tif", "a.nii.gz", "a.zarr", "a.png", "a.nrrd", "a.dcm", "folder"])
def test_nothing_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file or folder"):
        load_volume(tmp_path / name)


@pytest.mark.parametrize("suffix", [".tif", ".nii", ".nii.gz", ".png", ".jpg", ".nrrd", ".mha", ".dcm"])
@pytest.mark.parametrize("content", [b"", b"just a text\n" * 40, b"\0" * 1000])
def test_content_that_is_no_image(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    for read in (inspect, load_volume, load_labels):
        with pytest.raises(InputError, match="0 bytes" if not content else f"a{suffix}") as raised:
            read(path)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 400


def test_an_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("something")
    with pytest.raises(InputError, match=r"\.tif.*\.nii\.gz"):
        inspect(tmp_path / "a.xyz")


def test_content_tells_the_format_where_the_suffix_does_not(tmp_path: Path) -> None:
    save_labels(tmp_path / "a.tif", LABELS)
    (tmp_path / "a.tif").rename(tmp_path / "a.qptiff")
    np.testing.assert_array_equal(load_labels(tmp_path / "a.qptiff").array, LABELS.array)


@pytest.mark.parametrize("names", [[], ["notes.txt"]])
def test_a_folder_without_images(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("text")
    with pytest.raises(InputError, match="no image"):
        inspect(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_labels(tmp_path / "a.tif", LABELS)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read anything, so a mode of 000 would not do
    with pytest.raises(InputError, match="may not be read"):
        inspect(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_output_folder_that_is_missing(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="existing folder"):
        save_labels(tmp_path / "missing" / f"a{suffix}", LABELS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_output_folder_that_takes_no_file(suffix: str) -> None:
    with pytest.raises(OutputError):
        save_labels(f"/proc/a{suffix}", LABELS)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk(suffix: str, tmp_path: Path) -> None:
    with full_disk(2000), pytest.raises(OutputError):
        save_labels(tmp_path / f"a{suffix}", LABELS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_writer_that_fails_leaves_the_old_file(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a{suffix}"
    save_labels(path, LABELS)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("napari_unetseg.core.io.atomic._flush", full)
    with pytest.raises(OutputError, match="No space left"):
        save_labels(path, Labels(np.zeros((1, 2, 2), np.uint8)))
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(load_labels(path).array, LABELS.array)


@pytest.mark.parametrize("name", ["a.png", "a.txt", "a", "a.mha"])
def test_a_suffix_that_is_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.nii\.gz"):
        save_labels(tmp_path / name, LABELS)
    with pytest.raises(OutputError):
        save_volume(tmp_path / name, Volume(np.zeros((1, 1, 2, 2))))


def test_labels_are_not_written_over_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.tif").mkdir()
    (tmp_path / "a.tif" / "precious").touch()
    with pytest.raises(OutputError):
        save_labels(tmp_path / "a.tif", LABELS)
    assert (tmp_path / "a.tif" / "precious").exists()


def test_importing_formats_imports_no_format_library() -> None:
    code = (
        "import sys, napari_unetseg.core.io.formats;"
        "print([m for m in ('nibabel', 'SimpleITK', 'zarr', 'pydicom', 'tifffile', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
