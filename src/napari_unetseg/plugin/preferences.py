"""Preferences of the plugin, which napari keeps over restarts and shows under *File, Preferences*."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from napari.utils.notifications import show_warning

PLUGIN = "napari-unetseg"
BESIDE, DATA_FOLDER = "in a folder beside the image", "in my data folder"


@dataclass(frozen=True)
class Preferences:
    """What a person prefers; the defaults where napari keeps no preferences of plugins (before 0.9).

    Parameters
    ----------
    device : str
        What *automatic* means: ``auto`` (the GPU where there is one), ``cpu``, ``cuda`` or ``mps``.
    threads : int
        That computing takes; 0 for all.
    memory : float
        GB that computing may take at most; 0 for what is free.
    paint : str
        Where paint is kept: `BESIDE` or `DATA_FOLDER`.
    spared : str
        Folders, separated by semicolons, in which (and below which) nothing is kept beside images.
    """

    device: str = "auto"
    threads: int = 0
    memory: float = 0.0
    paint: str = BESIDE
    spared: str = ""

    def keeps_beside(self, image: Path) -> bool:
        """Whether paint of an image may be kept beside it."""
        spared = [Path(folder.strip()).expanduser() for folder in self.spared.split(";") if folder.strip()]
        return self.paint == BESIDE and not any(image.absolute().is_relative_to(folder) for folder in spared)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for a process that computes, see `engine.devices`; empty where nothing is preferred."""
        preferred = {
            "UNETSEG_DEVICE": self.device if self.device != "auto" else "",
            "UNETSEG_MEMORY": f"{self.memory:g}" if self.memory else "",
            "OMP_NUM_THREADS": str(self.threads) if self.threads else "",
        }
        return {name: value for name, value in preferred.items() if value}


def preferences() -> Preferences:
    """The preferences as they are now."""
    try:
        from napari.settings import get_plugin_settings

        kept = get_plugin_settings(PLUGIN)
        computing, files = kept.computing, kept.files
        return Preferences(computing.device, computing.threads, computing.memory, files.paint, files.spared)
    except (ImportError, KeyError):  # napari before 0.9, or one that has not looked for plugins
        return Preferences()
    except Exception as error:  # napari reads the file with what it finds in it, in many ways
        _tell(f"{type(error).__name__}")
        return Preferences()


@cache
def _tell(reason: str) -> None:
    """Say once that the preferences cannot be read."""
    show_warning(
        f"The preferences of {PLUGIN} cannot be read ({reason}); the defaults are used. "
        f"Mend or delete {PLUGIN}.yaml in napari's settings folder."
    )
