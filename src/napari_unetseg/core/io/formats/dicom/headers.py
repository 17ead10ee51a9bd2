"""Headers of DICOM files: what is known of every frame, checked, with what the functional groups of a file add."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from napari_unetseg.core.io.formats.registry import beginning, starts_as_dicom
from napari_unetseg.core.io.source import check_declared, decoding
from napari_unetseg.errors import InputError

Millimetres = Annotated[float, Field(gt=1e-6, lt=1e6, allow_inf_nan=False)]
Coordinate = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Cosine = Annotated[float, Field(ge=-1.01, le=1.01, allow_inf_nan=False)]
Number = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1, le=65535)]
Pair = tuple[Millimetres, Millimetres]

SYNONYMS = {
    "FrameType": "ImageType",
    "EffectiveEchoTime": "EchoTime",
    "TemporalPositionIndex": "TemporalPositionIdentifier",
    "NominalCardiacTriggerDelayTime": "TriggerTime",
    "FrameAcquisitionNumber": "AcquisitionNumber",
    "FrameAcquisitionDateTime": "AcquisitionTime",
}
"""What functional groups call the elements of a single slice."""
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
MOST_FRAMES = 2**20
PACKED = 10_000
"""Bytes that one byte of a compressed frame can become."""
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
"""Transfer syntaxes without compression."""


class Frame(BaseModel):
    """One frame of a file, checked; elements are named as in DICOM (PS3.3 C.7.6.2, C.7.6.3 and C.7.6.16).

    Parameters
    ----------
    path : Path
    index : int
        Of the frame in its file, from 0.
    """

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    path: Path
    index: int = 0
    Rows: Side
    Columns: Side
    SOPClassUID: str = ""
    SOPInstanceUID: str = ""
    SeriesInstanceUID: str = ""
    Modality: str | None = None
    SeriesNumber: str | None = None
    InstanceNumber: int | None = None
    NumberOfFrames: Annotated[int, Field(ge=1, le=MOST_FRAMES)] = 1
    ImageType: tuple[str, ...] = ()
    ImagePositionPatient: tuple[Coordinate, Coordinate, Coordinate] | None = None
    ImageOrientationPatient: tuple[Cosine, Cosine, Cosine, Cosine, Cosine, Cosine] | None = None
    PixelSpacing: Pair | None = None
    ImagerPixelSpacing: Pair | None = None
    NominalScannedPixelSpacing: Pair | None = None
    SliceThickness: Coordinate | None = None
    SpacingBetweenSlices: Coordinate | None = None
    SamplesPerPixel: Annotated[int, Field(ge=1, le=4)] = 1
    PhotometricInterpretation: str = "MONOCHROME2"
    BitsAllocated: int = 16
    BitsStored: int | None = None
    PixelRepresentation: int | None = None
    RescaleSlope: Number | None = None
    RescaleIntercept: Number | None = None
    DoseGridScaling: Number | None = None
    AcquisitionNumber: int | None = None
    AcquisitionTime: str | None = None
    ContentTime: str | None = None
    TemporalPositionIdentifier: int | None = None
    TriggerTime: Number | None = None
    EchoTime: Number | None = None
    InversionTime: Number | None = None
    ComplexImageComponent: str | None = None
    StackID: str | None = None
    ReferencedSegmentNumber: int | None = None

    @field_validator("ImageType", mode="before")
    @classmethod
    def _are_words(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("ImageOrientationPatient")
    @classmethod
    def _is_at_right_angles(cls, cosines: tuple[float, ...] | None) -> tuple[float, ...] | None:
        axes = np.reshape((1, 0, 0, 0, 1, 0) if cosines is None else cosines, (2, 3))
        if not np.allclose(axes @ axes.T, np.eye(2), atol=0.01):
            raise ValueError("expected two directions at right angles")
        return cosines

    @property
    def axes(self) -> npt.NDArray[np.float64]:
        """Directions of rows and columns, shape (2, 3)."""
        return np.reshape(self.ImageOrientationPatient or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (2, 3)).astype(float)

    @property
    def along(self) -> float:
        """Along the normal of the slices, in mm; the instance number where no position is known."""
        if self.ImagePositionPatient is None:
            return float(self.InstanceNumber or 0)
        return float(np.cross(*self.axes) @ np.array(self.ImagePositionPatient))

    @property
    def pixel(self) -> Pair | None:
        """Size of a pixel, down and across, in mm, by whichever element tells it."""
        return self.PixelSpacing or self.NominalScannedPixelSpacing or self.ImagerPixelSpacing

    @property
    def is_segmentation(self) -> bool:
        """Whether its pixels are segments."""
        return self.SOPClassUID in (SEGMENTATION, LABEL_MAP) or self.Modality == "SEG"

    @property
    def line(self) -> tuple[float, float]:
        """Slope and intercept of the values."""
        slope = self.RescaleSlope if self.RescaleSlope is not None else self.DoseGridScaling
        return (1.0 if slope is None else slope), self.RescaleIntercept or 0.0


TAGS = [name for name in Frame.model_fields if name[0].isupper()]
SEQUENCES = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]
OTHERS = ["FrameIncrementPointer", "GridFrameOffsetVector", "TotalPixelMatrixColumns"]
CINE = (0x00181063, 0x00181065)
"""Frame time and frame time vector: frames follow each other in time."""


def read_frames(files: Iterable[Path]) -> tuple[list[Frame], int]:
    """The frames of all DICOM files among `files`, and how many of these hold no image.

    Raises
    ------
    InputError
        If a header does not hold what it must; the message names the file and the element.
    """
    frames, others = list[Frame](), 0
    for path in files:
        found = _frames_of(path)
        if found is not None:
            frames += found
            others += not found and path.name.upper() != "DICOMDIR"
    return frames, others


def open_dataset(path: Path, **how: Any) -> Any:
    """The dataset of a file, with a transfer syntax also where the file does not name one.

    Raises
    ------
    InputError
        If an element declares more than there is memory for.
    """
    try:
        dataset = pydicom.dcmread(path, force=True, **how)
    except MemoryError as error:
        raise InputError(f"{path}: a DICOM element declares more than the memory holds. Is it damaged?") from error
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = NATIVE[0 if implicit else 1 if little else 2]
    return dataset


def _frames_of(path: Path) -> list[Frame] | None:
    """The frames of a file; None where it is no DICOM."""
    try:
        with decoding(path, "DICOM file"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that are checked below
            if not starts_as_dicom(beginning(path)):
                return None
            dataset = open_dataset(path, stop_before_pixels=True, specific_tags=[*TAGS, *SEQUENCES, *OTHERS])
            fields = _fields(dataset)
            groups = [_grouped(g) for g in dataset.get(SEQUENCES[1]) or ()]
            shared = [_grouped(g) for g in dataset.get(SEQUENCES[0]) or ()]
            extra = {name: _plain(dataset.get(name)) for name in OTHERS}
            syntax = str(dataset.file_meta.TransferSyntaxUID)
    except InputError as error:
        if isinstance(error.__cause__, InvalidDicomError):
            return None  # a folder also holds reports, an index, thumbnails
        raise
    if "Rows" not in fields and "Columns" not in fields:
        return []
    fields |= shared[0] if shared else {}
    first = _frame(path, fields | (groups[0] if groups else {}))
    _check_size(path, first, syntax)
    if extra["TotalPixelMatrixColumns"] is not None and first.NumberOfFrames > 1 and not first.is_segmentation:
        raise InputError(f"{path} holds tiles of a whole slide; expected an image. Convert it to OME-TIFF first.")
    if groups:
        if len(groups) != first.NumberOfFrames:
            raise InputError(
                f"{path} describes {len(groups)} frames and declares {first.NumberOfFrames}. Is the file damaged?"
            )
        return [_frame(path, fields | group, index) for index, group in enumerate(groups)]
    return _unrolled(first, extra) if first.NumberOfFrames > 1 else [first]


def _check_size(path: Path, frame: Frame, syntax: str) -> None:
    """Refuse what declares more pixels than the file can hold."""
    bits = frame.Rows * frame.Columns * frame.SamplesPerPixel * frame.NumberOfFrames * max(1, frame.BitsAllocated)
    if frame.PhotometricInterpretation.startswith("YBR_FULL_422"):
        bits = bits * 2 // 3
    check_declared(path, bits // 8, 1 if syntax in NATIVE else PACKED)


def _unrolled(first: Frame, extra: dict[str, Any]) -> list[Frame]:
    """The frames of a file that does not describe each: points in time, doses at given offsets, or a stack."""
    count = first.NumberOfFrames
    if extra["FrameIncrementPointer"] in CINE:
        return [first.model_copy(update={"index": k, "TemporalPositionIdentifier": k + 1}) for k in range(count)]
    step = first.SpacingBetweenSlices or first.SliceThickness or 1.0
    offsets = extra["GridFrameOffsetVector"]
    if not (isinstance(offsets, Sequence) and len(offsets) == count):
        offsets = [k * step for k in range(count)]
    origin, normal = first.ImagePositionPatient, np.cross(*first.axes)
    frames = []
    for k, offset in enumerate(offsets):
        place = None if origin is None else tuple((np.array(origin) + normal * float(offset)).tolist())
        frames.append(first.model_copy(update={"index": k, "ImagePositionPatient": place, "InstanceNumber": k + 1}))
    return frames


def _fields(dataset: Any) -> dict[str, Any]:
    found = {name: _plain(dataset.get(name)) for name in (*TAGS, *SYNONYMS)}
    found |= {SYNONYMS[name]: found[name] for name in SYNONYMS if found[name] is not None}
    return {name: value for name, value in found.items() if value is not None and name in TAGS}


def _grouped(group: Any) -> dict[str, Any]:
    """The elements of a functional group, whichever of its sequences they stand in."""
    fields = dict[str, Any]()
    for element in group:
        if element.VR == "SQ" and element.value:
            fields |= _fields(element.value[0])
    return fields


def _plain(value: Any) -> Any:
    """A header's value as plain Python; None where there is none."""
    if isinstance(value, MultiValue):
        return [_plain(part) for part in value]
    if value is None or value == "":
        return None
    return value if isinstance(value, int) else float(value) if isinstance(value, (float, Decimal)) else str(value)


def _frame(path: Path, fields: dict[str, Any], index: int = 0) -> Frame:
    try:
        return Frame.model_validate({"path": path, "index": index} | fields)
    except ValidationError as error:
        first = error.errors()[0]
        got = "" if first["type"] == "missing" else f"; got {first['input']!r}"
        raise InputError(
            f"{path}: the DICOM element {first['loc'][0]} does not fit: {first['msg']}{got}. Is the file damaged?"
        ) from error
