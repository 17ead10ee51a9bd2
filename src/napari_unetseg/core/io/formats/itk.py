"""NRRD (with 3D Slicer's segments), MetaImage and single DICOM files, by SimpleITK."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - the custom of the field

from napari_unetseg.core.grid import UNITS
from napari_unetseg.core.io import orientation
from napari_unetseg.core.io.legend import KEY, Legend, segment_fields, segment_keys
from napari_unetseg.core.io.source import Part, Source, VolumeInfo, check_declared, decoding, stack
from napari_unetseg.core.notes import Note
from napari_unetseg.core.units import NUMBER, in_grid_unit, length_unit, parse_unit
from napari_unetseg.core.volume import COLOUR, Labels, default_channels
from napari_unetseg.errors import InputError, OutputError

META_IMAGE = (".mha", ".mhd")
HEADER = 2**16
"""Bytes in which a header names its axes."""
SIZES = ("space directions", "spacings", "elementspacing", "elementsize")
"""The fields of headers that give a voxel size."""
UNIT_WORDS = re.compile(r'"[^"]*"|\S+')
NEGATIVE = Note("The file gives a negative voxel size; its absolute value is taken.", "spacing-negative", "--spacing")
sitk.ProcessObject.SetGlobalWarningDisplay(False)  # it writes to standard error whatever we do


def open_source(path: Path) -> Source:
    """Open a file by its header. Lengths are in mm, as everywhere in ITK, unless the header names another unit.

    Segments of 3D Slicer that lie in several layers are channels of an image, and one volume of labels.

    Raises
    ------
    InputError
        If ITK cannot read it, or it has four axes or more.
    """
    if path.suffix.lower() in META_IMAGE:
        _check_dimensions(path)
    with decoding(path, "image"):
        reader, header = _reader(path), _header(path)
        _check_size(path, header)
        reader.ReadImageInformation()
        shape = (*reader.GetSize(), 1)[:3]
        if reader.GetDimension() > 3:
            raise InputError(f"{path} has axes of sizes {reader.GetSize()}; expected x, y and z.")
        affine, notes = orientation.sound(_affine(reader))
        keys = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
        legend = Legend.parse(keys.get(KEY))
        affine, unit, found = _in_unit(affine, header)
        notes = (*notes, *found, *_unsure_size(header))
        transform, size, grid = orientation.read_frame(affine, shape, "mm" if unit == "pixel" else unit, legend)
        grid = replace(grid, unit=unit)
        dtype = _dtype(path, reader.GetPixelID())
    legend = legend.model_copy(update=segment_fields(keys))
    info = VolumeInfo(
        path=path,
        format="MetaImage" if path.suffix.lower() in META_IMAGE else path.suffix[1:].upper(),
        shape=size,
        channels=_channels(reader.GetNumberOfComponents(), dtype, legend),
        dtype=dtype,
        grid=legend.in_unit(grid),
        notes=notes,
    )
    if path.suffix.lower() in (".nrrd", ".mha"):  # the others keep their voxels in another file
        check_declared(path, info.nbytes)
    read = partial(_read, path, shape, transform)
    source = Source(info, read, legend, chunk=None, unit=info.nbytes)  # most are packed as one
    layers = _layers(keys) if len(info.channels) > 1 else ()
    return replace(source, as_labels=partial(_as_labels, source, layers)) if layers else source


def _header(path: Path) -> dict[str, str]:
    """The fields of a NRRD's or MetaImage's header by their names in small letters; empty for other files."""
    with path.open("rb") as file:
        text = file.read(HEADER)
    mark = b"=" if path.suffix.lower() in META_IMAGE else b":" if text.startswith(b"NRRD") else b""
    if not mark:
        return {}
    head = re.split(rb"\r?\n\r?\n|ElementDataFile", text, maxsplit=1)[0].decode("latin-1")
    pairs = (line.partition(mark.decode()) for line in head.splitlines() if not line.startswith("#"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if value}


def _in_unit(affine: orientation.Affine, header: dict[str, str]) -> tuple[orientation.Affine, str, tuple[Note, ...]]:
    """The affine in a unit of grids, and the unit: that of the world's axes, or else of the array's."""
    world = UNIT_WORDS.findall(header.get("space units", "") or header.get("distanceunits", ""))
    words = [word.strip('"') for word in world or UNIT_WORDS.findall(header.get("units", ""))]
    words = [word for word in words if word not in ("", "?", "none", "???")]
    if not words:
        return affine, "mm", ()
    if all(parse_unit(word.lower()) == "pixel" for word in words):
        return affine, "pixel", ()
    lengths = [length_unit(word) for word in words][:3]
    known = [each for each in lengths if each is not None]
    if len(known) < len(lengths):
        text = f"The header names the unit {words[0]!r}, which is none of length that is known; mm is assumed."
        return affine, "mm", (Note(text, "unit-assumed", "--unit"),)
    _, unit = in_grid_unit(1.0, known[0].symbol)
    factors = [each.metres / UNITS[unit] for each in known] + [known[-1].metres / UNITS[unit]] * (3 - len(known))
    affine = affine.copy()
    if world:
        affine[:3] *= np.array(factors)[:, None]
    else:
        affine[:3, :3] *= np.array(factors)
    return affine, unit, ()


def _check_size(path: Path, header: dict[str, str]) -> None:
    """Refuse a NRRD that gives a voxel size of 0, which ITK does not read."""
    told = re.findall(NUMBER, header.get("spacings", ""), re.IGNORECASE)
    if any(float(number) == 0 for number in told):
        raise InputError(f"{path} gives a voxel size of 0 in its spacings; expected sizes above 0. Mend its header.")


def _unsure_size(header: dict[str, str]) -> tuple[Note, ...]:
    """A note where a header gives no voxel size, one of 0 or a negative one: ITK takes 1, or the absolute value."""
    told = next((header[name] for name in SIZES if name in header), None)
    if told is None:
        return (Note("The file does not say the voxel size; 1 mm is assumed.", "spacing-assumed", "--spacing"),)
    if "(" in told:
        return ()
    sizes = [float(number) for number in re.findall(NUMBER, told, re.IGNORECASE)]
    if 0 in sizes or "nan" in told.lower():
        return (
            Note("The file gives a voxel size that is 0 or no number; 1 is assumed.", "spacing-assumed", "--spacing"),
        )
    return (NEGATIVE,) if any(size < 0 for size in sizes) else ()


Layer = tuple[int, int, int]
"""The channel of a segment, its number there, and its label."""


def _layers(keys: dict[str, str]) -> tuple[Layer, ...]:
    """Where 3D Slicer's segments are, and labels of them that differ; empty where there are none."""
    count = sum(key.endswith("_LabelValue") for key in keys)
    try:
        found = [(int(keys[f"Segment{i}_Layer"]), int(keys[f"Segment{i}_LabelValue"])) for i in range(count)]
    except (KeyError, ValueError):
        return ()
    differ = len({value for _, value in found}) == len(found)
    return tuple((layer, value, value if differ else i) for i, (layer, value) in enumerate(found, start=1))


