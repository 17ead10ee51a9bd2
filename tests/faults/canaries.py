"""Canaries: words that stand for a patient, a user, folders and files; images marked with them; a search for them."""

from __future__ import annotations

import base64
import gzip
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - the custom of the field
import tifffile
import zarr
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

PATIENT, USER, FOLDER, FILE = "qzpatient", "qzuser", "qzfolder", "qzfile"
NEVER = (PATIENT, USER, FOLDER)
"""What is in no output, ever; a file's name is in none with ``--anonymous``."""

Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Ward:
    """A user's home with a folder of marked images in it: the same two blocks, in every format."""

    folder: Path

    @property
    def series(self) -> Path:
        """A DICOM series, in a folder of its own."""
        return self.folder / f"{FOLDER}-series"

    @property
    def two_series(self) -> Path:
        """A folder with two DICOM series: which one is read is told."""
        return self.folder / f"{FOLDER}-two"

    @property
    def slices(self) -> Path:
        """A folder of pictures."""
        return self.folder / f"{FOLDER}-slices"

    def image(self, suffix: str) -> Path:
        """The image as a file: ``.tif``, ``.ome.tif``, ``.nii.gz``, ``.nrrd`` or ``.ome.zarr``."""
        return self.folder / f"{FILE}{suffix}"

    @property
    def images(self) -> list[Path]:
        """In every format."""
        files = [self.image(suffix) for suffix in (".tif", ".ome.tif", ".nii.gz", ".nrrd", ".ome.zarr")]
        return [self.series, self.two_series, self.slices, *files]

    @property
    def damaged(self) -> Path:
        """A folder with an image that is cut off."""
        return self.folder / f"{FOLDER}-damaged"

    @property
    def start(self) -> Path:
        """A model of the user to begin with; it is not made here."""
        return self.folder / f"{FILE}-start.safetensors"

    @property
    def painted(self) -> Path:
        """Paint: background and one structure."""
        return self.folder / f"{FILE}-paint.tif"


def blocks() -> Array:
    """Two bright blocks (z, y, x)."""
    image = np.full((8, 24, 24), 10, np.uint8)
    image[2:6, 4:12, 2:10] = image[2:6, 4:12, 13:21] = 220
    return image


