"""The plan of outputs: the images that a command works on, and where their results go."""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_unetseg.core.io.atomic import is_folder, tidy
from napari_unetseg.core.io.formats.registry import READERS, ZARR_MARKS, exists, holds_dicom, open_source, stem
from napari_unetseg.core.io.outputs import LABELS, PROBABILITIES, Kind, check_folder, check_output, check_same_source
from napari_unetseg.core.notes import Note
from napari_unetseg.errors import InputError, OutputError, UnetsegError

IMAGES = tuple(suffix for name, group in READERS.items() if name not in ("dicom", "ome_zarr") for suffix in group)
BESIDE_DICOM = READERS["pictures"] + READERS["tiff"]
"""Pictures that viewers leave beside a DICOM series."""
SUFFIXES = {"nifti": ".nii.gz", "dicom": ".nii.gz", "itk": ".nrrd", "ome_zarr": ".ome.zarr"}
"""Results of these formats are written in the format that keeps their orientation; all others as OME-TIFF."""

IMAGE = "image"
"""What an image is called where its name is left out."""
LABELS_SHARE = 64
"""How many times smaller labels may be than their image."""

MOST_LISTED = 200
"""Characters of the names of what is left out."""


@dataclass(frozen=True)
class Task:
    """One image, and the file that its result goes to."""

    source: Path
    target: Path


def plan_tasks(
    inputs: Sequence[Path],
    output: Path,
    ending: str,
    stack: bool = False,
    overwrite: bool = False,
    *,
    anonymous: bool = False,
) -> list[Task]:
    """What to read, and what to write; that it can be written is checked here, before anything is computed.

    One image goes to the file `output`, or into the folder `output`; several images go into the folder. There, a
    result is called after its image, without the suffixes of its format: ``cell.v2.tif`` becomes
    ``cell.v2-labels.ome.tif``.

    Parameters
    ----------
    inputs : sequence of Path
        Images, OME-Zarrs, folders of a DICOM series, and folders of images.
    ending : str
        What is put behind an image's name: ``probabilities`` where the results are these.
    stack : bool
        Whether a folder of pictures is one volume, slice by slice, instead of many images.
    overwrite : bool
        Whether a result may replace a file of another kind, or the result of another image.
    anonymous : bool
        Whether results in a folder are numbered, ``image-1-labels.ome.tif``, instead of called after their images.

    Raises
    ------
    InputError
        If an input is not there, or a folder has nothing in it but results.
    OutputError
        If results would go to one and the same file or replace an input, another image's result or what is not ours,
        or they cannot be written: see `outputs.check_output`.
    """
    kind = PROBABILITIES if ending == PROBABILITIES.name else LABELS
    sources = [source for path in inputs for source in _without_results(path, _sources(path, stack), anonymous)]
    sizes = {source: _estimate(source, kind) for source in sources}
    into_folder = sources != list(inputs) or len(sources) > 1 or (is_folder(output) and output.suffix != ".zarr")
    if into_folder:
        check_folder(output, sum(sizes.values()))
    names = [f"{IMAGE}-{number}" if anonymous else stem(source) for number, source in enumerate(sources, start=1)]
    tasks = [
        Task(source, output / f"{name}-{ending}{_suffix(source, kind)}" if into_folder else output)
        for source, name in zip(sources, names, strict=True)
    ]
    _check_different(tasks)
    for task in tasks:
        check_output(task.target, kind, sizes[task.source], overwrite=overwrite, inputs=sources)
        if into_folder and not overwrite:
            check_same_source(task.target, task.source)
    return tasks


def _sources(path: Path, stack: bool) -> list[Path]:
    """The path itself, or the images in it where it is a folder of them."""
    if not exists(path):
        tidy(path.parent)  # it may have been moved aside when a writer was killed
    if not exists(path):
        raise InputError(f"There is no file or folder {path}; check the path.")
    if not path.is_dir() or stack or _is_zarr(path):
        return [path]
    visible = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    if not visible:
        raise InputError(f"Expected images in the folder {path}; it is empty.")
    images = [p for p in visible if p.name.lower().endswith(IMAGES) or (p.is_dir() and _is_zarr(p))]
    if all(p.name.lower().endswith(BESIDE_DICOM) for p in images) and holds_dicom(path):
        return [path]
    # an image in two files is one
    return [image for image in images if image.suffix != ".hdr" or image.with_suffix(".img") not in visible] or [path]


def _without_results(folder: Path, found: list[Path], anonymous: bool) -> list[Path]:
    """The images of a folder without the results of a former run, which their own record tells; those are told of."""
    if found == [folder]:
        return found
    results = {path for path in found if _is_result(path)}
    if len(results) == len(found):
        raise InputError(f"{folder} holds labels and probabilities alone; expected images. Name a file to take it.")
    if results:
        names = ", ".join(path.name for path in found if path in results)
        shown = "" if anonymous else f": {names}" if len(names) <= MOST_LISTED else f": {names[:MOST_LISTED]}…"
        count = "A result of a former run is" if len(results) == 1 else f"{len(results)} results of former runs are"
        text = f"{count} left out{shown}. Name a file to take it."
        warnings.warn(Note(text, "results-left-out"), stacklevel=3)
    return [path for path in found if path not in results]


def _is_result(path: Path) -> bool:
    if not path.name.lower().endswith(LABELS.suffixes + PROBABILITIES.suffixes):
        return False
    try:
        return open_source(path).legend.is_of_a_result
    except UnetsegError:
        return False  # what is wrong with it is said when it is read


def _is_zarr(path: Path) -> bool:
    return path.suffix == ".zarr" or any((path / mark).exists() for mark in ZARR_MARKS)


def _suffix(source: Path, kind: Kind) -> str:
    """The suffix of a result, by the format of its image."""
    name = source.name.lower()
    format_name = next((k for k, group in READERS.items() if name.endswith(group)), "dicom" if source.is_dir() else "")
    suffix = SUFFIXES.get(format_name, ".ome.tif")
    if not suffix.endswith(kind.suffixes):  # NRRD holds labels alone
        suffix = SUFFIXES["nifti"]
    return suffix


def _check_different(tasks: Sequence[Task]) -> None:
    # many systems take a composed and a decomposed name for one
    target, count = Counter(unicodedata.normalize("NFC", str(task.target)) for task in tasks).most_common(1)[0]
    if count > 1:
        raise OutputError(f"{count} images would all be written to {target}; give them different names or folders.")


def _estimate(source: Path, kind: Kind) -> int:
    """How many bytes a result takes at least, from the size of its image: it is written compressed."""
    try:
        size = sum(p.stat().st_size for p in source.rglob("*")) if source.is_dir() else source.stat().st_size
    except OSError:
        return 0  # what is wrong with the image is said when it is read
    return size if kind is PROBABILITIES else size // LABELS_SHARE
