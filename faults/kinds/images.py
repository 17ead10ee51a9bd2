"""Kinds of images: files of every format that is read, and grids that are written in every format."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import SimpleITK
import tifffile
from PIL import Image

from faults import samples
from faults.kind import Files, Kind, Samples, mutate_bytes
from faults.mutation import FLOATS, Mutator
from faults.sandbox import read_files
from napari_unetseg.core.grid import Grid, ScannerFrame
from napari_unetseg.core.io.loadsave import inspect, load_labels, load_volume, save_labels, save_volume
from napari_unetseg.errors import UnetsegError

WRITTEN = (".tif", ".ome.tif", ".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".ome.zarr")
HEADERS = {"nifti": 352, "nrrd": 400, "meta": 400}
"""Bytes at the beginning that most changes go to."""


def saved(suffix: str, folder: Path) -> Samples:
    """An image and labels, as this program writes them."""
    found = []
    for name, save, data in (("image", save_volume, samples.image()), ("labels", save_labels, samples.labels())):
        place = folder / f"{name}{suffix}"
        place.mkdir()
        with suppress(UnetsegError):  # a format of labels alone
            save(place / f"a{suffix}", data)  # type: ignore[operator]
            found.append(read_files(place))
    return found


def _tiffs(folder: Path) -> Samples:
    """As other programs write them: compressed, tiled, of many pages, ImageJ's."""
    array, found = samples.image().array[0], []
    forms: tuple[dict[str, Any], ...] = (
        {"photometric": "minisblack"},
        {"photometric": "minisblack", "compression": "zlib", "predictor": True},
        {"photometric": "minisblack", "tile": (16, 16), "bigtiff": True},
        {"imagej": True, "resolution": (2, 2), "metadata": {"spacing": 2.0, "unit": "um", "axes": "ZYX"}},
        {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeZ": 2.0}, "byteorder": ">"},
    )
    for form in forms:
        tifffile.imwrite(buffer := io.BytesIO(), array, **form)
        found.append({"a.ome.tif" if form.get("ome") else "a.tif": buffer.getvalue()})
    return found + list(saved(".tif", folder)) + list(saved(".ome.tif", folder))


def _niftis(folder: Path) -> Samples:
    found = list(saved(".nii", folder))
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        made = kind(samples.image().array[0].T, np.diag([0.5, 0.5, 2.0, 1.0]))
        found.append({"a.nii": made.to_bytes()})
    return found


def _itks(suffix: str, folder: Path) -> Samples:
    made = SimpleITK.GetImageFromArray(samples.image().array[0])
    made.SetSpacing((0.5, 0.5, 2.0))
    SimpleITK.WriteImage(made, str(folder / f"b{suffix}"), False)
    return [{f"a{suffix}": (folder / f"b{suffix}").read_bytes()}, *saved(suffix, folder)]


def _pictures(_folder: Path) -> Samples:
    found = []
    picture = Image.fromarray(samples.image().array[0, 1])
    for suffix, kind in ((".png", "PNG"), (".jpg", "JPEG"), (".bmp", "BMP")):
        for mode in ("L", "RGB"):
            picture.convert(mode).save(buffer := io.BytesIO(), kind)
            found.append({f"a{suffix}": buffer.getvalue()})
    return found


def _dicoms(_folder: Path) -> Samples:
    files = {}
    uid = "1.2.826.0.1.3680043.8.498.1"
    for z in range(3):
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = f"{uid}.{z}"
        one.SeriesInstanceUID, one.StudyInstanceUID, one.Modality = f"{uid}.100", f"{uid}.200", "CT"
        one.Rows, one.Columns, one.BitsAllocated, one.BitsStored, one.HighBit = 12, 16, 16, 12, 11
        one.PixelRepresentation, one.SamplesPerPixel, one.PhotometricInterpretation = 0, 1, "MONOCHROME2"
        one.PixelSpacing, one.SliceThickness, one.InstanceNumber = [0.5, 0.5], 2, z + 1
        one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, 2 * z], [1, 0, 0, 0, 1, 0]
        one.RescaleSlope, one.RescaleIntercept = 1, -1024
        one.PixelData = samples.image().array[0, z].astype("<u2").tobytes()
        one.save_as(buffer := io.BytesIO(), enforce_file_format=True)
        files[f"series/{z}.dcm"] = buffer.getvalue()
    return [files]


