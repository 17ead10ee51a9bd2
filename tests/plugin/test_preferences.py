"""Preferences as napari keeps them: over restarts, and with the defaults where their file is broken."""

import os
import subprocess
import sys
from pathlib import Path

import probe_preferences
import pytest
import tifffile

from napari_unetseg.core.progress import finish
from napari_unetseg.plugin.preferences import DATA_FOLDER, Preferences
from napari_unetseg.service.process import Worker


def in_another_napari(settings: Path, program: str) -> str:
    """What a program prints that begins with napari's settings in that folder, as after a restart."""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "NAPARI_CONFIG": str(settings / "napari.yaml")},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


FOUND = "from npe2 import PluginManager; PluginManager.instance().discover();"
SHOW = f"{FOUND}from napari_unetseg.plugin.preferences import preferences; print(preferences())"


def test_they_are_kept_over_restarts(tmp_path):
    change = (
        f"{FOUND}from napari.settings import get_plugin_settings; kept = get_plugin_settings('napari-unetseg');"
        "kept.computing.threads = 3; kept.files.spared = '/archive'"
    )
    in_another_napari(tmp_path, change)
    assert in_another_napari(tmp_path, SHOW).strip() == str(Preferences(threads=3, spared="/archive"))


@pytest.mark.parametrize("text", ["computing: [", "computing: 5\n", "computing: {threads: many}\n", "\x00"])
def test_a_broken_file_gives_the_defaults(tmp_path, text):
    (tmp_path / "napari-unetseg.yaml").write_text(text)
    assert in_another_napari(tmp_path, SHOW).strip().splitlines()[-1] == str(Preferences())


def test_the_child_computes_as_is_preferred():
    worker = Worker(Preferences(device="cpu", threads=1, memory=0.5).environment)
    device, threads, memory = finish(worker.run(probe_preferences.told))
    worker.stop()
    assert (device, threads) == ("cpu", 1)
    assert 0 < memory < 0.5e9


@pytest.fixture
def image(tmp_path, blocks):
    path = tmp_path / "pictures" / "cells.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, blocks)
    return path


@pytest.mark.parametrize(
    ("chosen", "is_beside"),
    [({}, True), ({"paint": DATA_FOLDER}, False), ({"spared": "/none; {folder}"}, False), ({"spared": "/none"}, True)],
)
def test_paint_is_kept_where_it_is_preferred(make_napari_viewer, image, tmp_path, monkeypatch, chosen, is_beside):
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")
    from napari.settings import get_plugin_settings

    viewer = make_napari_viewer()
    for name, value in chosen.items():
        setattr(get_plugin_settings("napari-unetseg").files, name, value.format(folder=image.parent))
    viewer.open(image, plugin="napari-unetseg")
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetseg", "Learn")
    widget.paint.add_button.click()
    beside = image.parent / "napari-unetseg"
    assert (widget.paint.journal.parent == beside) is is_beside
    assert (tmp_path / "data" in widget.paint.journal.parents) is not is_beside
    assert [path.name for path in image.parent.iterdir() if path != image] == ["napari-unetseg"] * is_beside
    assert ("beside the image" in widget.paint.place.text()) is is_beside
