"""Dropped files: napari's own preference of a reader for file names, set for those whose voxel size we read.

Where two plugins read a name, napari asks at every drop, unless this preference names one; a plugin cannot say so by
itself.
"""

from __future__ import annotations

from napari.settings import get_settings
from npe2 import PluginManager

from napari_unetseg.plugin.preferences import PLUGIN

PICTURES = ("*.png", "*.jpg", "*.jpeg", "*.bmp", "*.webp")
"""Without a voxel size: napari reads them as well."""


def patterns() -> tuple[str, ...]:
    """Patterns of the files of which our reader knows the voxel size, as the manifest has them."""
    readers = PluginManager.instance().get_manifest(PLUGIN).contributions.readers or []
    return tuple(name for reader in readers for name in reader.filename_patterns if name not in PICTURES)


def is_ours() -> bool:
    """Whether napari opens all these files by our reader without asking."""
    chosen = get_settings().plugins.extension2reader
    return all(chosen.get(pattern) == PLUGIN for pattern in patterns())


def make_ours(wanted: bool) -> None:
    """Have napari open these files by our reader without asking, or ask again; readers of others are left alone."""
    plugins = get_settings().plugins
    others = {name: reader for name, reader in plugins.extension2reader.items() if reader != PLUGIN}
    plugins.extension2reader = others | (dict.fromkeys(patterns(), PLUGIN) if wanted else {})