def _as_labels(source: Source, layers: tuple[Layer, ...]) -> Source:
    """The segments of all layers as one volume of labels; where they overlap, the last one is taken."""
    text = "The segments lie in layers and may overlap; where they do, the last one is taken."
    info = replace(
        source.info, channels=default_channels(1), notes=(*source.info.notes, Note(text, "segments-overlap"))
    )
    structures = source.legend.structures
    if len(structures) == len(layers):
        numbered = zip(structures, layers, strict=True)
        structures = tuple(each.model_copy(update={"label": label}) for each, (_, _, label) in numbered)
    legend = source.legend.model_copy(update={"structures": structures})
    return replace(source, info=info, legend=legend, read=partial(_read_layers, source, layers), as_labels=None)


def _read_layers(source: Source, layers: tuple[Layer, ...], part: Part) -> npt.NDArray[Any]:
    used = tuple(sorted({layer for layer, _, _ in layers}))
    stored = source.read(replace(part, channels=used))
    labels = np.zeros((1, *stored.shape[1:]), np.min_scalar_type(max(label for _, _, label in layers)))
    for layer, value, label in layers:
        labels[0][stored[used.index(layer)] == value] = label
    return labels.astype(source.info.dtype) if np.can_cast(labels.dtype, source.info.dtype) else labels


