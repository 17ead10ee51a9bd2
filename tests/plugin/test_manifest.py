"""The manifest is whole, and docking a widget does not load the engine."""

import subprocess
import sys
import textwrap

import pytest
from npe2 import PluginManifest

from napari_unetseg.core.io.samples import list_samples


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_distribution("napari-unetseg")


def test_every_command_can_be_imported(manifest):
    manifest.validate_imports()  # raises where one cannot
    assert {command.id.partition(".")[0] for command in manifest.contributions.commands} == {"napari-unetseg"}


def test_segment_is_in_the_layers_menu(manifest):
    assert [item.command for item in manifest.contributions.menus["napari/layers/segment"]] == [
        "napari-unetseg.segment"
    ]


def test_every_sample_is_offered(manifest):
    offered = {sample.key: sample.display_name for sample in manifest.contributions.sample_data}
    assert offered == {sample.name: sample.title for sample in list_samples()}


def test_every_suffix_that_can_be_read_is_offered(manifest):
    from napari_unetseg.core.io.formats.registry import READERS

    (reader,) = manifest.contributions.readers
    assert {f"*{suffix}" for group in READERS.values() for suffix in group} == set(reader.filename_patterns)


def test_docking_the_widgets_does_not_import_torch(qtbot):
    script = """
    import sys, napari
    viewer = napari.Viewer(show=False)
    for name in ("Load volume", "Segment"):
        viewer.window.add_plugin_dock_widget("napari-unetseg", name)
    print("torch" in sys.modules)
    viewer.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.split() == ["False"]
