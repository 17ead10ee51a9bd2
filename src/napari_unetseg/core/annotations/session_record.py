"""The record of how a model was learned beside a painter, from which it can be made again.

On a CPU with the same instructions that gives the same weights bit for bit, where it was trained for a number of steps.

Beside ``M.safetensors`` lie ``M.session.json``, and a compact journal of each image's paint, ``M.session-1.paint``, ….
A model to begin with that is not a bundled one is kept too, as ``M.session-start.safetensors``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.privacy import SERIES, shown_name
from napari_unetseg.core.steps import Step, Unit
from napari_unetseg.errors import InputError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Beside = Annotated[str, Field(pattern=r"^[^/\\\x00]+$", max_length=255)]
"""The name of a file in the record's folder."""
Length = Annotated[int, Field(ge=1, lt=2**31)]
Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Index = Annotated[int, Field(ge=0, lt=2**31)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Settings(BaseModel):
    """The types of the settings that are known; their ranges are those of the record that is made of them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, bool | int | float | str | None]

    minutes: Size | None = None
    steps: Index | None = None
    device: str = "auto"
    seed: int = Field(default=0, ge=0, lt=2**63)
    structure_weight: Size = 1.0
    boundary_weight: float = Field(default=0.0, ge=0, le=1)
    learning_rate: Size = 1.0
    whole: StrictBool = False
    keep_structures: StrictBool = False
    corrects: StrictBool = False
    several_scales: StrictBool = False


def _typed(settings: dict[str, Any]) -> dict[str, Any]:
    return _Settings.model_validate(settings).model_dump(exclude_unset=True)


class Place(_Record):
    """Where an image comes from.

    Parameters
    ----------
    path : str or None
        Its file; None where it was in none. In a record only the file's name (see `without_folders`); records of
        earlier versions have the whole path.
    time, level : int
        The time point and the resolution level that were taken.
    """

    path: str | None = None
    time: Index = 0
    level: Index = 0

    def without_folders(self) -> Self:
        """As it is recorded: with a file's name alone. What the image is, its voxels' hash says."""
        name = shown_name(Path(self.path)) if self.path is not None else None
        return self.model_copy(update={"path": None if name == SERIES else name})


class SessionImage(_Record):
    """An image that was learned from.

    Parameters
    ----------
    shape : (c, z, y, x)
    spacing : (z, y, x)
        As it was on the form, mended or not.
    sha256 : str
        Of its voxels, see `fingerprint`.
    paint, paint_sha256 : str
        The journal of its paint, beside the record.
    """

    place: Place
    name: str
    channels: tuple[str, ...]
    shape: tuple[Length, Length, Length, Length]
    spacing: tuple[Size, Size, Size]
    unit: Unit
    sha256: Sha256
    paint: Beside
    paint_sha256: Sha256

    @model_validator(mode="after")
    def _has_a_name_for_each_channel(self) -> Self:
        if len(self.channels) != self.shape[0]:
            raise ValueError(f"{len(self.channels)} channels are named, and the shape has {self.shape[0]}")
        return self


class Session(_Record):
    """What a model was learned from, and how.

    Parameters
    ----------
    start : str or None
        A bundled model's name, or the name of a file beside the record.
    start_sha256 : str
        Of that model's file; empty where there is none.
    settings : dict
        Fields of `core.models.fine_tuned_card.FineTuneSettings`; 0 steps stand for the light head of a live session.
    names : dict
        Names of structures by output label.
    threads : int
        Of the processor, while it was computed: another number may round sums in another way.
    processor : str
        What it was computed on. The same weights come out bit for bit on processors with the same instructions.
    precisions : dict
        Of each network and shape; empty in records of earlier versions.
    """

    schema_version: Literal[1] = 1
    program: str
    torch: str
    device: str
    threads: int = Field(ge=1, le=1024)
    processor: str = ""
    precisions: dict[str, Literal["float32", "bfloat16", "float16"]] = {}
    images: tuple[SessionImage, ...] = Field(min_length=1)
    start: Beside | None
    start_sha256: Sha256 | Literal[""] = ""
    settings: Annotated[dict[str, Any], AfterValidator(_typed)]
    names: dict[Annotated[int, Field(ge=1, le=65535)], Annotated[str, Field(min_length=1)]]
    cleanup: tuple[Step, ...] = ()


def session_path(model: Path) -> Path:
    """The record that belongs to a model file."""
    return model.with_name(f"{model.stem}.session.json")


def paint_path(model: Path, number: int) -> Path:
    """The paint of image 1, 2, … that belongs to a model file."""
    return model.with_name(f"{model.stem}.session-{number}.paint")


def start_path(model: Path) -> Path:
    """The model to begin with that belongs to a model file."""
    return model.with_name(f"{model.stem}.session-start.safetensors")


def write_session(path: Path, session: Session) -> None:
    """Write a record, atomically; raises `OutputError` if it cannot be written."""
    with atomic_path(path) as temporary:
        temporary.write_text(session.model_dump_json(indent=2), encoding="utf-8")


def read_session(path: Path) -> Session:
    """Read a record.

    Raises
    ------
    InputError
        If it cannot be read, or is not one that this version knows.
    """
    try:
        return Session.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The session {path} cannot be read: {error}.") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise InputError(f"Expected the record of a session in {path}; {where}: {first['msg']}.") from error


def fingerprint(array: npt.NDArray[Any]) -> str:
    """SHA-256 of an array's type and values, in C order and little-endian, whatever its shape."""
    small = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(small.dtype.str.encode())
    digest.update(small.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