def _check_dimensions(path: Path) -> None:
    """Refuse a MetaImage of a number of axes that no image has: ITK would write beyond its memory."""
    with path.open("rb") as file:
        found = re.search(rb"^\s*NDims\s*=[ \t]*(\S*)", file.read(HEADER), re.MULTILINE)
    if found and not re.fullmatch(rb"[1-9]|10", found[1]):
        raise InputError(f"{path} declares {found[1][:20].decode(errors='replace')!r} axes; expected x, y and z.")


def write_labels(path: Path, labels: Labels) -> None:
    """Write a compressed NRRD in the file's voxel order, with segments that 3D Slicer shows by name and colour."""
    grid = labels.grid
    transform = orientation.to_file(grid)
    affine = orientation.reorder_affine(grid.affine_in("mm"), transform, labels.array.shape)
    array = np.ascontiguousarray(orientation.reorder(labels.array, transform).T)  # SimpleITK wants (k, j, i)
    image = sitk.GetImageFromArray(array)
    _place(image, affine)
    for key, value in {**segment_keys(labels), KEY: Legend.of(labels).dump()}.items():
        image.SetMetaData(key, value)
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
        written = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))  # ITK says nothing when the disk is full
    except RuntimeError as error:
        raise OutputError(f"{path.parent}: the NRRD cannot be written: {error}. Nothing was left.") from error
    if not np.array_equal(written, array):
        raise OutputError(f"{path.parent}: the NRRD cannot be written whole. Is the disk full? Nothing was left.")


def _place(image: sitk.Image, affine: orientation.Affine) -> None:
    lps = orientation.RAS_FROM_LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())


def _affine(reader: Any) -> orientation.Affine:
    """Index (i, j, k) to (right, anterior, superior) in mm; a 2D image lies in the plane of x and y."""
    size = reader.GetDimension()
    lps = np.eye(4)
    lps[:size, :size] = np.reshape(reader.GetDirection(), (size, size)) * np.array(reader.GetSpacing())
    lps[:size, 3] = reader.GetOrigin()
    return orientation.RAS_FROM_LPS @ lps


def _read(path: Path, shape: tuple[int, ...], transform: npt.NDArray[Any], part: Part) -> npt.NDArray[Any]:
    box = orientation.file_box(transform, part.box, shape)
    with decoding(path, "image"):
        reader = _reader(path)
        reader.ReadImageInformation()
        dimension = reader.GetDimension()
        reader.SetExtractIndex([s.start for s in box[:dimension]])
        reader.SetExtractSize([s.stop - s.start for s in box[:dimension]])
        image = reader.Execute()
        array = sitk.GetArrayFromImage(image).reshape(
            [s.stop - s.start for s in reversed(box)] + [image.GetNumberOfComponentsPerPixel()]
        )
    channels = [orientation.reorder(array[..., c].T, transform) for c in part.channels]
    return stack(channels)


def _reader(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    return reader


def _dtype(path: Path, pixel: int) -> np.dtype[Any]:
    scalar = sitk.GetPixelIDValueAsString(pixel).removeprefix("vector of ")
    if scalar.startswith("complex"):
        raise InputError(f"{path} holds complex numbers; expected whole or real ones. Save their magnitude.")
    bits, kind = scalar.split("-bit ")
    return np.dtype({"unsigned integer": "u", "signed integer": "i", "float": "f"}[kind] + str(int(bits) // 8))


def _channels(count: int, dtype: np.dtype[Any], legend: Legend) -> tuple[str, ...]:
    if len(legend.channels) == count:
        return legend.channels
    return COLOUR if count == 3 and dtype == np.uint8 else default_channels(count)
