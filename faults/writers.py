"""Writers of everything that is written, and what must be there after one was killed.

A writer writes version 1, 2, 3, … of something to the same place, through the call that the program uses, and confirms
each. What is found afterwards is the last version that was confirmed, or the next one, whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK
import tifffile
import zarr

from faults import samples
from napari_unetseg.core.annotations.journal import read_journal
from napari_unetseg.core.annotations.journal_writer import Journal
from napari_unetseg.core.annotations.session_record import Session, read_session, write_session
from napari_unetseg.core.io.loadsave import label_sink, save_labels, save_volume
from napari_unetseg.core.metrics.table import write_csv
from napari_unetseg.core.report.page import save_report
from napari_unetseg.core.report.record import Report

SHAPE = (4, 48, 64)
SOURCE = "source"
"""The folder, beside what is written, of what it is made of."""
Write = Callable[[Path, int], None]
"""Writes a version to a path."""
Read = Callable[[Path], int]
"""The version that a path holds; raises where it holds none, or one that is not whole."""


@dataclass(frozen=True)
class Writer:
    """One way to write.

    Parameters
    ----------
    name : str
        Of the file, too.
    opened : function
        Opens a path, and gives what writes a version of it. It is called once in a process, and may find an earlier
        version.
    read : function
        By an independent library where there is one.
    """

    name: str
    opened: Callable[[Path], AbstractContextManager[Callable[[int], None]]]
    read: Read


def _plain(write: Write) -> Callable[[Path], AbstractContextManager[Callable[[int], None]]]:
    """What opens nothing: each version is written on its own."""
    return lambda path: nullcontext(lambda version: write(path, version))


def _only(values: object) -> int:
    """The one number that all values are."""
    found = np.unique(np.asarray(values))
    if found.size != 1:
        raise ValueError(f"Voxels of several versions: {found[:5]}")
    return int(found[0])


def _labels(version: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    return np.full(SHAPE, version, np.uint16)


def _write_labels(path: Path, version: int) -> None:
    save_labels(path, replace(samples.labels(), array=_labels(version)))


def _write_volume(path: Path, version: int) -> None:
    save_volume(path, replace(samples.image(), array=_labels(version)[None]))


def _read_tiff(path: Path) -> int:
    return _only(tifffile.imread(path))


def _read_nifti(path: Path) -> int:
    return _only(np.asanyarray(nibabel.load(path).dataobj))


def _read_itk(path: Path) -> int:
    return _only(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))


def _read_zarr(path: Path) -> int:
    """Every chunk must be there: a missing one would be read as 0."""
    return _only(zarr.open_group(path, mode="r")["0"][:])


def _write_boxes(path: Path, version: int) -> None:
    with label_sink(path, replace(samples.image(), array=_labels(1)[None]), samples.STRUCTURES, np.uint16) as sink:
        for z in range(SHAPE[0]):
            box = ((z, z + 1), (0, SHAPE[1]), (0, SHAPE[2]))
            sink.write(box, np.full((1, *SHAPE[1:]), version, np.uint16))


@contextmanager
def _journal(path: Path) -> Iterator[Callable[[int], None]]:
    """A stroke a version, over all of it, and a compaction now and then."""
    with Journal(path, SHAPE) as journal:

        def write(version: int) -> None:
            journal.record(_labels(version))
            if version % 5 == 0:
                journal.compact()

        yield write


def _read_journal(path: Path) -> int:
    return _only(read_journal(path).painted)


def _write_session(path: Path, version: int) -> None:
    write_session(path, _session(path.parent / SOURCE).model_copy(update={"program": str(version)}))


@cache
def _session(folder: Path) -> Session:
    from faults.kinds.paint import session_of

    folder.mkdir(exist_ok=True)
    return session_of(folder)


def _read_session(path: Path) -> int:
    return int(read_session(path).program)


@contextmanager
def _model(path: Path) -> Iterator[Callable[[int], None]]:
    import torch

    from napari_unetseg.engine.networks.model_file import Model, load_model, save_model

    source = path.parent / SOURCE / "m.safetensors"
    source.parent.mkdir(exist_ok=True)
    samples.write_model(source)
    model = load_model(source)

    def write(version: int) -> None:
        with torch.no_grad():
            for weights in model.network.parameters():
                weights.fill_(version)
        save_model(path, Model(model.network, model.card.model_copy(update={"version": str(version)})))

    yield write


def _read_model(path: Path) -> int:
    """Weights and card must be of one version."""
    from safetensors.numpy import load_file

    from napari_unetseg.core.models.catalogue import read_card

    names = [
        name for name in load_file(path) if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    ]
    weights = load_file(path)
    version = _only(np.concatenate([weights[name].reshape(-1) for name in names]))
    if read_card(path).version != str(version):
        raise ValueError("The card is of another version than the weights.")
    return version


def _write_csv(path: Path, version: int) -> None:
    write_csv(path, [{"label": label, "version": version} for label in range(500)])


def _read_csv(path: Path) -> int:
    rows = np.genfromtxt(path, delimiter=",", names=True)
    if rows.size != 500:
        raise ValueError(f"{rows.size} rows of 500")
    return _only(rows["version"])


def _write_report(path: Path, version: int) -> None:
    save_report(path, Report(samples.labels(), settings={"version": version}))


def _read_report(path: Path) -> int:
    text = path.read_text(encoding="utf-8")
    if "</html>" not in text:
        raise ValueError("The page is cut off.")
    record = re.search(r'<script[^>]*id="record"[^>]*>(.*?)</script>', text, re.DOTALL)
    if record is None:
        raise ValueError("The page has no record.")
    return int(json.loads(record[1])["settings"]["version"])


@contextmanager
def _training(path: Path) -> Iterator[Callable[[int], None]]:
    """A version is a step of training: the loop saves its checkpoint after each, and goes on from the one it finds."""
    import torch

    from napari_unetseg.engine.networks.unets.unet import UNet, UNetSettings
    from napari_unetseg.engine.training.loop import TrainSettings, iter_train

    torch.manual_seed(0)
    network = UNet(UNetSettings(2, 1, 2, widths=(2, 4)))
    batch = torch.ones(1, 1, 8, 8), torch.ones(1, 8, 8, dtype=torch.long)
    settings = TrainSettings(steps=10**6, save_every=-1.0, fix_norm=1.0)
    job = iter_train(network, _Endless(batch), settings, checkpoint=path)

    def write(version: int) -> None:
        done = next(job).done
        if done != version:
            raise ValueError(f"Training went on at step {done}; expected {version}.")

    yield write


class _Endless:
    """The same batch for every step."""

    def __init__(self, batch: object) -> None:
        self._batch = batch

    def __getitem__(self, step: int) -> object:
        return self._batch


def _read_checkpoint(path: Path) -> int:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        for name in file.keys():  # noqa: SIM118 - not a dict
            file.get_tensor(name)
        return int(json.loads(file.metadata()["run"])["step"])


LABELS = ((".tif", _read_tiff), (".ome.tif", _read_tiff), (".nii", _read_nifti), (".nii.gz", _read_nifti))
MORE_LABELS = ((".nrrd", _read_itk), (".seg.nrrd", _read_itk), (".ome.zarr", _read_zarr))
VOLUMES = ((".ome.tif", _read_tiff), (".nii.gz", _read_nifti), (".ome.zarr", _read_zarr))
WRITERS = {
    writer.name: writer
    for writer in (
        *(Writer(f"labels{suffix}", _plain(_write_labels), read) for suffix, read in (*LABELS, *MORE_LABELS)),
        *(Writer(f"image{suffix}", _plain(_write_volume), read) for suffix, read in VOLUMES),
        Writer("boxes.ome.zarr", _plain(_write_boxes), _read_zarr),
        Writer("strokes.paint", _journal, _read_journal),
        Writer("m.session.json", _plain(_write_session), _read_session),
        Writer("m.safetensors", _model, _read_model),
        Writer(".m.safetensors.checkpoint", _training, _read_checkpoint),
        Writer("table.csv", _plain(_write_csv), _read_csv),
        Writer("report.html", _plain(_write_report), _read_report),
    )
}
