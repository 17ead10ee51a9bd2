import errno
import os
from pathlib import Path

import pytest

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.errors import OutputError


def test_a_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.nii.gz"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".nii.gz")
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_replaces_a_folder_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.zarr"
    target.mkdir()
    (target / "old").touch()
    with atomic_path(target) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert [p.name for p in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
def test_an_error_leaves_the_old_file(error: BaseException, tmp_path: Path) -> None:
    target = tmp_path / "out.tif"
    target.write_text("old")
    expected = OutputError if isinstance(error, OSError) else error
    with pytest.raises(expected), atomic_path(target) as temporary:  # noqa: PT012 - the block is what is tested
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OutputError, match="No space left"), atomic_path(tmp_path / "out.tif"):
        raise full


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_folder_that_is_none_is_refused(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="existing folder"), atomic_path(tmp_path / folder / "out.tif"):
        pytest.fail("nothing may be written")


def test_a_folder_that_takes_no_file_is_refused() -> None:
    with pytest.raises(OutputError, match="cannot be written"), atomic_path(Path("/proc/out.tif")) as temporary:
        temporary.write_text("even root cannot")


def test_a_writer_that_writes_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError), atomic_path(tmp_path / "out.tif"):
        pass
    assert not list(tmp_path.iterdir())
