"""The small real images that come with the program, to try it on and to test it with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_unetseg.errors import InputError

_PACKAGE = Path(__file__).parents[2]
_FOLDERS = (_PACKAGE / "sample_data", _PACKAGE.parents[1] / "sample_data")  # in an installed wheel, in a checkout


@dataclass(frozen=True)
class Sample:
    """One image with its reference labels.

    Parameters
    ----------
    name, title : str
        A short key, and what a menu shows.
    image, labels : Path
        The files.
    model : str
        The bundled model that finds its structures.
    """

    name: str
    title: str
    image: Path
    labels: Path
    model: str


def list_samples() -> list[Sample]:
    """Every sample, 3D first. What each is, and whom to credit, stands in ``sample_data/README.md``."""
    return [
        _sample("plant-nuclei", "Plant nuclei, confocal (3D)", ".ome.tif", "nuclei-3d"),
        _sample("hippocampus", "Hippocampus, MR (3D)", ".nii.gz", "hippocampus-3d"),
        _sample("fly-brain", "Fly brain, FIB-SEM (3D)", ".ome.tif", "em-membrane-3d"),
        _sample("fluorescent-nuclei", "Nuclei, fluorescence (2D)", ".ome.tif", "nuclei-2d"),
        _sample("nerve", "Rat nerve, SEM (2D)", ".ome.tif", "axon-myelin-2d"),
    ]


def find_sample(name: str) -> Sample:
    """The sample of that name; raises `InputError`, which lists the names, where there is none."""
    samples = {sample.name: sample for sample in list_samples()}
    if name not in samples:
        raise InputError(f"Expected a sample of {', '.join(samples)}; got {name!r}.")
    return samples[name]


def sample(name: str) -> Path:
    """The image file of a sample."""
    return find_sample(name).image


def _sample(name: str, title: str, suffix: str, model: str) -> Sample:
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])
    return Sample(name, title, folder / f"{name}{suffix}", folder / f"{name}-labels{suffix}", model)