def make_ward(home: Path) -> Ward:
    """A ward below `home`."""
    ward = Ward(home / USER / FOLDER)
    ward.folder.mkdir(parents=True)
    image = blocks()
    write_series(ward.series, image)
    write_series(ward.two_series, image)
    write_series(ward.two_series, image[:3])
    ward.slices.mkdir()
    for z, plane in enumerate(image):
        Image.fromarray(plane).save(ward.slices / f"{z}.png")
    said = {"software": PATIENT, "extratags": [(315, 2, 0, PATIENT, True), (269, 2, 0, PATIENT, True)]}
    tifffile.imwrite(ward.image(".tif"), image, description=PATIENT, metadata=None, **said)
    names = {"axes": "ZYX", "Name": PATIENT, "Description": PATIENT}
    sizes = {"PhysicalSizeZ": 2.0, "PhysicalSizeY": 1.0, "PhysicalSizeX": 1.0}
    tifffile.imwrite(ward.image(".ome.tif"), image, ome=True, metadata=names | sizes, **said)
    nifti = nibabel.Nifti1Image(image.T, np.diag([1, 1, 2, 1]))
    nifti.header["descrip"], nifti.header["aux_file"], nifti.header["intent_name"] = (PATIENT,) * 3
    nibabel.save(nifti, ward.image(".nii.gz"))
    nrrd = sitk.GetImageFromArray(image)
    for key in ("PatientName", "content"):
        nrrd.SetMetaData(key, PATIENT)
    sitk.WriteImage(nrrd, str(ward.image(".nrrd")))
    write_zarr(ward.image(".ome.zarr"), image)
    ward.damaged.mkdir()
    whole = ward.image(".ome.tif").read_bytes()
    (ward.damaged / f"{FILE}-cut.ome.tif").write_bytes(whole[: len(whole) // 2])
    (ward.damaged / f"{FILE}-whole.ome.tif").write_bytes(whole)
    paint = np.zeros_like(image)
    paint[1], paint[3, 5:11, 3:9], paint[4, 5:11, 14:20] = image[1] > 0, 2, 2
    paint[4, 14:22, 2:20] = 1
    tifffile.imwrite(ward.painted, paint)
    return ward


def write_series(folder: Path, voxels: Array) -> None:
    """Write slices of one series; every element that may name a person does."""
    folder.mkdir(exist_ok=True)
    series = generate_uid()
    for k, plane in enumerate(voxels):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
        data.SOPClassUID, data.SOPInstanceUID, data.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
        data.SeriesInstanceUID = data.StudyInstanceUID = data.FrameOfReferenceUID = series
        data.SeriesNumber, data.InstanceNumber = len(voxels), k + 1
        for element in ("PatientID", "SeriesDescription", "StudyDescription", "InstitutionName", "ProtocolName"):
            setattr(data, element, PATIENT)
        data.PatientName, data.ReferringPhysicianName = f"{PATIENT}^Ada", f"{PATIENT}^Bob"
        data.Rows, data.Columns, data.PixelSpacing, data.SliceThickness = *plane.shape, [1, 1], 2
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2 * k]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
        data.PixelData = plane.tobytes()
        data.save_as(folder / f"{PATIENT}-{len(voxels)}-{k}.dcm", enforce_file_format=True)


def write_zarr(path: Path, voxels: Array) -> None:
    """An OME-Zarr 0.5 of another program, with a name and a description."""
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [2.0, 1.0, 1.0]}]}
    image = {"name": PATIENT, "axes": axes, "datasets": [dataset], "metadata": {"description": PATIENT}}
    group = zarr.open_group(str(path), mode="w", attributes={"ome": {"version": "0.5", "multiscales": [image]}})
    group.create_array("0", shape=voxels.shape, dtype=voxels.dtype)[...] = voxels


def found_in(content: bytes, words: tuple[str, ...]) -> set[str]:
    """Which words are in bytes: plain in any case, in UTF-16, in base64, or in what they are packed in."""
    plain = content.lower()
    forms = {word: [word.encode(), word.encode("utf-16-le"), word.encode("utf-16-be")] for word in words}
    found = {word for word, several in forms.items() if any(form in plain for form in several)}
    found |= {word for word in words if any(form in content for form in _base64(word))}
    for part in _inside(content):
        found |= found_in(part, words)
    return found


def found_in_tree(folder: Path, words: tuple[str, ...]) -> dict[str, set[str]]:
    """Which words are where: in the files below a folder, unpacked, and in their names."""
    where = {}
    for path in sorted(folder.rglob("*")):
        place = str(path.relative_to(folder))
        found = found_in(place.encode(errors="surrogateescape"), words)
        if path.is_file():
            found |= found_in(path.read_bytes(), words)
        if found:
            where[place] = found
    return where


def _base64(word: str) -> list[bytes]:
    """What a word looks like in base64, at each of the three places at which it may begin, without the ends."""
    forms = [base64.b64encode(bytes(skip) + word.encode()) for skip in range(3)]
    return [form[-(-skip * 8 // 6) : (skip + len(word)) * 8 // 6] for skip, form in enumerate(forms)]


def _inside(content: bytes) -> Iterator[bytes]:
    """What is packed in a gzip or zip, and what is in base64 anywhere."""
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                yield member.filename.encode() + b" " + member.comment
                yield archive.read(member)
    elif content[:4] == b"\x89PNG":
        yield repr(Image.open(io.BytesIO(content)).info).encode()
    elif content[:15].lower() == b"<!doctype html>":
        for text in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content):
            yield base64.b64decode(text)
