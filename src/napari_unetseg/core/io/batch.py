"""The plan of outputs: the images that a command works on, and where their results go."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_unetseg.core.io.formats.registry import READERS, ZARR_MARKS
from napari_unetseg.errors import InputError, OutputError

IMAGES = tuple(suffix for name, group in READERS.items() if name not in ("dicom", "ome_zarr") for suffix in group)
SUFFIXES = {"nifti": ".nii.gz", "dicom": ".nii.gz", "itk": ".nrrd", "ome_zarr": ".ome.zarr"}
"""Results of these formats are written in the format that keeps their orientation; all others as OME-TIFF."""


@dataclass(frozen=True)
class Task:
    """One image, and the file that its result goes to."""

    source: Path
    target: Path


def plan_tasks(inputs: Sequence[Path], output: Path, ending: str, stack: bool = False) -> list[Task]:
    """What to read, and what to write.

    One image goes to the file `output`, or into the folder `output`; several images go into the folder. There, a
    result is called after its image: ``cell.tif`` becomes ``cell-labels.ome.tif``.

    Parameters
    ----------
    inputs : sequence of Path
        Images, OME-Zarrs, folders of a DICOM series, and folders of images.
    ending : str
        What is put behind an image's name, such as ``labels``.
    stack : bool
        Whether a folder of pictures is one volume, slice by slice, instead of many images.

    Raises
    ------
    InputError
        If an input is not there, or a folder has nothing in it.
    OutputError
        If results would go to one and the same file or replace an input, or the folder is missing or read-only.
    """
    sources = [source for path in inputs for source in _sources(path, stack)]
    into_folder = sources != list(inputs) or len(sources) > 1 or (output.is_dir() and output.suffix != ".zarr")
    tasks = [Task(source, output / _result_name(source, ending) if into_folder else output) for source in sources]
    _check(tasks, output if into_folder else output.parent)
    return tasks


def _sources(path: Path, stack: bool) -> list[Path]:
    """The path itself, or the images in it where it is a folder of them."""
    if not path.exists():
        raise InputError(f"There is no file or folder {path}; check the path.")
    if not path.is_dir() or stack or _is_zarr(path):
        return [path]
    visible = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    if not visible:
        raise InputError(f"Expected images in the folder {path}; it is empty.")
    images = [p for p in visible if p.name.lower().endswith(IMAGES) or (p.is_dir() and _is_zarr(p))]
    return images or [path]


def _is_zarr(path: Path) -> bool:
    return path.suffix == ".zarr" or any((path / mark).exists() for mark in ZARR_MARKS)


def _result_name(source: Path, ending: str) -> str:
    name = source.name
    kind = next((k for k, group in READERS.items() if name.lower().endswith(group)), None)
    if kind is None and source.is_dir():
        kind = "dicom"
    return f"{name.split('.')[0]}-{ending}{SUFFIXES.get(kind or '', '.ome.tif')}"


def _check(tasks: Sequence[Task], folder: Path) -> None:
    if not folder.is_dir():
        raise OutputError(f"Expected an existing folder to write to; {folder} is not one. Make it first.")
    target, count = Counter(task.target for task in tasks).most_common(1)[0]
    if count > 1:
        raise OutputError(f"{count} images would all be written to {target}; give them different names or folders.")
    sources = {task.source.resolve() for task in tasks}
    replaced = next((task.target for task in tasks if task.target.resolve() in sources), None)
    if replaced is not None:
        raise OutputError(f"{replaced} is an input and would be replaced; write to another file.")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to: {error.strerror}; choose another folder.") from error