DICOM_VALUES = (
    *("nan", "inf", "-1", "0", "1e308", "", "abc", "1\\2", "1\\2\\3", "0\\0", "0\\0\\0", "nan\\nan\\nan", "1e-320\\1"),
    *("0\\0\\0\\0\\0\\0", "1\\0\\0\\1\\0\\0", "99999999999999999999"),
)
DICOM_ELEMENTS = (
    *("PixelSpacing", "SliceThickness", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "Rows"),
    *("Columns", "RescaleSlope", "RescaleIntercept", "SeriesInstanceUID", "BitsAllocated", "BitsStored", "PixelData"),
    *("PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "Modality", "NumberOfFrames"),
)


def _mutated_dicom(mutator: Mutator, files: Files) -> Files:
    """Elements removed or absurd, files missing or twice, or bytes changed."""
    action = mutator.choose.random()
    name = mutator.choose.choice(sorted(files))
    if action < 0.2:
        return mutate_bytes(mutator, files)
    if action < 0.3:
        files = dict(files)
        files["series/b.dcm"] = files[name]
        del files[mutator.choose.choice(sorted(files))]
        return files
    names = mutator.choose.choice(([name], sorted(files)))
    element = mutator.choose.choice(DICOM_ELEMENTS)
    value = mutator.choose.choice((None, *DICOM_VALUES, *DICOM_VALUES, 0, 1, 7, 65535))
    return files | {name: _with_element(files[name], element, value) for name in names}


def _with_element(content: bytes, element: str, value: object) -> bytes:
    """A file with one element removed or replaced, as raw as a faulty program would write it."""
    one = pydicom.dcmread(io.BytesIO(content))
    tag = pydicom.tag.Tag(pydicom.datadict.tag_for_keyword(element))
    if value is None:
        one.pop(tag, None)
    else:
        form = pydicom.datadict.dictionary_VR(tag)
        raw = struct.pack("<H", value) if isinstance(value, int) else str(value).encode()
        form = "OW" if element == "PixelData" else ("US" if isinstance(value, int) else form.split(" ")[0])
        raw += b" " * (len(raw) % 2)
        one[tag] = pydicom.dataelem.RawDataElement(tag, form, len(raw), raw, 0, False, True)
    try:
        one.save_as(buffer := io.BytesIO(), enforce_file_format=False)
    except (ValueError, TypeError, AttributeError, OverflowError, struct.error):
        return content[: len(content) // 2]
    return buffer.getvalue()


def _mutated_zarr(mutator: Mutator, files: Files) -> Files:
    """Metadata changed most of the time, and chunks cut, changed or missing."""
    metadata = sorted(name for name in files if name.endswith("zarr.json"))
    if mutator.choose.random() < 0.75:
        name = mutator.choose.choice(metadata)
        return files | {name: mutator.json_bytes(files[name])}
    if mutator.choose.random() < 0.3:
        left = dict(files)
        del left[mutator.choose.choice(sorted(files))]
        return left
    return mutate_bytes(mutator, files)


def _mutated_header(header: int, mutator: Mutator, files: Files) -> Files:
    """Changes that mostly hit the first bytes."""
    name = mutator.choose.choice(sorted(files))
    content = files[name]
    if mutator.choose.random() < 0.25:
        return files | {name: mutator.bytes(content)}
    head = mutator.bytes(content[:header])
    return files | {name: head + content[header:]}


def _mutated_words(mutator: Mutator, files: Files) -> Files:
    """A header of text with a value replaced, or bytes changed."""
    name = mutator.choose.choice(sorted(files))
    content = files[name]
    if mutator.choose.random() < 0.4:
        return _mutated_header(HEADERS["nrrd"], mutator, files)
    lines = content.split(b"\n")
    last = next((n for n, line in enumerate(lines) if not line or line.startswith(b"ElementDataFile")), len(lines))
    place = mutator.choose.randrange(max(last, 1))
    lines[place] = mutator.text(lines[place].decode("latin-1")).encode("utf-8", errors="replace")
    return files | {name: b"\n".join(lines)}


def _mutated_tiff(mutator: Mutator, files: Files) -> Files:
    """Bytes, mostly those of the directories; and the XML of OME as text."""
    ((name, content),) = files.items()
    start = content.find(b"<OME")
    if start >= 0 and mutator.choose.random() < 0.5:
        end = content.find(b"</OME>", start) + 6
        xml = mutator.text(content[start:end].decode()).encode("utf-8", errors="replace")
        return {name: content[:start] + xml[: end - start].ljust(end - start) + content[end:]}
    return _mutated_header(mutator.choose.choice((16, 400, len(content))), mutator, files)


def _feed_image(folder: Path) -> None:
    """Tell of it, and load it as an image and as labels."""
    from napari_unetseg.cli import terminal

    entries = sorted(folder.iterdir())
    path = entries[0] if entries else folder
    found = inspect(path)
    terminal.volume_facts(found)
    json.dumps(terminal.volume_record(found), default=str)
    volume = load_volume(path)
    if volume.shape != found.shape:
        raise AssertionError(f"{volume.shape} was loaded, and {found.shape} told.")
    with suppress(UnetsegError):  # negative numbers, or more than one channel
        load_labels(path)


def _grids(_folder: Path) -> Samples:
    grid, frame = samples.GRID, samples.FRAME
    record = {
        "spacing": list(grid.spacing), "origin": list(grid.origin), "unit": grid.unit,
        "affine": [list(row) for row in frame.affine], "codes": list(frame.file_codes),
    }  # fmt: skip
    return [{"grid.json": json.dumps(record | {"suffix": suffix}).encode()} for suffix in WRITTEN]


def _mutated_grid(mutator: Mutator, files: Files) -> Files:
    """Numbers of a grid that are at some edge: what other programs' files, and layers, can bring."""
    record = json.loads(files["grid.json"])
    for _ in range(mutator.some()):
        field = mutator.choose.choice(("spacing", "origin", "affine", "affine", "unit"))
        if field == "unit":
            record["unit"] = mutator.choose.choice(("pixel", "nm", "mm", "m", "cm"))
            continue
        numbers = record[field] if field != "affine" else mutator.choose.choice(record["affine"])
        number = mutator.choose.choice((*FLOATS, 0.0, 1.0, -1.0, 1e-45, 1e5))
        numbers[mutator.choose.randrange(len(numbers))] = number
    return {"grid.json": json.dumps(record).encode()}


def _feed_grid(folder: Path) -> None:
    """Write an image and labels on it, and load both again."""
    record = json.loads((folder / "grid.json").read_bytes())
    frame = ScannerFrame(tuple(map(tuple, record["affine"])), tuple(record["codes"]))
    with np.errstate(all="ignore"):
        grid = Grid(tuple(record["spacing"]), record["unit"], tuple(record["origin"]), frame)
    labels = samples.labels(grid)
    save_labels(folder / f"labels{record['suffix']}", labels)
    found = load_labels(
        folder / f"labels{record['suffix']}"
    ).array  # turned, where the affine is of another orientation
    if not np.array_equal(np.bincount(found.reshape(-1)), np.bincount(labels.array.reshape(-1))):
        raise AssertionError("Other labels came back than were written.")
    volume = replace(samples.image(), grid=grid)
    with suppress(UnetsegError):  # a format of labels alone
        save_volume(folder / f"image{record['suffix']}", volume)


def _kind(name: str, weight: float, make: Callable[[Path], Samples], mutate: Callable[[Mutator, Files], Files]) -> Kind:
    return Kind(name, weight, make, mutate, _feed_image)


IMAGE_KINDS = (
    _kind("tiff", 6, _tiffs, _mutated_tiff),
    _kind("nifti", 4, _niftis, partial(_mutated_header, HEADERS["nifti"])),
    _kind("nifti-gz", 1, partial(saved, ".nii.gz"), mutate_bytes),
    _kind("nrrd", 3, partial(_itks, ".nrrd"), _mutated_words),
    _kind("metaimage", 2, partial(_itks, ".mha"), _mutated_words),
    _kind("dicom", 6, _dicoms, _mutated_dicom),
    _kind("zarr", 6, partial(saved, ".ome.zarr"), _mutated_zarr),
    _kind("picture", 2, _pictures, mutate_bytes),
    Kind("grid", 6, _grids, _mutated_grid, _feed_grid),
)
