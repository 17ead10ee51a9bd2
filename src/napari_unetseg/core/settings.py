"""Settings records: checked when made, and the one place where defaults and help texts live.

A widget and a command read the default and the ``help`` of a field from here, so that they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from napari_unetseg.core.steps import Step
from napari_unetseg.errors import SettingsError

Write = Literal["auto", "classes", "objects", "probabilities"]
LARGEST_SCALE = 16.0


def setting(default: Any, help: str, **shown: Any) -> Any:  # noqa: A002 - the word that both typer and Qt use
    """A dataclass field with a help text of one line, units included.

    Parameters
    ----------
    shown
        How a form shows it, where its name and type do not say: `label`, `limits` (smallest and largest, which
        `check_limits` holds it to), `step` and `unit`.
    """
    return field(default=default, metadata={"help": help, **shown})


def check_limits(record: Any) -> None:
    """Raise `SettingsError` where a field of a settings record is not within its limits."""
    for one in fields(record):
        low, high = one.metadata.get("limits", (None, None))
        value = getattr(record, one.name)
        if low is not None and not low <= value <= high:
            raise SettingsError(f"Expected a {one.name} of {low:g} to {high:g}; got {value}.")


def help_of(record: type, name: str) -> str:
    """The help text of a settings field."""
    return next(str(f.metadata["help"]) for f in fields(record) if f.name == name)


@dataclass(frozen=True)
class SegmentSettings:
    """How to segment a volume.

    Raises
    ------
    SettingsError
        If a value is not among those allowed.
    """

    device: str = setting("auto", "Where to compute: auto, cpu, cuda, cuda:1, mps. auto takes a GPU if there is one.")
    write: Write = setting("auto", "What comes out: classes, numbered objects, or probabilities. auto: by the model.")
    flips: bool = setting(False, "Average over mirrored copies: a little better, 4 (2D) or 8 (3D) times as slow.")
    vote: bool = setting(False, "2D models on a stack: average over slices along all three axes, 3 times as slow.")
    smallest: float = setting(
        0.0, "Drop objects below this size, in the image's unit cubed (squared in 2D). 0: the model's own."
    )
    scale: float = setting(
        1.0, "Show the image to the model so many times as large: 0.5 where objects are twice what the model knows."
    )
    cleanup: tuple[Step, ...] | None = setting(
        None, "A clean-up step, once for each, in order, instead of the model's own; see clean --help."
    )

    def __post_init__(self) -> None:
        if self.write not in get_args(Write):
            raise SettingsError(f"Expected write to be one of {', '.join(get_args(Write))}; got {self.write!r}.")
        if not 0 <= self.smallest < float("inf"):
            raise SettingsError(f"Expected a smallest object of 0 or more; got {self.smallest}.")
        if not 1 / LARGEST_SCALE <= self.scale <= LARGEST_SCALE:
            raise SettingsError(f"Expected a scale from {1 / LARGEST_SCALE} to {LARGEST_SCALE:g}; got {self.scale}.")


@dataclass(frozen=True)
class Selection:
    """Which part of a file to load.

    Parameters
    ----------
    time : which one; None takes the first, and says so where there are others. ``"all"`` is for `segment_file` alone.
    crop : three (start, stop) pairs for z, y, x, in voxels of the level; None takes all.
    spacing : (z, y, x), overrides the file's; with `unit`.
    """

    channels: tuple[int, ...] | None = setting(None, "Channels to load, counted from 0; all of them if not given.")
    time: int | Literal["all"] | None = setting(
        None, "Time point to load, counted from 0; the first if not given. With segment, 'all' writes a series."
    )
    level: int = setting(0, "Resolution level to load; 0 is the finest.")
    crop: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None = setting(None, "Part to load, in voxels.")
    spacing: tuple[float, float, float] | None = setting(None, "Voxel size Z,Y,X, instead of the file's.")
    unit: str | None = setting(None, "Unit of the voxel size: nm, µm, mm, cm, m or pixel.")
    allow_missing: bool = setting(
        False, "Read parts of an OME-Zarr that are not on disk as its fill value, though they were written once."
    )
    image: int | None = setting(None, "Image to load, counted from 0, of a file that holds several; info lists them.")
    series: str | None = setting(
        None, "DICOM series to read where a folder holds several: its number in the list, from 0, or its UID."
    )
    resample: bool | None = setting(
        None,
        "A sheared grid, as of slices that are shifted against each other: resample it to a straight one, or read it "
        "as it is. If not given, DICOM is resampled.",
    )
