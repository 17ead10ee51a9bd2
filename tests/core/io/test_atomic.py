import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_unetseg.core.io import atomic
from napari_unetseg.core.io.atomic import atomic_path, tidy
from napari_unetseg.core.io.loadsave import save_labels
from napari_unetseg.core.volume import Labels
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
    save_labels(target, Labels(np.ones((1, 2, 2), np.uint8)))
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


@pytest.mark.parametrize("error", [errno.EROFS, errno.ENOSPC, errno.EIO])
def test_the_first_error_is_the_one_that_is_told(error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cleaning up fails too, in another way."""

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, "the second error")

    monkeypatch.setattr(Path, "unlink", fails)
    with pytest.raises(OutputError, match=os.strerror(error)), atomic_path(tmp_path / "out.tif") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise OSError(error, os.strerror(error))


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="File name too long"),
        atomic_path(tmp_path / f"{'x' * 300}.tif") as temporary,
    ):
        temporary.write_text("new")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [200, 240, 250])
def test_a_long_name_that_the_system_allows_is_written(length: int, tmp_path: Path) -> None:
    target = tmp_path / f"{'ü' * (length // 2)}.tif"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_a_folder_of_others_is_kept_and_so_is_a_device(tmp_path: Path) -> None:
    target = tmp_path / "precious.zarr"
    target.mkdir()
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="did not write"), atomic_path(target) as temporary:
        temporary.mkdir()
    assert (target / "thesis.txt").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [target]


def test_permissions_stay_and_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    real, link = tmp_path / "other" / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    real.chmod(0o604)
    link.symlink_to(Path("other") / "real.csv")
    with atomic_path(link) as temporary:
        assert temporary.parent == real.parent.resolve()
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o604


KILLED = """
import os, sys
from pathlib import Path
import napari_unetseg.core.io.atomic as atomic

place, target = sys.argv[1], Path(sys.argv[2])

def die(*_):
    os.kill(os.getpid(), 9)

if place == "writing":
    atomic._flush = die
elif place == "exchanged":
    exchange = atomic._exchange
    atomic._exchange = lambda one, other: exchange(one, other) and die()
else:  # between the renames of a system that has no exchange
    atomic._exchange = lambda one, other: False
    rename = Path.rename
    Path.rename = lambda path, to: die() if ".partial." in path.name else rename(path, to)
with atomic.atomic_path(target) as temporary:
    temporary.mkdir()
    (temporary / "new").touch()
"""


@pytest.mark.parametrize("place", ["writing", "exchanged", "renamed"])
def test_a_folder_outlives_a_kill_at_any_place_and_nothing_is_left(place: str, tmp_path: Path) -> None:
    target = tmp_path / "out.zarr"
    save_labels(target, Labels(np.ones((1, 2, 2), np.uint8)))
    done = subprocess.run([sys.executable, "-c", KILLED, place, str(target)], check=False)
    assert done.returncode == -9
    assert len(list(tmp_path.iterdir())) == {"writing": 2, "exchanged": 2, "renamed": 2}[place]
    assert target.exists() == (place != "renamed")
    tidy(tmp_path)
    assert list(tmp_path.iterdir()) == [target]
    assert (target / "new").exists() == (place == "exchanged")
    assert (target / "zarr.json").exists() == (place != "exchanged")


def test_a_folder_is_replaced_where_the_system_has_no_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unetseg.core.io.atomic._exchange", lambda *_: False)
    test_a_folder_replaces_a_folder_whole(tmp_path)


def test_the_next_writer_removes_what_killed_ones_left_and_nothing_else(tmp_path: Path) -> None:
    """Files of the dead go at once; those of a process that runs and of other hosts when they are old."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    _, host, _ = atomic._mark().split("-")
    gone = [f".{dead.pid}-{host}-01234567.partial.a.tif"]
    kept = [f".{os.getpid()}-{host}-01234567.partial.a.tif", f".{dead.pid}-76543210-01234567.partial.a.tif"]
    kept += [".01234567.partial.a.tif", ".partial.tif", "a.partial.tif", ".a.tif"]
    for name in gone + kept:
        (tmp_path / name).touch()
    with atomic_path(tmp_path / "b.csv") as temporary:
        temporary.touch()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, "b.csv"])
    for name in kept:
        os.utime(tmp_path / name, (0, 0))  # long ago: before this process began, too
    tidy(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept[3:], "b.csv"])


def test_what_an_earlier_version_moved_aside_is_put_back(tmp_path: Path) -> None:
    aside = tmp_path / ".01234567.partial.out.zarr.old"
    aside.mkdir()
    os.utime(aside, (0, 0))
    tidy(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]
