"""NRRD (with 3D Slicer's segments), MetaImage and single DICOM files, by SimpleITK."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - the custom of the field

from napari_unetseg.core.io import orientation
from napari_unetseg.core.io.legend import KEY, Legend, segment_fields, segment_keys
from napari_unetseg.core.io.source import Part, Source, VolumeInfo, check_declared, decoding, stack
from napari_unetseg.core.volume import COLOUR, Labels, default_channels
from napari_unetseg.errors import InputError, OutputError

META_IMAGE = (".mha", ".mhd")
HEADER = 2**16
"""Bytes in which a header names its axes."""
sitk.ProcessObject.SetGlobalWarningDisplay(False)  # it writes to standard error whatever we do


def open_source(path: Path) -> Source:
    """Open a file by its header. Lengths are in mm, as everywhere in ITK.

    Raises
    ------
    InputError
        If ITK cannot read it, or it has four axes or more.
    """
    if path.suffix.lower() in META_IMAGE:
        _check_dimensions(path)
    with decoding(path, "image"):
        reader = _reader(path)
        reader.ReadImageInformation()
        shape = (*reader.GetSize(), 1)[:3]
        if reader.GetDimension() > 3:
            raise InputError(f"{path} has axes of sizes {reader.GetSize()}; expected x, y and z.")
        affine, notes = orientation.sound(_affine(reader))
        keys = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
        legend = Legend.parse(keys.get(KEY))
        transform, size, grid = orientation.read_frame(affine, shape, "mm", legend)
        dtype = _dtype(reader.GetPixelID())
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
    return Source(info, read, legend, chunk=None, unit=info.nbytes)  # most are packed as one


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
    affine = orientation.reorder_affine(orientation.affine_of(grid, "mm"), transform, labels.array.shape)
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


def _dtype(pixel: int) -> np.dtype[Any]:
    scalar = sitk.GetPixelIDValueAsString(pixel).removeprefix("vector of ")
    bits, kind = scalar.split("-bit ")
    return np.dtype({"unsigned integer": "u", "signed integer": "i", "float": "f"}[kind] + str(int(bits) // 8))


def _channels(count: int, dtype: np.dtype[Any], legend: Legend) -> tuple[str, ...]:
    if len(legend.channels) == count:
        return legend.channels
    return COLOUR if count == 3 and dtype == np.uint8 else default_channels(count)
