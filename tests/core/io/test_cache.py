import os
import time

import pytest

from napari_unetseg.core.io import cache
from napari_unetseg.core.io.cache import FOLDER_VARIABLE, Cache, user_cache


def test_an_entry_is_found_by_another_process_s_cache(tmp_path):
    Cache(tmp_path).write("flow", "image 1", b"\x00values")
    assert Cache(tmp_path).read("flow", "image 1") == b"\x00values"
    assert Cache(tmp_path).read("flow", "image 2") is None
    assert Cache(tmp_path).read("trial", "image 1") is None


def test_the_last_entry_of_a_key_counts(tmp_path):
    kept = Cache(tmp_path)
    kept.write("flow", "image", b"old")
    kept.write("flow", "image", b"new")
    assert kept.read("flow", "image") == b"new"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("spoil", [lambda b: b[:-1], lambda b: b"", lambda b: b[:40] + b"?" + b[41:]])
def test_a_damaged_entry_counts_as_missing(tmp_path, spoil):
    kept = Cache(tmp_path)
    kept.write("flow", "image", b"some values of a flow")
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(spoil(path.read_bytes()))
    assert kept.read("flow", "image") is None


def test_what_was_not_used_for_longest_makes_room(tmp_path):
    kept = Cache(tmp_path, most_bytes=3 * (100 + cache.DIGEST_BYTES))
    for age, key in enumerate("cba"):
        kept.write("flow", key, bytes(100))
        os.utime(kept._path("flow", key), (time.time() - 100 + age,) * 2)
    assert kept.read("flow", "c") is not None  # used just now
    kept.write("trial", "d", bytes(100))
    assert kept.read("flow", "b") is None
    assert None not in (kept.read("flow", "a"), kept.read("flow", "c"), kept.read("trial", "d"))


def test_a_folder_that_cannot_be_written_leaves_memory(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    kept = Cache(tmp_path / "file" / "cache")
    kept.write("flow", "image", b"values")
    assert kept.read("flow", "image") == b"values"
    assert Cache(kept.folder).read("flow", "image") is None


def test_it_is_safe_to_delete(tmp_path):
    kept = Cache(tmp_path / "cache")
    kept.write("flow", "image", b"values")
    kept._path("flow", "image").unlink()
    assert kept.read("flow", "image") is None
    kept.write("flow", "image", b"values")
    assert kept.read("flow", "image") == b"values"


def test_a_variable_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    user_cache.cache_clear()
    try:
        assert user_cache().folder.parent == tmp_path
    finally:
        user_cache.cache_clear()
